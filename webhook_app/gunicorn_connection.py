"""A client's connection with a deadline for every wait. No HTTP.

A client that misses its deadline is treated as disconnected, so that no other code handles client timeouts.
"""

import contextlib
import errno
import socket
import struct
from collections.abc import Callable, Collection
from time import monotonic
from typing import Any, TypeVar

from gevent import get_hub, getcurrent  # type: ignore[import-untyped]
from prometheus_client import Counter

from webhook_app.event_loop import TURN_S, give_way

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
FIRST_PART = 64 * 1024  # bytes of an answer's body that are sent together with its head
SMALL_BODY = 64 * 1024  # smaller incomplete bodies do not count
DRAIN_BYTES = 64 * 1024
"""An unread rest of a body up to this size is discarded and the connection kept; else it is closed."""

CUT = Counter(
    "webhook_app_connections_cut",
    "Connections closed within a request: a late client, or the slowest when connections or memory run out",
    ["reason"],
)
LATE, CROWD, MEMORY = CUT.labels("late"), CUT.labels("crowd"), CUT.labels("memory")

Sent = TypeVar("Sent")

_RESET = struct.pack("ii", 1, 0)  # for SO_LINGER


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
        return self._answer(self._socket.send, data)

    def sendall(self, data: bytes) -> None:
        """Send all data. Raises BrokenPipeError when the client does not read.

        The head of an answer is held back until its body: as a separate packet it would wake the client twice.
        """
        if self._head == b"":
            self._head = data
            return
        head, self._head = self._head, None
        if not head:
            self._answer(self._send_whole, data)
            return
        self._answer(
            self._send_whole, head + data[:FIRST_PART]
        )  # a large body is not copied to join its head
        if len(data) > FIRST_PART:
            self._answer(self._send_whole, memoryview(data)[FIRST_PART:])

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a part of a file, after the head of the answer."""
        self.finish_answer()
        return self._answer(self._socket.sendfile, file, offset, count)

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
        begin, sent = self.since, self._socket.send(data)
        while sent < len(data):
            self.since = min(begin + sent / BYTES_PER_SECOND, monotonic())
            self._socket.settimeout(max(self.since + ANSWER_S - monotonic(), 0.001))
            sent += self._socket.send(memoryview(data)[sent:])

    def _answer(self, send: Callable[..., Sent], *arguments: Any) -> Sent:
        """Call `send`, which sends a part of the answer. Raises BrokenPipeError when the client does not read."""
        self.since = monotonic()
        self.sending = True
        self._socket.settimeout(ANSWER_S)
        try:
            return send(*arguments)
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
