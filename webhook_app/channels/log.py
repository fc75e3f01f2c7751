"""Writes each message as plain text to a stream. Used when no other channel is set up."""

from typing import TextIO

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.findings import FindingMessage, compose_findings
from webhook_app.channels.incident_text import MessageText, compose, plain_text
from webhook_app.channels.notification import Notification

_CONTROL = dict.fromkeys((*range(10), *range(11, 32), *range(127, 160)), "�")
"""Control characters but the line feed: a terminal would obey them."""


class LogChannel:
    """A stream, with a blank line after each message."""

    name = "log"
    pace_s = 0.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, notification: Notification, earlier: Receipt | None = None) -> None:
        """Write and flush the message. Raises SendError."""
        del earlier
        self._write(compose(notification))

    def send_findings(self, message: FindingMessage) -> None:
        """Write and flush it. Raises SendError."""
        self._write(compose_findings(message))

    def _write(self, message: MessageText) -> None:
        try:
            text = plain_text(message).translate(_CONTROL)
            self._stream.write(text + "\n\n")
            self._stream.flush()
        except (OSError, ValueError) as fault:
            raise SendError(f"the stream: {fault}", permanent=False) from fault
