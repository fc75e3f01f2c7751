"""One HTTP request with limits on the time and size of everything that the server sends. Keeps nothing between two."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx
from msgspec import Struct

Result = TypeVar("Result")

_HEADERS = {"User-Agent": "webhook-app", "Accept-Encoding": "identity"}


class RawAnswer(Struct, frozen=True):
    """An answer as the server sent it, with any status."""

    status: int
    headers: httpx.Headers
    body: bytes


def exchange(
    method: str,
    url: str | httpx.URL,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    timeout: httpx.Timeout,
    total_s: float,
    max_bytes: int,
    certificates: ssl.SSLContext,
) -> RawAnswer:
    """Return the answer, of whose body little more than `max_bytes` is read. Raises httpx.HTTPError or InvalidURL.

    The request runs in an event loop of its own, because only there one deadline can end it in every phase. Nothing is
    decompressed, because an answer of a kilobyte could fill the memory.
    """
    url = httpx.URL(url)

    async def answer() -> RawAnswer:
        async with (
            asyncio.timeout(total_s),
            httpx.AsyncClient(timeout=timeout, verify=certificates) as client,
            client.stream(
                method, url, content=body, headers=_HEADERS | dict(headers), follow_redirects=False
            ) as response,
        ):
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > max_bytes:
                    break
            return RawAnswer(response.status_code, response.headers, bytes(received))

    try:
        return run_to_end(answer)
    except TimeoutError:
        raise httpx.ReadTimeout("the answer takes too long") from None
    except httpx.InvalidURL:  # not ours, so the one that a redirect names
        raise httpx.RemoteProtocolError("the answer names an invalid address") from None


def run_to_end(work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run this in an event loop of its own and return its result; in another thread if this one runs a loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with ThreadPoolExecutor(1) as other:
        return other.submit(lambda: asyncio.run(work())).result()
