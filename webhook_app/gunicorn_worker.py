"""gunicorn's gevent worker with a limit on what one connection can take: waiting time, unread bytes, log lines.

A client that is late is treated as one that hung up, so nothing above this needs to know about time. When
nearly all places are taken, whoever has been waited for the longest loses theirs. No routes, no decisions.
"""

import contextlib
import errno
import socket
from functools import partial
from time import monotonic
from typing import Any

import structlog
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.ggevent import GeventWorker
from prometheus_client import Counter

from webhook_app.logs import RateLimitedLog

log = structlog.get_logger()

FIRST_BYTE_S = 20.0  # from accepting a connection to its first byte
REQUEST_S = 20.0  # from a request's first byte to its last, head and body together
BYTES_PER_SECOND = 64 * 1024  # what is received buys more time: large bodies on slow lines are not an attack
ANSWER_S = 30.0  # until the client has taken one piece of the answer
LINGER_S = 1.0  # after our last word, so that a client still sending reads it instead of a reset
CROWDED = 0.9  # of a worker's places taken: from here on new clients replace the slowest
DRAIN_BYTES = 64 * 1024  # an unread rest up to this is read and thrown away; beyond it the connection ends

_STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (LimitRequestLine, 414, "URI Too Long"),
    (LimitRequestHeaders, 431, "Request Header Fields Too Large"),
    (UnsupportedTransferCoding, 501, "Not Implemented"),
    (ExpectationFailed, 417, "Expectation Failed"),
    (ParseException, 400, "Bad Request"),
)
_ANSWER = (
    "HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n"
    "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\r\n{reason}\n"
)
MALFORMED = Counter(
    "webhook_app_requests_malformed", "Requests that are not HTTP, by the status they got", ["status"]
)
for _refusal in _STATUS:
    MALFORMED.labels(str(_refusal[1]))
CUT = Counter(
    "webhook_app_connections_cut",
    "Connections ended within a request: a late client, or the slowest of a crowd",
    ["reason"],
)
LATE, CROWD = CUT.labels("late"), CUT.labels("crowd")

_NO_CONTEXT = contextlib.nullcontext(None)


