"""HTTP calls with timeouts, retries with growing delays, and exceptions. It knows no endpoint."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import httpx

_RETRIED_STATUSES = frozenset((429, 500, 502, 503, 504))
_LONGEST_WAIT_SECONDS = 30.0


class ClientError(Exception):
    """A call failed."""


class UnreachableError(ClientError):
    """No usable answer after all attempts: a network error, a timeout, or an unavailable server."""


class RefusedError(ClientError):
    """The service refused the call, for example for an invalid key or parameter. A retry would not help."""

    def __init__(self, status: int, code: str, message: str, details: Any = None) -> None:
        super().__init__(f"{message} ({status} {code})")
        self.status, self.code, self.message, self.details = status, code, message, details


class Calls:
    """Calls to one service. Every call may be retried, because the API's writing endpoints are idempotent."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float,
        tries: int,
        transport: httpx.BaseTransport | None,
        sleep: Callable[[float], None],
    ) -> None:
        self._tries = max(tries, 1)
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout_seconds,
            transport=transport,
        )

    def make(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Return the response, 2xx or 304. Raises RefusedError, or UnreachableError when all attempts failed."""
        for attempt in range(self._tries):
            try:
                response = self._http.request(method, path, content=body, params=query, headers=headers)
            except httpx.TransportError as fault:
                problem, retry_after = f"{type(fault).__name__}: {fault}", 0.0
            else:
                if response.status_code not in _RETRIED_STATUSES:
                    return _accept(response)
                problem, retry_after = f"status {response.status_code}", _retry_after(response)
            if attempt + 1 < self._tries:
                self._sleep(_wait(attempt, retry_after))
        raise UnreachableError(f"{method} {path}: failed {self._tries} times, the last time with {problem}")

    def close(self) -> None:
        self._http.close()


def _accept(response: httpx.Response) -> httpx.Response:
    if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
        return response
    try:
        error = response.json()["error"]
        code, message, details = str(error["code"]), str(error["message"]), error.get("details")
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message, details = "unknown", "The response is not from this service.", response.text[:200]
    raise RefusedError(response.status_code, code, message, details)


def _retry_after(response: httpx.Response) -> float:
    header = response.headers.get("Retry-After", "")
    return float(header) if header.isascii() and header.isdecimal() else 0.0


def _wait(attempt: int, retry_after: float) -> float:
    """Return half a second, doubled per attempt, with jitter against simultaneous retries; at least `retry_after`."""
    return min(max(retry_after, 0.5 * 2.0**attempt * random.uniform(0.5, 1.0)), _LONGEST_WAIT_SECONDS)  # noqa: S311
