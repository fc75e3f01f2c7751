"""The fast path reads what it takes exactly as gunicorn does, and leaves everything else to it."""

import io
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidResponseHeader, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import create
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.gunicorn_fast_path import BUSY, FastPath, FastRequest

PEER, SERVER = ("203.0.113.9", 50123), ("127.0.0.1", 8000)
POST = b"POST /webhook HTTP/1.1\r\n"
OWN_OBJECTS = {"wsgi.input", "wsgi.errors", "gunicorn.socket", "wsgi.early_hints"}


def config(**more: Any) -> Config:
    made = Config()
    settings = {
        "http_parser": "python",
        "limit_request_line": 4094,
        "limit_request_fields": 60,
        "limit_request_field_size": 8190,
        "header_map": "drop",
        "forwarder_headers": "",
    }
    for name, value in (settings | more).items():
        made.set(name, value)
    return made


def by_fast_path(data: bytes, cfg: Config, peer: Any = PEER) -> tuple[FastRequest | None, bytes]:
    unreader = IterUnreader([])
    found = FastPath(cfg).read(data, unreader, None, peer, SERVER)
    return found, unreader.take_buffered()


def read_alike(data: bytes, cfg: Config, peer: Any = PEER) -> FastRequest | None:
    """Read the data both ways; what the fast path takes must be what gunicorn takes."""
    found, rest = by_fast_path(data, cfg, peer)
    if found is None:
        return None
    unreader = IterUnreader([data])
    theirs = Request(cfg, unreader, peer)
    _, environ = create(theirs, None, peer, SERVER, cfg)
    environ["wsgi.multithread"] = True  # as gunicorn's asynchronous workers set it
    ours = {key: value for key, value in found.environ.items() if key not in OWN_OBJECTS}
    assert ours == {key: value for key, value in environ.items() if key not in OWN_OBJECTS}
    assert found.should_close() == theirs.should_close()
    if found.unread:  # the rest would be received
        assert found.unread == theirs.body.reader.length - len(unreader.take_buffered())
        assert rest == b""
    else:
        assert found.environ["wsgi.input"].read() == theirs.body.read()
        assert rest == unreader.take_buffered()
    return found


ORDINARY = [
    POST + b"Host: x\r\nContent-Length: 2\r\n\r\n{}",
    POST + b"Host: x\r\n\r\n",
    POST + b"Host: x\r\nContent-Length: 2\r\nConnection: close\r\nAccept: */*\r\n\r\n{}",
    POST
    + b"host: x\r\ncontent-type: application/json\r\nConnection: Keep-Alive\r\nX-A: \t1 \r\nX-A: 2\r\n\r\n",
    POST + b"Host: x\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 198.51.100.1, 10.0.0.1\r\n\r\n",
    POST + b"Host: x\r\nUser-Agent: caf\xe9\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"GET /v1/check/%2B15550001111?phone_number_id=1&category=utility HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/check/a?? HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/check/a? HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/check HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Length: 9\r\n\r\n{",
]


@pytest.mark.parametrize("data", ORDINARY, ids=lambda data: data[:40].decode())
@pytest.mark.parametrize("trusted", ["127.0.0.1", "203.0.113.0/24", "*"])
def test_an_ordinary_request_has_gunicorn_s_environment_and_body(data: bytes, trusted: str) -> None:
    assert read_alike(data, config(forwarded_allow_ips=trusted)) is not None


UNUSUAL = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /webhook HTTP/1.0\r\nHost: x\r\n\r\n",
    b"POST /webhook?x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/check/a#b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/check/\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/check/a b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/check/" + b"a" * 4200 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    POST + b"Host: x\r\n",
    POST + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Host: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    POST + b"Host: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    POST + b"Host: x\r\nConnection: keep-alive, TE\r\n\r\n",
    POST + b"Host: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
    POST + b"Host: x\r\nContent-Length: +1\r\n\r\n",
    POST + b"Host: x\r\nContent-Length: 1 1\r\n\r\n",
    POST + b"Host: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    POST + b"Host: x\r\nHost: y\r\n\r\n",
    POST + b"Host: x\r\nX_Under: 1\r\n\r\n",
    POST + b"Host: x\r\nX-A : 1\r\n\r\n",
    POST + b"Host: x\r\nX-A: 1\r\n folded\r\n\r\n",
    POST + b"Host: x\r\nX-A: 1\nX-B: 2\r\n\r\n",
    POST + b"Host: x\r\nX-A: 1\rX-B: 2\r\n\r\n",
    POST + b"Host: x\r\nX-A: \x00\r\n\r\n",
    POST + b"Host: x\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n\r\n",
    POST + b"Host: x\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n\r\n",
    POST + b"Host: x\r\n" + b"X-A: 1\r\n" * 60 + b"\r\n",
    POST + b"Host: x\r\nX-A: " + b"a" * 8000 + b"\r\n\r\n",
]


@pytest.mark.parametrize("data", UNUSUAL, ids=lambda data: repr(data[-60:]))
def test_a_request_that_is_not_ordinary_is_left_to_gunicorn_untouched(data: bytes) -> None:
    assert by_fast_path(data, config()) == (None, b"")


def test_a_client_on_a_unix_socket_is_left_to_gunicorn() -> None:
    assert by_fast_path(ORDINARY[0], config(), peer="") == (None, b"")


