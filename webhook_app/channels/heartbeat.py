"""Pings an external monitor with the protocol of healthchecks.io: GET on success, POST /fail on failure.

https://healthchecks.io/docs/http_api/ (read 2026-11). The address is a secret and is never logged.
"""

import httpx

from webhook_app.channels import SendError
from webhook_app.channels.connections.http_client import TIMEOUT, HttpClient


class Heartbeat:
    """The pings to one address."""

    def __init__(self, url: str, timeout: httpx.Timeout = TIMEOUT) -> None:
        self._url = httpx.URL(url)
        self._http = HttpClient("the heartbeat monitor", timeout)

    def report_success(self) -> None:
        """Report success. Raises SendError."""
        self._check(self._http.get(str(self._url)).status)

    def report_failure(self, reason: str) -> None:
        """Report a failure with its reason. Raises SendError."""
        url = self._url.copy_with(path=f"{self._url.path.rstrip('/')}/fail")
        self._check(self._http.post(str(url), reason.encode(), {"Content-Type": "text/plain"}).status)

    def _check(self, status: int) -> None:
        if not httpx.codes.is_success(status):
            raise SendError(f"the heartbeat monitor answered {status}", permanent=False)
