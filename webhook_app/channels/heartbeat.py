"""A sign of life to a watchman outside, as healthchecks.io understands it: GET when well, POST /fail when not.

https://healthchecks.io/docs/http_api/ (read 2026-11). The address is a secret and is never logged.
"""

import httpx

from webhook_app.channels import SendError
from webhook_app.channels.outgoing import TIMEOUT, Outgoing


class Heartbeat:
    """Pings one address."""

    def __init__(self, url: str, timeout: httpx.Timeout = TIMEOUT) -> None:
        self._url = httpx.URL(url)
        self._http = Outgoing("the heartbeat's receiver", timeout)

    def beat(self) -> None:
        """Say that all is well. Raises SendError."""
        self._judge(self._http.get(str(self._url)).status)

    def fail(self, reason: str) -> None:
        """Say that it is not, and why. Raises SendError."""
        url = self._url.copy_with(path=f"{self._url.path.rstrip('/')}/fail")
        self._judge(self._http.post(str(url), reason.encode(), {"Content-Type": "text/plain"}).status)

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def _judge(self, status: int) -> None:
        if not httpx.codes.is_success(status):
            raise SendError(f"the heartbeat's receiver answered {status}", permanent=False)
