"""One server of the comparison: its database, its traffic, and the statuses it acknowledged."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from benchmarks.costs import NO_CPU, CpuSeconds, cpu_seconds, worker_megabytes
from benchmarks.database import Postgres
from benchmarks.load import Outcome, closed_loop, open_loop
from benchmarks.payloads import posts
from benchmarks.servers import SECRET, Server, environment, prepare, running

FIRST_GUESS = {1: 8000, 10: 3000, 100: 500, 1000: 60}
"""POST/s to generate requests for at first, by statuses per POST; later twice the last rate."""

SPARE = 2.0


class Contender:
    """A running server. Every contender gets the same bytes in the same order, each POST once."""

    def __init__(self, server: Server, port: int, pid: int, postgres: Postgres) -> None:
        self.server = server
        self.port = port
        self._pid = pid
        self._postgres = postgres
        self._costs: dict[int, CpuSeconds] = {}
        self.largest_worker_mb = 0.0
        self.books: list[tuple[int, Outcome]] = []
        self._events: dict[int, int] = {}
        self._traffic: dict[int, Iterator[bytes]] = {}
        self._rates = dict(FIRST_GUESS)

    def closed_loop(self, statuses: int, seconds: float, connections: int) -> Outcome:
        """Send at full speed; requests are generated before the measured time."""
        count = connections + int(SPARE * self._rates[statuses] * seconds)
        requests = list(islice(self._flow(statuses), count))
        before = cpu_seconds(self._pid, self._postgres.pid)
        outcome = closed_loop(self.port, requests, seconds, connections)
        used = cpu_seconds(self._pid, self._postgres.pid).since(before)
        self._costs[statuses] = used.plus(self._costs.get(statuses, NO_CPU))
        self._events[statuses] = self._events.get(statuses, 0) + outcome.accepted * statuses
        self.largest_worker_mb = max(self.largest_worker_mb, worker_megabytes(self._pid))
        self._rates[statuses] = max(int(outcome.rate), 1)
        self.books.append((statuses, outcome))
        return outcome

    def open_loop(self, rate: float, seconds: float) -> Outcome:
        """Send single statuses at a steady rate."""
        requests = list(islice(self._flow(1), int(rate * seconds)))
        outcome = open_loop(self.port, requests, rate=rate, seconds=seconds)
        self.books.append((1, outcome))
        return outcome

    def cost_per_million(self, statuses: int) -> CpuSeconds | None:
        """Return CPU seconds per million events at full speed with POSTs of this size."""
        events = self._events.get(statuses, 0)
        return self._costs[statuses].per_million(events) if events else None

    def faults(self, stored: object) -> list[str]:
        """Return error answers, and stored rows that differ from the acknowledged statuses.

        Statuses of unanswered POSTs may be stored or not.
        """
        name = self.server.name
        found = [
            f"{name}, {statuses} per POST: {outcome.errors}"
            for statuses, outcome in self.books
            if outcome.errors
        ]
        least = sum(statuses * outcome.accepted for statuses, outcome in self.books)
        most = least + sum(statuses * outcome.unanswered for statuses, outcome in self.books)
        if stored is not None and not (isinstance(stored, int) and least <= stored <= most):
            found.append(f"{name}: acknowledged {least} statuses, stored {stored}")
        return found

    def _flow(self, statuses: int) -> Iterator[bytes]:
        if statuses not in self._traffic:
            self._traffic[statuses] = posts(statuses, secret=SECRET, now=int(time.time()), seed=statuses)
        return self._traffic[statuses]


@contextmanager
def contending(
    server: Server, postgres: Postgres, report_fault: Callable[[str], None]
) -> Iterator[Contender]:
    """Start the server on a fresh database; after it stops, compare its rows with the acknowledged statuses."""
    port = free_port()
    database = f"bench_{server.name}"
    with postgres.fresh(database) as url:
        surroundings = environment(url, port, postgres.folder)
        prepare(server, surroundings)
        with running(server, surroundings, postgres.folder / f"{server.name}.log") as pid:
            contender = Contender(server, port, pid, postgres)
            yield contender
        stored = postgres.value(server.stored, database) if server.stored else None
    for fault in contender.faults(stored):
        report_fault(fault)


def free_port() -> int:
    """Return an unused local port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
