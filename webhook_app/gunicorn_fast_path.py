"""Reads and answers ordinary requests for the busiest paths without gunicorn's parser, in less than half the time.

A request that is not ordinary in any respect (in pieces, chunked, with a header that changes how it is read) is left
to gunicorn, byte for byte: what is malformed is refused in one place. The WSGI environment has gunicorn's entries.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from io import BytesIO
from time import time
from typing import Any

import httptools
from gunicorn.config import Config
from gunicorn.http.errors import InvalidResponseHeader
from gunicorn.http.message import Message
from gunicorn.http.wsgi import base_environ
from gunicorn.util import http_date, unquote_to_wsgi_str

from webhook_app.gunicorn_connection import DRAIN_BYTES

BUSY = (b"POST /webhook HTTP/1.1\r\n", b"GET /v1/check/", b"POST /v1/check HTTP/1.1\r\n")
"""How the requests begin that are asked for a thousand times a second."""

MAX_HEAD = 8000  # bytes; below each limit of gunicorn's parser for a line, a field or a head
MAX_TARGET = 4000
_RECEIVED_AT_ONCE = 256 * 1024
_CACHED_NAMES = 500
_CACHED_ANSWERS = 50  # most have the same headers; those of checks have an id of their own
_END = b"\r\n\r\n"
_SERVER = "gunicorn"

_CHANGE_THE_READING = frozenset(
    (
        *(b"transfer-encoding", b"expect", b"upgrade", b"http2-settings", b"te", b"trailer"),
        b"proxy-connection",
    )
)
"""Headers that change how a request is read: gunicorn reads it."""
_ONCE = ("HTTP_HOST", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_CONNECTION")

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class FastRequest:
    """One request: its environment, the unread body, and whether the connection ends after the answer."""

    __slots__ = ("_close", "_late", "environ")

    def __init__(self, environ: Environ, body: "BytesIO | LateBody", *, close: bool) -> None:
        self.environ = environ
        self._close = close
        self._late = body if isinstance(body, LateBody) else None
        environ["wsgi.input"] = body

    @property
    def unread(self) -> int:
        """The bytes of the body that are still to be received."""
        return self._late.unread if self._late is not None else 0

    def discard_unread(self) -> None:
        """Receive the rest of the body."""
        if self._late is not None:
            self._late.read()

    def force_close(self) -> None:
        """End the connection after the answer."""
        self._close = True

    def should_close(self) -> bool:
        return self._close


class LateBody:
    """A body that did not come whole with its head: the rest is received when it is read, and copied once.

    When the connection ends early, it ends early.
    """

    def __init__(self, received: bytes, length: int, connection: Any) -> None:
        self.unread = length - len(received)
        self._received = received
        self._connection = connection
        self._whole: BytesIO | None = None

    def read(self, size: int | None = -1) -> bytes:
        return self._buffer().read(size)

    def readline(self, size: int | None = -1) -> bytes:
        return self._buffer().readline(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._buffer())

    def _buffer(self) -> BytesIO:
        if self._whole is None:
            parts, connection = [self._received], self._connection
            self._received, self._connection = b"", None  # nothing is kept twice
            while self.unread and (data := connection.recv(min(self.unread, _RECEIVED_AT_ONCE))):
                parts.append(data)
                self.unread -= len(data)
            self._whole = BytesIO(b"".join(parts))
        return self._whole


class FastPath:
    """Parses heads and formats answers for the connections of a worker."""

    def __init__(self, cfg: Config) -> None:
        self._cfg = cfg
        self._base = base_environ(cfg) | {
            "wsgi.multithread": True,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SCRIPT_NAME": "",
        }
        self._schemes = {
            "HTTP_" + name.replace("-", "_"): value for name, value in cfg.secure_scheme_headers.items()
        }
        self._date, self._date_of = "", 0

    def read(self, data: bytes, unreader: Any, connection: Any, peer: Any, server: Any) -> FastRequest | None:
        """Return the request that begins with these bytes, whose rest is unread, or None if it is not ordinary."""
        end = data.find(_END, 0, MAX_HEAD) if data.startswith(BUSY) else -1
        if end < 0 or not isinstance(peer, tuple) or not isinstance(server, tuple):
            return None
        head = _OrdinaryHead()
        if not head.read(data[: end + len(_END)]):
            return None
        scheme = self._scheme(head.fields, peer)
        if scheme is None:
            return None
        target = head.target.decode("ascii")
        path, _, query = target.partition("?")
        environ = self._base | head.fields
        environ["gunicorn.socket"] = connection
        environ["REQUEST_METHOD"] = head.method.decode("ascii")
        environ["RAW_URI"] = target
        environ["QUERY_STRING"] = query
        environ["PATH_INFO"] = unquote_to_wsgi_str(path) if "%" in path else path
        environ["wsgi.url_scheme"] = scheme
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer[0], str(peer[1])
        environ["SERVER_NAME"], environ["SERVER_PORT"] = server[0], str(server[1])
        received = data[end + len(_END) :]
        if rest := received[head.length :]:
            unreader.unread(rest)
        whole = len(received) >= head.length
        body = BytesIO(received[: head.length]) if whole else LateBody(received, head.length, connection)
        close = head.fields.get("HTTP_CONNECTION", "").lower() == "close"
        return FastRequest(environ, body, close=close)

    def answer(
        self, request: FastRequest, application: Application, is_stopping: Callable[[], bool]
    ) -> bytes:
        """Return the whole answer of the application, head and body. What it raises is raised.

        `is_stopping` is asked when the application is done: the worker may have been told to stop meanwhile.
        """
        answer = _WholeAnswer()
        found = application(request.environ, answer.start)
        try:
            body = b"".join(found)
        finally:
            if (close := getattr(found, "close", None)) is not None:
                close()
        if request.unread > DRAIN_BYTES or is_stopping():
            request.force_close()
        return answer.head(len(body), self._now(), close=request.should_close()).encode("latin-1") + body

    def _scheme(self, fields: dict[str, str], peer: tuple[Any, ...]) -> str | None:
        """As in gunicorn, one header of a trusted proxy says how its client came; None if there are several."""
        if self._schemes.keys().isdisjoint(fields):
            return "http"
        given = [(value, fields[name]) for name, value in self._schemes.items() if name in fields]
        [(secure, found), *more] = given
        if more or "," in found:
            return None
        return "https" if found == secure and _is_trusted(self._cfg, peer) else "http"

    def _now(self) -> str:
        if (second := int(time())) != self._date_of:
            self._date, self._date_of = http_date(second), second
        return self._date


class _OrdinaryHead:
    """The fields of a request's head under their names in the environment."""

    def __init__(self) -> None:
        self.method = self.target = b""
        self.fields: dict[str, str] = {}
        self.length = 0
        self._is_ordinary = True
        self._count = 0

    def read(self, head: bytes) -> bool:
        """Parse a whole head; false unless it is valid and ordinary."""
        self.method, _, rest = head[: head.find(b"\r\n")].partition(b" ")
        self.target, _, version = rest.partition(b" ")
        if version != b"HTTP/1.1":
            return False
        lines = head.count(b"\r\n")
        if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\n " in head or b"\n\t" in head:
            return False
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return self._is_ordinary and self._count == lines - 2 <= 60 and self._has_length()

    def on_url(self, url: bytes) -> None:
        """Called by the parser with the target."""
        if url != self.target or len(url) > MAX_TARGET or b"#" in url or not url.isascii():
            self._is_ordinary = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser for each field."""
        self._count += 1
        key = _environ_name(name)
        if not key:
            self._is_ordinary = False
            return
        text = value.decode("latin-1").strip(" \t")
        if key not in self.fields:
            self.fields[key] = text
        elif key in _ONCE:
            self._is_ordinary = False
        else:
            self.fields[key] = f"{self.fields[key]},{text}"

    def _has_length(self) -> bool:
        announced = self.fields.get("CONTENT_LENGTH", "0")
        if not announced.isascii() or not announced.isdecimal() or len(announced) > 18:
            return False
        self.length = int(announced)
        return self.fields.get("HTTP_CONNECTION", "close").lower() in ("close", "keep-alive")


@lru_cache(_CACHED_NAMES)
def _environ_name(name: bytes) -> str:
    """The name of a field in the environment; '' if gunicorn has to decide what becomes of it."""
    lower = name.lower()
    if lower in _CHANGE_THE_READING or not lower.replace(b"-", b"").isalnum() or not lower.isascii():
        return ""
    if lower in (b"content-type", b"content-length"):
        return lower.decode("ascii").upper().replace("-", "_")
    return "HTTP_" + lower.decode("ascii").upper().replace("-", "_")


def _is_trusted(cfg: Config, peer: tuple[Any, ...]) -> bool:
    probe = Message.__new__(Message)
    probe.cfg, probe.peer_addr = cfg, peer
    return bool(probe._peer_is_trusted_proxy())  # noqa: SLF001  the rule of gunicorn, not one of our own


class _WholeAnswer:
    """Status and headers of an answer."""

    def __init__(self) -> None:
        self._status = ""
        self._headers: list[tuple[str, str]] = []

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], Any]:
        """WSGI's start_response."""
        if exc_info is None and self._status:
            raise AssertionError("the answer has begun already")
        self._status, self._headers = status, headers
        return _write

    def head(self, length: int, date: str, *, close: bool) -> str:
        """The head of an answer with a body of so many bytes. Raises InvalidResponseHeader for a line break."""
        lines, has_length = _header_lines(self._status, *self._headers)
        if not has_length and not self._status.startswith(("204", "304")):
            lines += f"Content-Length: {length}\r\n"
        how = "close" if close else "keep-alive"
        return f"HTTP/1.1 {self._status}\r\nServer: {_SERVER}\r\nDate: {date}\r\nConnection: {how}\r\n{lines}\r\n"


@lru_cache(_CACHED_ANSWERS)
def _header_lines(status: str, *headers: tuple[str, str]) -> tuple[str, bool]:
    """The lines of these headers, and whether they have a length. Raises InvalidResponseHeader for a line break."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    own = len(headers)
    if lines.count("\n") != own or lines.count("\r") != own or "\0" in lines or "\n" in status:
        raise InvalidResponseHeader("a header has a line break")
    return lines, "\ncontent-length: " in f"\n{lines.lower()}"


def _write(_data: bytes) -> None:
    raise NotImplementedError("answers are returned, not written")
