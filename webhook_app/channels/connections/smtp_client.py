"""SMTP connections with limits on the time and size of everything that the server sends."""

import smtplib
from io import BufferedReader, RawIOBase
from socket import socket
from time import monotonic
from typing import Any

TOTAL_S = 60.0  # of a connection; below the lease of a notification
_MAX_BYTES = (
    65_536  # of a connection's replies in all: smtplib limits a line of a reply, and not the number of lines
)


class Smtp(smtplib.SMTP):
    """A connection that ends after `total_s`, however slowly the server answers, or after 64 KiB of replies."""

    def __init__(
        self, host: str, port: int, *, timeout: float, total_s: float = TOTAL_S, **more: Any
    ) -> None:
        self._end = monotonic() + total_s
        super().__init__(host, port, timeout=timeout, **more)

    def getreply(self) -> tuple[int, bytes]:
        """Return the server's reply. Raises SMTPServerDisconnected beyond a limit."""
        if self.file is None and self.sock is not None:
            self.file = BufferedReader(_Replies(self.sock, self._end))
        return super().getreply()


class SmtpOverTls(Smtp, smtplib.SMTP_SSL):
    """A connection with the same limits, encrypted from the beginning. `context`: the TLS context."""


class _Replies(RawIOBase):
    """What the server sends. Raises OSError beyond a limit."""

    def __init__(self, connection: socket, end: float) -> None:
        self._connection, self._end, self._left = connection, end, _MAX_BYTES
        self._timeout = connection.gettimeout() or TOTAL_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        remaining = self._end - monotonic()
        if remaining <= 0 or self._left <= 0:
            raise OSError("the replies take too long, or are too large")
        self._connection.settimeout(min(self._timeout, remaining))
        received = self._connection.recv_into(buffer)
        self._left -= received
        return received
