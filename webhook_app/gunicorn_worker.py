"""gunicorn's gevent worker with limits per connection: waiting, turns, unread bytes, log lines. No routes.

A client that misses its deadline is treated as disconnected, so that no other code handles client timeouts. When
nearly all connections of the worker are in use, or incomplete bodies fill its memory, the client that has kept it
waiting longest, for its request or to take its answer, is disconnected.
"""

import contextlib
import errno
import socket
import struct
from collections.abc import Callable, Collection
from functools import partial
from time import monotonic
from typing import Any

import structlog
from gevent import GreenletExit, get_hub, getcurrent  # type: ignore[import-untyped]
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.parser import RequestParser
from gunicorn.util import close
from gunicorn.workers.ggevent import GeventWorker
from prometheus_client import Counter

from webhook_app.event_loop import TURN_S, give_way
from webhook_app.gunicorn_fast_path import DRAIN_BYTES, FastPath, FastRequest
from webhook_app.gunicorn_request import BoundedRequest
from webhook_app.logs import RateLimitedLog

log = structlog.get_logger()

LATE_CHECK_S = 0.25  # how late a deadline for the client may end its wait
FIRST_BYTE_S = 20.0  # from accepting a connection to its first byte
REQUEST_S = 20.0  # from a request's first byte to its last, headers and body together
BYTES_PER_SECOND = (
    64 * 1024
)  # received or sent bytes extend the deadline: large bodies on slow lines are no attack
ANSWER_S = 30.0  # for the client to take one part of the answer
LINGER_S = 5.0  # after the answer, so that a client still sending reads it instead of a reset
LINGER_IDLE_S = 1.0  # of these without a byte from the client
LINGER_BYTES = 64 * 2**20  # discarded meanwhile, for clients that send everything before they read
CROWDED_SHARE = 0.9  # of a worker's connections in use: from here on a new client replaces the slowest
FIRST_PART = 64 * 1024  # bytes of an answer's body that are sent together with its head
READING_BYTES = 64 * 2**20  # of large incomplete bodies per worker; beyond it the slowest is disconnected
SMALL_BODY = 64 * 1024  # smaller incomplete bodies do not count
CHUNK_FRAMING = 256 * 1024  # wire bytes that a chunked body may take beyond twice its length
FREE_CHUNKS = 4096  # more must hold CHUNK_BYTES on average: parsing one takes 2 µs, clients' are larger
CHUNK_BYTES = 128

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
    "Connections closed within a request: a late client, or the slowest when connections or memory run out",
    ["reason"],
)
LATE, CROWD, MEMORY = CUT.labels("late"), CUT.labels("crowd"), CUT.labels("memory")

_RESET = struct.pack("ii", 1, 0)  # for SO_LINGER
_NO_CONTEXT = contextlib.nullcontext(None)


