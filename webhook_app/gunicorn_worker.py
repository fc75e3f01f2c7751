"""gunicorn's gevent worker with limits per connection: waiting time, unread bytes, log lines. No routes.

A client that misses its deadline is treated as disconnected, so that no other code handles client timeouts. When
nearly all connections of the worker are in use, the client that has kept it waiting longest is disconnected.
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
REQUEST_S = 20.0  # from a request's first byte to its last, headers and body together
BYTES_PER_SECOND = 64 * 1024  # received bytes extend the deadline: large bodies on slow lines are no attack
ANSWER_S = 30.0  # for the client to read one part of the answer
LINGER_S = 5.0  # after the answer, so that a client still sending reads it instead of a reset
LINGER_IDLE_S = 1.0  # of these without a byte from the client
LINGER_BYTES = (
    64 * 2**20
)  # that are discarded meanwhile; a client that sends all before it reads needs them read
CROWDED_SHARE = 0.9  # of a worker's connections in use: from here on a new client replaces the slowest
DRAIN_BYTES = (
    64 * 1024
)  # an unread rest up to this size is discarded and the connection kept; else it is closed

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
    "Connections closed within a request: a late client, or the slowest when nearly all are in use",
    ["reason"],
)
LATE, CROWD = CUT.labels("late"), CUT.labels("crowd")

_NO_CONTEXT = contextlib.nullcontext(None)


class ClientConnection:
    """A client's socket with a deadline for every wait. After the deadline it reads like a closed connection."""

    def __init__(self, client: socket.socket, idle_s: float) -> None:
        self._socket = client
        self._idle_s = idle_s
        self._awaiting_request = True
        self._ended = False
        self._hung_up = False
        self._head: bytes | None = None
        self.request: Any = None
        self.reading = False
        self.since = monotonic()
        self._deadline = self.since + FIRST_BYTE_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def recv(self, size: int) -> bytes:
        """Receive up to `size` bytes; empty when the client has closed or missed its deadline."""
        left = self._deadline - monotonic()
        data = self._receive(size, left) if left > 0 and not self._ended else b""
        if not data:
            if not (self._awaiting_request or self._ended or self._hung_up):
                LATE.inc()
            self._ended = True
            if self.request is not None:
                self.request.force_close()
        elif self._awaiting_request:
            self._awaiting_request = False
            self.since = monotonic()
            self._deadline = self.since + REQUEST_S
        else:
            self._deadline += len(data) / BYTES_PER_SECOND
        return data

    def send(self, data: bytes) -> int:
        """Send what fits into the socket's buffer. Raises BrokenPipeError when the client does not read."""
        with self._answering():
            return self._socket.send(data)

    def sendall(self, data: bytes) -> None:
        """Send all data. Raises BrokenPipeError when the client does not read.

        The head of an answer is held back until its body: as a separate packet it would wake the client twice.
        """
        if self._head == b"":
            self._head = data
            return
        if self._head:
            data, self._head = self._head + data, None
        with self._answering():
            self._socket.sendall(data)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a part of a file, after the head of the answer."""
        self.finish_answer()
        with self._answering():
            return self._socket.sendfile(file, offset, count)

    def begin_answer(self, request: Any) -> None:
        """Expect the head of an answer to this request as the next data sent."""
        self.request = request
        self._head = b""

    def finish_answer(self) -> None:
        """Send the head of an answer that has no body."""
        head, self._head = self._head, None
        if head:
            self.sendall(head)

    def await_next(self) -> None:
        """Start waiting for the next request, up to the keep-alive timeout."""
        self.request = None
        self._awaiting_request = True
        self.since = monotonic()
        self._deadline = self.since + self._idle_s

    def drop(self) -> None:
        """End a wait from another greenlet: the reading greenlet sees a closed connection."""
        self._ended = self._hung_up = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Close, after draining a client that is still sending: unread bytes would turn the answer into a reset."""
        if not self._hung_up:
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
            self._hung_up = not isinstance(fault, TimeoutError)
            return b""
        finally:
            self.reading = False
        self._hung_up = not data
        return data

    def _linger(self) -> None:
        """Discard what the client still sends. When connections run out, the worker may end this, too."""
        self.since = monotonic()
        until, left = self.since + LINGER_S, LINGER_BYTES
        while left > 0 and (seconds := until - monotonic()) > 0:
            data = self._receive(DRAIN_BYTES, min(seconds, LINGER_IDLE_S))
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
            self._ended = self._hung_up = True
            raise BrokenPipeError(errno.EPIPE, "the client does not read its answer") from None


class _ChunkedInput:
    """A chunked body's reader. Malformed chunks are reported as a lost connection."""

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
        """The unread bytes: 0 at the end, else more than the drain limit because the number is unknown."""
        return 0 if self._reader.parser is None else DRAIN_BYTES + 1


class BoundedWorker(GeventWorker):  # type: ignore[misc]
    """One worker process: limits its connections and refuses requests that are not HTTP."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._connections: set[ClientConnection] = set()
        self._log_refused = RateLimitedLog(log.warning, "requests that are not HTTP refused")

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """Serve one connection until it closes."""
        connection = ClientConnection(client, self.cfg.keepalive)
        self._connections.add(connection)
        try:
            if len(self._connections) > CROWDED_SHARE * self.worker_connections:
                self._drop_slowest()
            super().handle(listener, connection, addr)
        finally:
            self._connections.discard(connection)

    def timeout_ctx(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that does nothing: ClientConnection enforces its own deadlines."""
        return _NO_CONTEXT

    def handle_request(self, listener_name: Any, req: Any, sock: ClientConnection, addr: Any) -> bool:
        """Answer one request; close the connection when too much of the body is unread."""
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
        """Refuse what is not HTTP with a constant text; leave our own errors to gunicorn."""
        is_ours = not isinstance(exc, ParseException)
        if is_ours or isinstance(exc, (InvalidResponseHeader, InvalidResponseHeaderName)):
            super().handle_error(None, client, addr, exc)  # without the request: gunicorn would log the path
            return
        status, reason = next((status, reason) for kind, status, reason in _STATUS if isinstance(exc, kind))
        self._log_refused(type(exc).__name__)
        MALFORMED.labels(str(status)).inc()
        with contextlib.suppress(OSError):
            client.sendall(_ANSWER.format(status=status, reason=reason, length=len(reason) + 1).encode())

    def _drop_slowest(self) -> None:
        slowest = min(
            (each for each in self._connections if each.reading), key=lambda each: each.since, default=None
        )
        if slowest is not None:
            CROWD.inc()
            slowest.drop()


def _should_close(request: Any, reader: Any, asked: Any) -> bool:
    """Whether the answer must announce a closed connection: requested, or too much of the body is unread."""
    if reader.length > DRAIN_BYTES:
        request.force_close()
    return bool(asked())