NAMES = st.sampled_from(
    [
        *(
            b"Host",
            b"Content-Length",
            b"content-length",
            b"Transfer-Encoding",
            b"Connection",
            b"Content-Type",
        ),
        *(
            b"X-A",
            b"X_A",
            b"X-Forwarded-Proto",
            b"X-Forwarded-Ssl",
            b"Expect",
            b"Upgrade",
            b"Keep-Alive",
            b"TE",
        ),
        *(
            b"X-A ",
            b" X-A",
            b"X-\xe9",
            b"X/A",
            b"!x",
            b"",
            b"Trailer",
            b"Proxy-Connection",
            b"Content_Length",
        ),
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            b"1",
            b"0",
            b"5",
            b"chunked",
            b"close",
            b"keep-alive",
            b"https",
            b"on",
            b"x",
            b"",
            b"1, 1",
            b"a\r\n b",
        ]
    ),
    st.binary(max_size=12),
)
LINES = st.sampled_from(
    [
        *BUSY[::2],
        b"GET /v1/check/1 HTTP/1.1\r\n",
        b"GET /v1/check/%zz?%20 HTTP/1.1\r\n",
        b"GET /v1/check/\x7f HTTP/1.1\r\n",
    ]
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n"])


@given(LINES, st.lists(st.tuples(NAMES, VALUES, ENDS), max_size=5), st.binary(max_size=20))
def test_what_the_fast_path_takes_gunicorn_reads_alike(
    line: bytes, fields: list[tuple[bytes, bytes, bytes]], rest: bytes
) -> None:
    data = line + b"".join(name + b": " + value + end for name, value, end in fields) + b"\r\n" + rest
    read_alike(data, CONFIG)


@given(st.sampled_from(ORDINARY), st.integers(0, 200), st.binary(min_size=1, max_size=2), st.booleans())
def test_a_damaged_request_is_read_as_gunicorn_reads_it(
    data: bytes, place: int, damage: bytes, inserted: bool
) -> None:
    damaged = data[:place] + damage + data[place + (0 if inserted else len(damage)) :]
    read_alike(damaged, CONFIG)


CONFIG = config(forwarded_allow_ips="*")


class Packets:
    """A connection from which these packets come, and then its end."""

    def __init__(self, *packets: bytes) -> None:
        self.packets = list(packets)

    def recv(self, size: int) -> bytes:
        packet = self.packets.pop(0) if self.packets else b""
        if packet[size:]:
            self.packets.insert(0, packet[size:])
        return packet[:size]


def with_late_body(connection: Packets) -> FastRequest:
    data = POST + b"Host: x\r\nContent-Length: 10\r\n\r\n01"
    found = FastPath(CONFIG).read(data, IterUnreader([]), connection, PEER, SERVER)
    assert found is not None
    return found


def test_a_body_that_comes_later_is_received_up_to_its_end() -> None:
    connection = Packets(b"234", b"56789GET /")
    found = with_late_body(connection)
    assert found.unread == 8
    assert (found.environ["wsgi.input"].read(4), found.environ["wsgi.input"].read()) == (b"0123", b"456789")
    assert (found.unread, connection.packets) == (0, [b"GET /"])


def test_a_body_that_ends_early_is_read_as_far_as_it_came() -> None:
    found = with_late_body(Packets(b"234"))
    assert list(found.environ["wsgi.input"]) == [b"01234"]
    assert found.unread == 5


def test_what_nobody_read_of_a_body_is_discarded_before_the_next_request() -> None:
    connection = Packets(b"23456789", b"GET /")
    with_late_body(connection).discard_unread()
    assert connection.packets == [b"GET /"]


def answered(application: Any, data: bytes = ORDINARY[0]) -> bytes:
    fast_path = FastPath(CONFIG)
    request = fast_path.read(data, IterUnreader([]), None, PEER, SERVER)
    assert request is not None
    return fast_path.answer(request, application, lambda: False)


def test_an_answer_has_gunicorn_s_form() -> None:
    def application(_environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
        return [b"ab", b"cd"]

    head, _, body = answered(application).partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    assert (status, body) == ("HTTP/1.1 200 OK", b"abcd")
    names = [field.partition(":")[0] for field in fields]
    assert names == ["Server", "Date", "Connection", "Content-Type", "Content-Length"]
    assert "Connection: keep-alive" in fields


def test_an_answer_without_a_length_gets_one_unless_it_has_no_body() -> None:
    def application(status: str) -> Any:
        return lambda _environ, start: (start(status, []), [])[1]

    assert b"Content-Length: 0\r\n" in answered(application("200 OK"))
    assert b"Content-Length" not in answered(application("304 NOT MODIFIED"))


def test_a_length_that_a_header_only_mentions_is_not_the_answer_s() -> None:
    def application(_environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [("X-Note", "\tcontent-length: 9"), ("X-Content-Length", "9")])
        return [b"ab"]

    assert b"\r\nContent-Length: 2\r\n" in answered(application)


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"])
def test_a_header_with_a_line_break_is_not_sent(value: str) -> None:
    def application(_environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [("X-Request-Id", value)])
        return []

    with pytest.raises(InvalidResponseHeader):
        answered(application)


def test_what_the_application_raises_is_raised_and_its_answer_closed() -> None:
    class Broken(io.BytesIO):
        def __iter__(self) -> Any:
            raise ParseException("broken")

    broken = Broken()
    with pytest.raises(ParseException):
        answered(lambda _environ, start: (start("200 OK", []), broken)[1])
    assert broken.closed


def test_a_connection_with_much_unread_ends_after_the_answer() -> None:
    data = POST + b"Host: x\r\nContent-Length: 65537\r\n\r\n"
    assert b"Connection: close" in answered(lambda _environ, start: (start("401 NO", []), [])[1], data)
