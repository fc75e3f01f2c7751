"""One HTTP call out: a time limit on every phase and on the whole, a bounded answer, Retry-After understood.

What an answer means is each channel's own business. Addresses are secrets and never stand in a fault.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic

import httpx
from msgspec import Struct

from webhook_app.channels import SendError

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
LONGEST_PAUSE_S = 3600.0

_WHOLE_S = 30.0  # whoever sends a byte every nine seconds must not hold a channel for ever
_MOST_BYTES = 65_536


class HttpAnswer(Struct, frozen=True):
    """What the other side said. `retry_after`: seconds for which it asks to be left alone."""

    status: int
    text: str
    retry_after: float | None

    @property
    def words(self) -> str:
        """Its beginning, fit for a log line."""
        return self.text.strip()[:200]


class Outgoing:
    """Posts to one receiver, called `receiver` in faults."""

    def __init__(
        self,
        receiver: str,
        timeout: httpx.Timeout = TIMEOUT,
        headers: Mapping[str, str] | None = None,
        whole_s: float = _WHOLE_S,
    ) -> None:
        self._receiver = receiver
        self._whole_s = whole_s
        self._client = httpx.Client(
            timeout=timeout, headers={"User-Agent": "webhook-app"} | dict(headers or {})
        )

    def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """The answer to a JSON body, whatever its status. Raises SendError when there is none."""
        return self._ask("POST", url, body, {"Content-Type": "application/json"} | dict(headers or {}))

    def get(self, url: str) -> HttpAnswer:
        """The answer to a GET, whatever its status. Raises SendError when there is none."""
        return self._ask("GET", url, b"", {})

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def _ask(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> HttpAnswer:
        try:
            with self._client.stream(method, url, content=body, headers=headers) as response:
                return HttpAnswer(response.status_code, self._read(response), _retry_after(response.headers))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as fault:
            raise SendError(f"the address of {self._receiver} cannot be used", permanent=True) from fault
        except httpx.HTTPError as fault:
            raise SendError(
                f"{self._receiver} cannot be reached ({type(fault).__name__})", permanent=False
            ) from fault

    def _read(self, response: httpx.Response) -> str:
        end, held = monotonic() + self._whole_s, bytearray()
        for chunk in response.iter_bytes():
            held += chunk
            if monotonic() > end:
                raise httpx.ReadTimeout("the answer does not end")
            if len(held) >= _MOST_BYTES:
                break
        return bytes(held[:_MOST_BYTES]).decode("utf-8", errors="replace")


def _retry_after(headers: httpx.Headers) -> float | None:
    """In seconds: RFC 9110 allows a number or a date, which is read by the answerer's own clock if it tells it."""
    said = headers.get("Retry-After", "").strip()
    if not said:
        return None
    if said.replace(".", "", 1).isdecimal() and said.isascii():
        return min(float(said), LONGEST_PAUSE_S)
    until, now = _date(said), _date(headers.get("Date", "")) or datetime.now(UTC)
    if until is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), LONGEST_PAUSE_S)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
