"""One HTTP call: timeouts, tries with growing waits, and exceptions that say what happened. Knows no endpoint."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import httpx

_TRY_AGAIN = frozenset((429, 500, 502, 503, 504))
_LONGEST_WAIT_SECONDS = 30.0


class ClientError(Exception):
    """Something kept a call from being answered."""


class UnreachableError(ClientError):
    """No usable answer after all tries: the network, a timeout, or a server that cannot answer now."""


class RefusedError(ClientError):
    """The service refused the call, and would again: a bad key, a bad parameter."""

    def __init__(self, status: int, code: str, message: str, details: Any = None) -> None:
        super().__init__(f"{message} ({status} {code})")
        self.status, self.code, self.message, self.details = status, code, message, details


class Calls:
    """Calls to one service. Every call may be repeated: those of the API that write are the same when made again."""

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
        """The answer, 2xx or 304. Raises RefusedError or, when all tries have failed, UnreachableError."""
        for attempt in range(self._tries):
            try:
                response = self._http.request(method, path, content=body, params=query, headers=headers)
            except httpx.TransportError as fault:
                why, asked = f"{type(fault).__name__}: {fault}", 0.0
            else:
                if response.status_code not in _TRY_AGAIN:
                    return _accept(response)
                why, asked = f"status {response.status_code}", _retry_after(response)
            if attempt + 1 < self._tries:
                self._sleep(_wait(attempt, asked))
        raise UnreachableError(f"{method} {path}: no answer in {self._tries} tries, the last: {why}")

    def close(self) -> None:
        self._http.close()


def _accept(response: httpx.Response) -> httpx.Response:
    if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
        return response
    try:
        error = response.json()["error"]
        code, message, details = str(error["code"]), str(error["message"]), error.get("details")
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message, details = "unknown", "The answer is not one of this service.", response.text[:200]
    raise RefusedError(response.status_code, code, message, details)


def _retry_after(response: httpx.Response) -> float:
    given = response.headers.get("Retry-After", "")
    return float(given) if given.isascii() and given.isdecimal() else 0.0


def _wait(attempt: int, asked: float) -> float:
    """Half a second, doubling, with jitter so that many clients do not come back together; at least what was asked."""
    return min(max(asked, 0.5 * 2.0**attempt * random.uniform(0.5, 1.0)), _LONGEST_WAIT_SECONDS)  # noqa: S311
