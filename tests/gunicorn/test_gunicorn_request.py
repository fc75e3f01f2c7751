"""Heads of requests: complete ones are parsed as gunicorn does, large ones refused early."""

from functools import partial
from itertools import chain, repeat

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidHeader, InvalidRequestLine, LimitRequestHeaders, LimitRequestLine
from gunicorn.http.unreader import IterUnreader

from webhook_app import gunicorn_request
from webhook_app.gunicorn_request import MAX_HEAD_BYTES, BoundedRequest

START = b"GET /x HTTP/1.1\r\nHost: a\r\n"


class Packets:
    """Single bytes, counted as they are read."""

    def __init__(self, *parts):
        self.read = 0
        self._bytes = chain.from_iterable(parts)

    def __iter__(self):
        return self

    def __next__(self):
        byte = next(self._bytes)
        self.read += 1
        return bytes([byte])


def parse(packets):
    return BoundedRequest(Config(), IterUnreader(packets), ("127.0.0.1", 1))


@pytest.mark.parametrize("start", [b"", b"\r\n"])
def test_a_head_in_single_bytes_is_that_of_one_packet(start):
    packets = Packets(start + START + b"A: b\r\n\r\nrest")
    found = parse(packets)
    assert (found.path, found.headers) == ("/x", [("HOST", "a"), ("A", "b")])
    assert packets.read == len(start + START + b"A: b\r\n\r\n")
    whole = parse([start + START + b"A: b\r\n\r\nrest"])
    assert (whole.path, whole.headers) == (found.path, found.headers)
    assert whole.unreader.read() == b"rest"


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ((START, b"X: ", repeat(97)), LimitRequestHeaders),
        ((START, chain.from_iterable(repeat(b"X: y\r\n"))), LimitRequestHeaders),
        ((b"GET /", repeat(97)), LimitRequestLine),
        ((b"\r\nGET /", repeat(97)), LimitRequestLine),
        ((START, b"X: y\n", repeat(97)), InvalidHeader),
        ((b"GET / HTTP/1.1\n", repeat(97)), InvalidRequestLine),
    ],
)
def test_a_head_without_end_is_refused_at_the_limit(parts, fault):
    packets = Packets(*parts)
    with pytest.raises(fault):
        parse(packets)
    assert packets.read <= MAX_HEAD_BYTES + 1


def test_a_complete_head_over_the_limit_is_refused():
    fields = b"".join(b"X-%d: %b\r\n" % (n, b"y" * 1000) for n in range(40))
    with pytest.raises(LimitRequestHeaders):
        parse([START + fields + b"\r\n"])


def test_a_head_of_many_large_cookies_is_accepted():
    fields = b"".join(b"X-%d: %b\r\n" % (n, b"y" * 4000) for n in range(7))
    assert len(parse([START + fields + b"\r\n"]).headers) == 8


@pytest.mark.parametrize(("path", "queue"), [(b"/x", "REQUEST_TURNS"), (b"/healthz", "PROBE_TURNS")])
def test_a_complete_head_waits_for_its_turn_before_it_is_parsed(monkeypatch, path, queue):
    waited = []
    for name in ("REQUEST_TURNS", "PROBE_TURNS"):
        monkeypatch.setattr(getattr(gunicorn_request, name), "wait", partial(waited.append, name))
    parse(Packets(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert waited == [queue]