class Connection:
    """A client's socket on which every wait ends. Past its deadline reading says what it says after a hang-up."""

    def __init__(self, client: socket.socket, idle_s: float) -> None:
        self._socket = client
        self._idle_s = idle_s
        self._fresh = True
        self._ended = False
        self._gone = False
        self._head: bytes | None = None
        self.request: Any = None
        self.reading = False
        self.since = monotonic()
        self._deadline = self.since + FIRST_BYTE_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def recv(self, size: int) -> bytes:
        """What came in, at most `size` bytes; nothing when the client has ended or is too late."""
        left = self._deadline - monotonic()
        data = self._receive(size, left) if left > 0 and not self._ended else b""
        if not data:
            if not (self._fresh or self._ended or self._gone):
                LATE.inc()
            self._ended = True
            if self.request is not None:
                self.request.force_close()
        elif self._fresh:
            self._fresh = False
            self.since = monotonic()
            self._deadline = self.since + REQUEST_S
        else:
            self._deadline += len(data) / BYTES_PER_SECOND
        return data

    def send(self, data: bytes) -> int:
        """Send what fits now. Raises BrokenPipeError when the client does not read."""
        with self._answering():
            return self._socket.send(data)

    def sendall(self, data: bytes) -> None:
        """Send all of it. Raises BrokenPipeError when the client does not read.

        The head of an answer waits for what follows: in a packet of its own it would wake the client twice.
        """
        if self._head == b"":
            self._head = data
            return
        if self._head:
            data, self._head = self._head + data, None
        with self._answering():
            self._socket.sendall(data)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a part of a file, the head of the answer before it."""
        self.finish_answer()
        with self._answering():
            return self._socket.sendfile(file, offset, count)

    def begin_answer(self, request: Any) -> None:
        """What is sent next is the head of an answer to this request."""
        self.request = request
        self._head = b""

    def finish_answer(self) -> None:
        """Nothing follows that the head should wait for."""
        head, self._head = self._head, None
        if head:
            self.sendall(head)

    def await_next(self) -> None:
        """The request is answered; the next may take its time, up to the keep-alive's end."""
        self.request = None
        self._fresh = True
        self.since = monotonic()
        self._deadline = self.since + self._idle_s

    def drop(self) -> None:
        """End the waiting from outside: the greenlet that reads wakes up to a client that hung up."""
        self._ended = self._gone = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Close, after a moment for a client that is still sending: unread bytes would turn our answer into a reset."""
        if not self._gone:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
                self._linger()
        self._socket.close()

    def _receive(self, size: int, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        self.reading = True
        try:
            data = self._socket.recv(size)
        except OSError as fault:  # a reset is a hang-up too
            self._gone = not isinstance(fault, TimeoutError)
            return b""
        finally:
            self.reading = False
        self._gone = not data
        return data

    def _linger(self) -> None:
        until = monotonic() + LINGER_S
        left = 16 * DRAIN_BYTES
        while left > 0 and (seconds := until - monotonic()) > 0:
            self._socket.settimeout(seconds)
            data = self._socket.recv(DRAIN_BYTES)
            if not data:
                return
            left -= len(data)

    @contextlib.contextmanager
    def _answering(self) -> Any:
        self._socket.settimeout(ANSWER_S)
        try:
            yield
        except OSError as fault:
            if isinstance(fault, TimeoutError):
                LATE.inc()
            self._ended = self._gone = True
            raise BrokenPipeError(errno.EPIPE, "the client does not take its answer") from None


class _ChunkedInput:
    """A chunked body's reader. What is wrong with the chunks is the client's fault, told as a lost connection."""

    def __init__(self, reader: ChunkedReader, request: Any) -> None:
        self._reader = reader
        self._request = request

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self._reader.read(size)
        except (ParseException, OSError) as fault:
            self._request.force_close()
            raise ConnectionResetError(errno.ECONNRESET, "the chunks end early or are malformed") from fault
        return data

    @property
    def length(self) -> int:
        """What is still to be read: nothing, or nobody knows."""
        return 0 if self._reader.parser is None else DRAIN_BYTES + 1


class BoundedWorker(GeventWorker):  # type: ignore[misc]
    """One worker process: its connections, and the refusal of what is not HTTP."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._held: set[Connection] = set()
        self._refused = RateLimitedLog(log.warning, "requests that are not HTTP refused")

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """Serve one connection to its end."""
        connection = Connection(client, self.cfg.keepalive)
        self._held.add(connection)
        try:
            if len(self._held) > CROWDED * self.worker_connections:
                self._make_room()
            super().handle(listener, connection, addr)
        finally:
            self._held.discard(connection)

    def timeout_ctx(self) -> contextlib.AbstractContextManager[None]:
        """Nothing: the connection itself knows how long to wait."""
        return _NO_CONTEXT

    def handle_request(self, listener_name: Any, req: Any, sock: Connection, addr: Any) -> bool:
        """Answer one request; the connection ends when too much of the body was left unread."""
        sock.begin_answer(req)
        body = req.body
        if isinstance(body.reader, ChunkedReader):
            body.reader = _ChunkedInput(body.reader, req)
        if body.reader.length:
            req.should_close = partial(_should_close, req, body.reader, req.should_close)
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            sock.finish_answer()
        sock.await_next()
        return True

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Refuse what is not HTTP in a few constant words; anything else is our own fault, and gunicorn's to tell."""
        ours = not isinstance(exc, ParseException)
        if ours or isinstance(exc, (InvalidResponseHeader, InvalidResponseHeaderName)):
            super().handle_error(None, client, addr, exc)  # without the request: it would log the path
            return
        status, reason = next((status, reason) for kind, status, reason in _STATUS if isinstance(exc, kind))
        self._refused(type(exc).__name__)
        MALFORMED.labels(str(status)).inc()
        with contextlib.suppress(OSError):
            client.sendall(_ANSWER.format(status=status, reason=reason, length=len(reason) + 1).encode())

    def _make_room(self) -> None:
        slowest = min(
            (each for each in self._held if each.reading), key=lambda each: each.since, default=None
        )
        if slowest is not None:
            CROWD.inc()
            slowest.drop()


def _should_close(request: Any, reader: Any, asked: Any) -> bool:
    """Whether the answer must say that the connection ends: asked for, or too much of the body is unread."""
    if reader.length > DRAIN_BYTES:
        request.force_close()
    return bool(asked())
