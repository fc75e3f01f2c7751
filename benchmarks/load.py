"""A small HTTP/1.1 load client: one process, raw sockets, epoll, prepared requests, minimal parsing.

It must use less CPU than any server it measures. It connects to 127.0.0.1 only.
"""

import gc
import re
import select
import socket
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from time import perf_counter, process_time, sleep

DRAIN_SECONDS = 30.0
"""How long to wait for answers after the last request; later ones count as 'timeout'."""

CONNECT_GAP_SECONDS = 0.002
"""Pause between connections: one worker often accepts a whole burst of them and then works alone."""

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


@dataclass
class Outcome:
    """The result of one measurement: answers by status code, closed, timeout or unsent; latencies in seconds."""

    answers: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    client_cpu: float = 0.0
    """Share of one core that this client used."""

    @property
    def accepted(self) -> int:
        return self.answers["200"]

    @property
    def errors(self) -> dict[str, int]:
        return {kind: count for kind, count in self.answers.items() if kind != "200" and count}

    @property
    def unanswered(self) -> int:
        return self.answers["closed"] + self.answers["timeout"]

    @property
    def rate(self) -> float:
        """Accepted requests per second."""
        return self.accepted / self.seconds if self.seconds else 0.0

    def milliseconds(self, share: float) -> float:
        """Return the latency within which `share` of all answers came."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def combined(outcomes: Sequence[Outcome]) -> Outcome:
    """Combine several measurements of one server into one."""
    seconds = sum(outcome.seconds for outcome in outcomes)
    return Outcome(
        answers=sum((outcome.answers for outcome in outcomes), Counter()),
        latencies=[latency for outcome in outcomes for latency in outcome.latencies],
        seconds=seconds,
        client_cpu=sum(outcome.client_cpu * outcome.seconds for outcome in outcomes) / seconds,
    )


class Connection:
    """One keep-alive connection with at most one open request."""

    __slots__ = ("asked_at", "busy", "received", "socket", "unsent")

    def __init__(self, port: int) -> None:
        self.asked_at = 0.0
        self.busy = False
        self.connect(port)

    def connect(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = b""
        self.unsent = memoryview(b"")


class ClientConnections:
    """All connections to one server, and the counts of its answers."""

    def __init__(self, port: int, connections: int) -> None:
        self.port = port
        self.outcome = Outcome()
        self.epoll = select.epoll()
        self.by_fd: dict[int, Connection] = {}
        self.known: dict[bytes, tuple[str, bool]] = {}
        self.in_flight = 0
        for _ in range(connections):
            self._register(Connection(port))
            sleep(CONNECT_GAP_SECONDS)

    def close(self) -> None:
        for connection in self.by_fd.values():
            connection.socket.close()
        self.epoll.close()

    def ask(self, connection: Connection, request: bytes, asked_at: float) -> None:
        """Send one request; its latency is measured from `asked_at`."""
        connection.asked_at = asked_at
        connection.busy = True
        self.in_flight += 1
        try:
            sent = connection.socket.send(request)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the reset also causes an event, which counts it
        if sent < len(request):
            connection.unsent = memoryview(request)[sent:]
            self.epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def answered(self, timeout: float) -> Iterator[Connection]:
        """Wait at most `timeout` seconds and return each connection that is free again."""
        for fd, events in self.epoll.poll(timeout):
            connection = self.by_fd[fd]
            if events & select.EPOLLOUT:
                self._send_rest(connection)
            if events & ~select.EPOLLOUT and self._receive(connection):
                yield connection

    def give_up(self) -> None:
        self.outcome.answers["timeout"] += self.in_flight

    def _register(self, connection: Connection) -> None:
        self.by_fd[connection.socket.fileno()] = connection
        self.epoll.register(connection.socket.fileno(), select.EPOLLIN)

    def _reconnect(self, connection: Connection) -> None:
        del self.by_fd[connection.socket.fileno()]
        connection.socket.close()
        connection.connect(self.port)
        self._register(connection)

    def _send_rest(self, connection: Connection) -> None:
        try:
            connection.unsent = connection.unsent[connection.socket.send(connection.unsent) :]
        except BlockingIOError:
            return
        except OSError:
            connection.unsent = memoryview(b"")
        if not connection.unsent:
            self.epoll.modify(connection.socket.fileno(), select.EPOLLIN)

    def _receive(self, connection: Connection) -> bool:
        """Whether the request on this connection has finished, successfully or not."""
        try:
            fresh = connection.socket.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            fresh = b""
        data = connection.received + fresh
        answer = (self.known.get(data) or self._parse(data)) if fresh else ("closed", True)
        if answer is None:
            connection.received = data
            return False
        connection.received = b""
        kind, closes = answer
        was_busy = connection.busy  # a server may close an idle connection
        if was_busy:
            self._count(connection, kind)
        if closes:
            self._reconnect(connection)
        return was_busy

    def _parse(self, data: bytes) -> tuple[str, bool] | None:
        """Return the status and whether the server closes the connection, or None for an incomplete answer.

        Within one second most answers of a server are the same bytes, including Date, and are parsed once.
        """
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = CONTENT_LENGTH.search(data, 0, end)
        if len(data) < end + 4 + (int(length[1]) if length else 0):
            return None
        if len(self.known) > 1000:
            self.known.clear()
        answer = data[9:12].decode(), CLOSES.search(data, 0, end) is not None
        self.known[data] = answer
        return answer

    def _count(self, connection: Connection, kind: str) -> None:
        self.in_flight -= 1
        connection.busy = False
        self.outcome.answers[kind] += 1
        self.outcome.latencies.append(perf_counter() - connection.asked_at)


@contextmanager
def _measuring(port: int, connections: int) -> Iterator[ClientConnections]:
    """Connect, pause the garbage collector, and measure time and CPU."""
    wire = ClientConnections(port, connections)
    gc.collect()
    gc.freeze()
    gc.disable()
    begin, cpu = perf_counter(), process_time()
    try:
        yield wire
    finally:
        wire.outcome.seconds = perf_counter() - begin
        wire.outcome.client_cpu = (process_time() - cpu) / wire.outcome.seconds
        gc.enable()
        gc.unfreeze()
        wire.close()


def closed_loop(port: int, requests: Iterable[bytes], seconds: float, connections: int = 64) -> Outcome:
    """Send as fast as the server answers, one request at a time per connection, until time or requests run out."""
    remaining = iter(requests)
    with _measuring(port, connections) as wire:
        stop = perf_counter() + seconds
        for connection in tuple(wire.by_fd.values()):
            if (request := next(remaining, None)) is not None:
                wire.ask(connection, request, perf_counter())
        while wire.in_flight and perf_counter() < stop + DRAIN_SECONDS:
            for connection in wire.answered(timeout=1.0):
                now = perf_counter()
                if now < stop and (request := next(remaining, None)) is not None:
                    wire.ask(connection, request, now)
        wire.give_up()
    return wire.outcome


def open_loop(
    port: int,
    requests: Iterable[bytes],
    *,
    rate: float,
    seconds: float,
    connections: int = 256,
    seed: int = 0,
) -> Outcome:
    """Send `rate` requests per second at random times, whether or not the server keeps up.

    A request that finds every connection busy waits. Its latency is measured from its due time.
    """
    random = Random(seed)
    due_times = deque(sorted(random.uniform(0, seconds) for _ in range(int(rate * seconds))))
    remaining = iter(requests)
    with _measuring(port, connections) as wire:
        begin = perf_counter()
        idle = deque(wire.by_fd.values())
        while due_times or wire.in_flight:
            now = perf_counter() - begin
            if now > seconds + DRAIN_SECONDS:
                break
            while idle and due_times and due_times[0] <= now:
                wire.ask(idle.popleft(), next(remaining), begin + due_times.popleft())
            wait = max(0.0, due_times[0] - now) if idle and due_times else 0.1
            idle.extend(wire.answered(timeout=wait))
        wire.outcome.answers["unsent"] += len(due_times)
        wire.give_up()
    return wire.outcome
