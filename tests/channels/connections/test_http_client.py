"""The HTTP client of the channels against servers that answer slowly, endlessly or with too much."""

import asyncio
import gzip
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic

import httpx
import pytest

from tests.channels.connections import odd_servers
from tests.channels.connections.odd_servers import sends
from webhook_app.channels import SendError
from webhook_app.channels.connections.http_client import MAX_PAUSE_S, HttpClient

_TOTAL_S = 0.4
_OK = b"HTTP/1.1 200 OK\r\n"
_COMPRESSED = gzip.compress(gzip.compress(b"\0" * 10_000_000))


@contextmanager
def server(*parts: bytes | float) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a server that answers a request by what `sends` sends, and the requests."""
    requests: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        requests.append(connection.recv(65_536))
        sends(connection, *parts)

    with odd_servers.server(answer) as port:
        yield f"http://127.0.0.1:{port}/", requests


@pytest.mark.parametrize(
    "answer",
    [
        (_OK + b"X-A: ", b"a", 0.05),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.05),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 100),
        (_OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a", 0.05),
        (_OK + b"Content-Length: 1000\r\n\r\n", b"a", 0.05),
    ],
    ids=["head", "1xx", "many 1xx", "chunk extension", "body"],
)
def test_an_answer_that_does_not_end_is_given_up_after_the_total_time(answer):
    client, began = HttpClient("it", total_s=_TOTAL_S), monotonic()
    with server(*answer) as (url, _), pytest.raises(SendError, match="it cannot be reached") as raised:
        client.post(url, b"{}")
    assert not raised.value.permanent
    assert monotonic() - began < _TOTAL_S + 5  # on a slow machine; the servers have no end


def test_a_receiver_that_does_not_read_is_given_up_after_the_total_time():
    left = threading.Event()
    with odd_servers.server(lambda _: left.wait(30) and None) as port:
        with pytest.raises(SendError, match="it cannot be reached"):
            HttpClient("it", total_s=_TOTAL_S).post(f"http://127.0.0.1:{port}/", b"a" * 20_000_000)
        left.set()


def test_a_compressed_answer_is_not_decompressed_and_none_is_asked_for():
    head = b"Content-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(_COMPRESSED)
    with server(_OK + head + _COMPRESSED) as (url, requests):
        answer = HttpClient("it").post(url, b"{}")
    assert answer.text == _COMPRESSED.decode("utf-8", errors="replace")
    assert b"\r\naccept-encoding: identity\r\n" in requests[0].lower()


def test_an_answer_without_end_is_read_up_to_the_limit():
    with server(_OK + b"\r\n", b"a" * 10_000) as (url, _):
        assert len(HttpClient("it").post(url, b"{}").text) == 65_536


def _tries_again(url):
    try:
        return HttpClient("it").post(url, b"{}").status == 302
    except SendError as fault:
        return not fault.permanent


@pytest.mark.parametrize("location", ["http:foo", "data:x", "mailto:a@b", "//[", "javascript:x"])
def test_a_redirect_to_an_invalid_address_is_tried_again_like_any_other(location):
    head = f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n"
    with server(head.encode()) as (url, _):
        assert _tries_again(url)
    with pytest.raises(SendError, match="invalid") as own:
        HttpClient("it").post("http://a:b", b"{}")
    assert own.value.permanent


def test_no_cookie_is_kept():
    with server(_OK + b"Content-Length: 0\r\nSet-Cookie: a=b\r\n\r\n") as (url, requests):
        client = HttpClient("it")
        client.get(url)
        client.get(url)
    assert [b"cookie" in request.lower() for request in requests] == [False, False]


@pytest.mark.parametrize(
    ("retry_after", "date", "pause"),
    [
        ("Thu, 01 Jan 2027 00:00:20 GMT", "Thu, 01 Jan 2027 00:00:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 +99999999999999", "Thu, 01 Jan 2027 00:00:00 GMT", None),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", "Thu, 01 Jan 2027 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2359", MAX_PAUSE_S),
        ("9" * 400, "", MAX_PAUSE_S),
        (".", "", None),
    ],
)
def test_odd_numbers_in_retry_after_and_date_raise_nothing(retry_after, date, pause):
    head = f"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: {retry_after}\r\nDate: {date}\r\n\r\n"
    with server(head.encode()) as (url, _):
        assert HttpClient("it", httpx.Timeout(2.0)).get(url).retry_after == pause


def test_a_caller_in_an_event_loop_gets_its_answer_too():
    with server(_OK + b"Content-Length: 2\r\n\r\nok") as (url, _):

        async def ask():
            return HttpClient("the receiver").get(url)

        with ThreadPoolExecutor(1) as other:  # this thread may run a loop already, of the browser's tests
            assert other.submit(lambda: asyncio.run(ask())).result().text == "ok"
