"""gunicorn's gevent worker with limits for its connections: places, memory, unread bytes, log lines. No routes.

When nearly all connections of the worker are in use, or incomplete bodies fill its memory, the client that has kept it
waiting longest, for its request or to take its answer, is disconnected.
"""

import contextlib
import errno
import socket
from functools import partial
from typing import Any

import structlog
from gevent import GreenletExit  # type: ignore[import-untyped]
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

from webhook_app.event_loop import give_way
from webhook_app.gunicorn_connection import (
    CROWD,
    DRAIN_BYTES,
    MEMORY,
    SMALL_BODY,
    ClientConnection,
    LateWaits,
)
from webhook_app.gunicorn_fast_path import FastPath, FastRequest
from webhook_app.gunicorn_request import BoundedRequest
from webhook_app.logs import RateLimitedLog

log = structlog.get_logger()

CROWDED_SHARE = 0.9  # of a worker's connections in use: from here on a new client replaces the slowest
READING_BYTES = 64 * 2**20  # of large incomplete bodies per worker; beyond it the slowest is disconnected
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
_NO_CONTEXT = contextlib.nullcontext(None)


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
        """Serve until the worker stops."""
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
