"""gunicorn's parser of request heads, with a limit for the whole head. No connections, no routes."""

import re
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine
from gunicorn.http.message import Request

from webhook_app.event_loop import PROBE_TURNS, REQUEST_TURNS

MAX_HEAD_BYTES = (
    32 * 1024
)  # as nginx; Meta's and Slack's are below 2 KiB, browsers' with cookies below 16 KiB

_END = b"\r\n\r\n"
_PROBE = b"GET /healthz "
_BARE_LF = re.compile(rb"(?<!\r)\n")


class BoundedRequest(Request):  # type: ignore[misc]
    """A request whose head has a limited size and is parsed once, however small its packets are."""

    def read_into(self, unreader: Any, buf: bytearray, stop: bool = False) -> None:
        """Read to the end of the head; gunicorn itself parses all of it anew with each packet."""
        super().read_into(unreader, buf, stop)
        searched = 0
        while (end := buf.find(_END, searched)) < 0:
            if _BARE_LF.search(buf, searched):
                return  # gunicorn refuses it
            self._limit(buf, len(buf))
            searched = max(len(buf) - len(_END) + 1, 0)
            super().read_into(unreader, buf)
        self._limit(buf, end)
        (PROBE_TURNS if buf.startswith(_PROBE) else REQUEST_TURNS).wait()  # of many that are complete at once

    def _limit(self, buf: bytearray, size: int) -> None:
        if size <= MAX_HEAD_BYTES:
            return
        line = buf.find(b"\r\n", 2)  # an empty line may come first
        if not 0 <= line <= self.limit_request_line + 2:
            raise LimitRequestLine(size, self.limit_request_line)
        raise LimitRequestHeaders("the head is too large")