class ClientConnection:
    """A client's socket with a deadline for every wait. After the deadline it reads like a closed connection."""

    def __init__(
        self, client: socket.socket, idle_s: float, on_growth: Callable[[], None] = lambda: None
    ) -> None:
        """`on_growth` is called for every SMALL_BODY bytes of a request after the first."""
        self._socket = client
        self._idle_s = idle_s
        self._on_growth = on_growth
        self._awaiting_request = True
        self._ended = False
        self._hung_up = False
        self._head: bytes | None = None
        self.request: Any = None
        self._waiting: Any = None  # the greenlet that waits for the client
        self.reading = self.sending = False
        self.received = 0  # bytes, of the current request
        self.since = monotonic()  # of the current wait; sent bytes make it later
        self._deadline = self.since + FIRST_BYTE_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def recv(self, size: int) -> bytes:
        """Receive up to `size` bytes; empty when the client has closed or missed its deadline."""
        self.reading = True  # its memory counts while others run
        give_way()
        self.reading = False
        left = self._deadline - monotonic()
        data = self._receive(size, None) if left > 0 and not self._ended else b""
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
        before, self.received = self.received, self.received + len(data)
        if before // SMALL_BODY != self.received // SMALL_BODY:
            self._on_growth()
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
        head, self._head = self._head, None
        if not head:
            self._send_whole(data)
            return
        self._send_whole(head + data[:FIRST_PART])  # a large body is not copied to join its head
        if len(data) > FIRST_PART:
            self._send_whole(memoryview(data)[FIRST_PART:])

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
        self.received = 0
        self._awaiting_request = True
        self.since = monotonic()
        self._deadline = self.since + self._idle_s

    def drop(self) -> None:
        """End a wait from another greenlet, which sees a closed connection."""
        self._ended = self._hung_up = True
        self._waiting = None
        how = socket.SHUT_RD
        if self.sending:
            self._discard_unsent()
            how = socket.SHUT_RDWR
        self.reading = self.sending = False  # it is not to be dropped again before its greenlet runs
        with contextlib.suppress(OSError):
            self._socket.shutdown(how)

    def close(self) -> None:
        """Close, after draining a client that is still sending: unread bytes would turn the answer into a reset."""
        self.received = 0
        if not self._hung_up:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
                self._linger()
        self._socket.close()

    def end_late_wait(self, now: float, *, stopping: bool) -> None:
        """Let the wait for the client end if its deadline has passed, or if it is idle and the worker stops.

        For the event loop's own greenlet.
        """
        is_idle = self._awaiting_request and now > self.since + LATE_CHECK_S
        is_over = now > self._deadline or (stopping and is_idle)
        if self._waiting is not None and is_over:
            self._waiting.throw(TimeoutError)

    def _receive(self, size: int, seconds: float | None) -> bytes:
        """Receive; without `seconds` the worker ends the wait, which costs less than a timer of its own."""
        self._socket.settimeout(seconds)
        self.reading = True
        if seconds is None:
            self._waiting = getcurrent()
        try:
            data = self._socket.recv(size)
        except OSError as fault:  # a reset is a hang-up too
            self._hung_up = not isinstance(fault, TimeoutError)
            return b""
        finally:
            self.reading = False
            self._waiting = None
        self._hung_up = not data
        return data

    def _linger(self) -> None:
        """Discard what the client still sends. When connections run out, the worker may end this, too."""
        self.since = monotonic()
        until, left = self.since + LINGER_S, LINGER_BYTES
        while left > 0 and (seconds := until - monotonic()) > 0:
            give_way()
            data = self._receive(DRAIN_BYTES, min(seconds, LINGER_IDLE_S))
            if not data:
                return
            left -= len(data)

    def _send_whole(self, data: bytes | memoryview) -> None:
        """Send all data, part by part: what the client takes extends its deadline."""
        with self._answering():
            begin, sent = self.since, self._socket.send(data)
            while sent < len(data):
                self.since = min(begin + sent / BYTES_PER_SECOND, monotonic())
                self._socket.settimeout(max(self.since + ANSWER_S - monotonic(), 0.001))
                sent += self._socket.send(memoryview(data)[sent:])

    @contextlib.contextmanager
    def _answering(self) -> Any:
        self.since = monotonic()
        self.sending = True
        self._socket.settimeout(ANSWER_S)
        try:
            yield
        except OSError as fault:
            if isinstance(fault, TimeoutError):
                LATE.inc()
                self._discard_unsent()
            self._ended = self._hung_up = True
            raise BrokenPipeError(errno.EPIPE, "the client does not read its answer") from None
        finally:
            self.sending = False

    def _discard_unsent(self) -> None:
        """Make closing discard what the client has not taken; else the kernel keeps it in memory for minutes."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class LateWaits:
    """Ends the waits of these connections whose deadlines have passed; of many, some between two polls of the loop."""

    def __init__(self, connections: Collection[ClientConnection], is_stopping: Callable[[], bool]) -> None:
        self._connections = connections
        self._is_stopping = is_stopping
        loop = get_hub().loop
        self._regularly, self._again = loop.timer(LATE_CHECK_S, LATE_CHECK_S), loop.timer(0.001)

    def begin(self) -> None:
        self._regularly.start(self._end_some)

    def _end_some(self) -> None:
        now = monotonic()
        for connection in tuple(self._connections):
            connection.end_late_wait(now, stopping=self._is_stopping())
            if monotonic() - now > TURN_S:
                self._again.start(self._end_some)
                return


class _ChunkedInput:
    """A chunked body's reader. Malformed chunks, or too many small ones, are reported as a lost connection."""

    def __init__(self, reader: ChunkedReader, request: Any, connection: ClientConnection) -> None:
        self._reader = reader
        self._request = request
        self._connection = connection
        self._received_before = connection.received
        self._body_bytes = self._pieces = 0
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the body; fewer only at its end."""
        data = bytearray(self._rest)
        try:
            while len(data) < size and self._reader.parser is not None:
                piece = next(self._reader.parser, None)
                if piece is None:
                    self._reader.parser = None
                    break
                data += piece
                self._body_bytes += len(piece)
                self._pieces += 1
                on_wire = self._connection.received - self._received_before
                too_many = self._pieces > FREE_CHUNKS + self._body_bytes // CHUNK_BYTES
                if too_many or on_wire > 2 * self._body_bytes + CHUNK_FRAMING:
                    raise ParseException("the chunks are too small")  # noqa: TRY301
        except (ParseException, OSError) as fault:
            self._request.force_close()
            reason = "the chunks end early, are malformed or too small"
            raise ConnectionResetError(errno.ECONNRESET, reason) from fault
        self._rest = bytes(data[size:])
        return bytes(data[:size])

    @property
    def length(self) -> int:
        """The unread bytes: 0 at the end, else more than the drain limit because the number is unknown."""
        return len(self._rest) if self._reader.parser is None else DRAIN_BYTES + 1


class BoundedWorker(GeventWorker):  # type: ignore[misc]
    """One worker process: limits its connections and refuses requests that are not HTTP."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        RequestParser.mesg_class = BoundedRequest  # gunicorn has no setting for it
        self._connections: set[ClientConnection] = set()
        self._fast_path = FastPath(self.cfg)
        self._idle_s = self.cfg.keepalive
        self._log_refused = RateLimitedLog(_warn, "requests that are not HTTP refused")

    def run(self) -> None:
        """Serve until the worker is told to stop."""
        LateWaits(self._connections, lambda: not self.alive).begin()
        super().run()

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        """Serve one connection until it closes."""
        client.setblocking(True)
        connection = ClientConnection(client, self._idle_s, self._limit_memory)
        self._connections.add(connection)
        try:
            if len(self._connections) > CROWDED_SHARE * self.worker_connections:
                self._drop_slowest()
            self._serve(listener.getsockname(), connection, addr)
        except (NoMoreData, StopIteration):
            pass  # the client left, or is not to send more
        except OSError as fault:
            if fault.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                self.log.exception("Socket error processing request.")
        except BaseException as fault:  # noqa: BLE001  as gunicorn's own loop
            self.handle_error(None, connection, addr, fault)
        finally:
            connection.request = None  # else the request keeps its body alive, and itself by its environment
            close(connection)  # while it lingers it still counts, and may be dropped for another
            self._connections.discard(connection)

    def _serve(self, server: Any, connection: ClientConnection, peer: Any) -> None:
        """Answer the connection's requests one after the other, each by the fast path or by gunicorn."""
        parser = RequestParser(self.cfg, connection, peer)
        unreader = parser.unreader
        while data := unreader.read():
            ordinary = self._fast_path.read(data, unreader, connection, peer, server)
            if ordinary is not None:
                if not self._answer(ordinary, connection):
                    return
            else:
                unreader.unread(data)
                request = next(parser)
                self.handle_request(server, request, connection, peer)
                if request.should_close() or not parser.finish_body():
                    return
                parser.mesg = None
            connection.await_next()
            give_way()  # the next request may be in the buffer already

    def _answer(self, request: FastRequest, connection: ClientConnection) -> bool:
        """Answer a request of the fast path; false if its connection is to be closed."""
        connection.request = request
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        if not self._idle_s:
            request.force_close()
        try:
            connection.sendall(self._fast_path.answer(request, self.wsgi, lambda: not self.alive))
        except (GreenletExit, SystemExit):
            return False
        if not request.should_close():
            request.discard_unread()
        return not request.should_close()

    def timeout_ctx(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that does nothing: ClientConnection enforces its own deadlines."""
        return _NO_CONTEXT

    def handle_request(self, listener_name: Any, req: Any, sock: ClientConnection, addr: Any) -> bool:
        """Answer one request; close the connection when too much of the body is unread."""
        sock.begin_answer(req)
        body = req.body
        if isinstance(body.reader, ChunkedReader):
            body.reader = _ChunkedInput(body.reader, req, sock)
        if body.reader.length:
            req.should_close = partial(_should_close, req, body.reader, req.should_close)
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            sock.finish_answer()
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
        waiting = (each for each in self._connections if each.reading or each.sending)
        slowest = min(waiting, key=lambda each: each.since, default=None)
        if slowest is not None:
            CROWD.inc()
            slowest.drop()

    def _limit_memory(self) -> None:
        """Disconnect the slowest of the clients with large incomplete bodies until the others' fit."""
        large = [each for each in self._connections if each.reading and each.received >= SMALL_BODY]
        excess = sum(each.received for each in large) - READING_BYTES
        for slowest in sorted(large, key=lambda each: each.since) if excess > 0 else ():
            if excess <= 0:
                break
            excess -= slowest.received
            MEMORY.inc()
            slowest.drop()


def _warn(event: str, **more: Any) -> None:
    """Log with the current configuration: the worker is made before the application configures logs."""
    log.warning(event, **more)


def _should_close(request: Any, reader: Any, asked: Any) -> bool:
    """Whether the answer must announce a closed connection: requested, or too much of the body is unread."""
    if reader.length > DRAIN_BYTES:
        request.force_close()
    return bool(asked())
