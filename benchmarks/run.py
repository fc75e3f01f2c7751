"""`python -m benchmarks.run`: the service and its peers in turn, one PostgreSQL, ratios from one run.

Per round and server: fresh database, start, warm up, measure 1 and 100 statuses per POST, stop, count rows.
Afterwards the service alone gets a steady offered load. Exit code 1 if a target is missed.
"""

import argparse
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from benchmarks import report
from benchmarks.database import Postgres, temporary_postgres
from benchmarks.load import Outcome, closed_loop, open_loop
from benchmarks.payloads import posts
from benchmarks.report import BATCH, SINGLE, Results
from benchmarks.servers import SECRET, SERVERS, SERVICE, Server, environment, prepare, running

FASTEST_POSTS = {SINGLE: 20_000, BATCH: 1_200}
"""POST/s that requests are made ahead for; a faster server runs out early, and its rate is still right."""


@dataclass(frozen=True)
class Plan:
    """How much is measured. Seconds are per measurement; 0 `offered_seconds` leave the offered load out."""

    rounds: int
    seconds: float
    warm_up_seconds: float
    offered_rate: float
    offered_seconds: float
    connections: int
    servers: tuple[Server, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    plan = _plan(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and database are stopped
    results = Results()
    with temporary_postgres() as postgres:
        print(_machine(postgres), flush=True)
        for number in range(plan.rounds):
            _round(number, plan, postgres, results)
        if plan.offered_seconds and SERVICE in plan.servers:
            _offered_load(plan, postgres, results)
    print(f"\n{report.table(results)}\n")
    verdicts = report.verdicts(results, plan.offered_rate)
    print("\n".join([*map(str, verdicts), *(f"  fault: {fault}" for fault in results.faults)]))
    return 0 if all(verdict.met for verdict in verdicts) else 1


def _plan(arguments: Sequence[str] | None) -> Plan:
    names = [server.name for server in SERVERS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round: a look, not a result")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", type=float, default=6.0, help="seconds per closed-loop measurement")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds of offered load, 0 for none")
    parser.add_argument("--rate", type=float, default=3300.0, help="offered POST/s")
    parser.add_argument("--connections", type=int, default=64, help="closed-loop connections")
    parser.add_argument("--servers", nargs="+", choices=names, default=names)
    given = parser.parse_args(arguments)
    return Plan(
        rounds=1 if given.quick else given.rounds,
        seconds=min(given.measure, 3.0) if given.quick else given.measure,
        warm_up_seconds=1.0,
        offered_rate=given.rate,
        offered_seconds=min(given.seconds, 5.0) if given.quick else given.seconds,
        connections=given.connections,
        servers=tuple(server for server in SERVERS if server.name in given.servers),
    )


def _machine(postgres: Postgres) -> str:
    return (
        f"{os.cpu_count()} cores for client, server and PostgreSQL {postgres.value('SHOW server_version')}; "
        f"Python {platform.python_version()}; one durable commit {postgres.commit_milliseconds():.2f} ms"
    )


def _round(number: int, plan: Plan, postgres: Postgres, results: Results) -> None:
    """Measure every server once, in the opposite order every other round."""
    print(f"\nround {number + 1} of {plan.rounds}, load average {os.getloadavg()[0]:.1f}", flush=True)
    traffic = {
        SINGLE: _requests(int(plan.seconds * FASTEST_POSTS[SINGLE]), SINGLE, seed=2 * number),
        BATCH: _requests(int(plan.seconds * FASTEST_POSTS[BATCH]), BATCH, seed=2 * number + 1),
    }
    for server in plan.servers if number % 2 == 0 else plan.servers[::-1]:
        _measure(server, traffic, plan, postgres, results)


def _requests(count: int, statuses: int, seed: int) -> list[bytes]:
    return list(posts(count, statuses, secret=SECRET, now=int(time.time()), seed=seed))


def _measure(
    server: Server, traffic: dict[int, list[bytes]], plan: Plan, postgres: Postgres, results: Results
) -> None:
    with _started(server, postgres, results) as (port, books):
        for statuses in (SINGLE, BATCH) if server.batches else (SINGLE,):
            requests = iter(traffic[statuses])
            warm = closed_loop(port, requests, plan.warm_up_seconds, plan.connections)
            outcome = closed_loop(port, requests, plan.seconds, plan.connections)
            results.add(server.name, statuses, outcome)
            books += [(statuses, warm), (statuses, outcome)]
            print(report.line(server.name, statuses, outcome), flush=True)


def _offered_load(plan: Plan, postgres: Postgres, results: Results) -> None:
    """The service alone at a steady rate, latency counted from when each POST was due."""
    print(f"\noffered {plan.offered_rate:,.0f} POST/s for {plan.offered_seconds:.0f} s", flush=True)
    warm_up = int(plan.warm_up_seconds * FASTEST_POSTS[SINGLE])
    requests = iter(_requests(warm_up + int(plan.offered_rate * plan.offered_seconds), SINGLE, seed=-1))
    with _started(SERVICE, postgres, results) as (port, books):
        books.append((SINGLE, closed_loop(port, islice(requests, warm_up), plan.warm_up_seconds)))
        outcome = open_loop(port, requests, rate=plan.offered_rate, seconds=plan.offered_seconds)
        books.append((SINGLE, outcome))
    results.offered = outcome
    print(report.line(SERVICE.name, SINGLE, outcome), flush=True)


Books = list[tuple[int, Outcome]]
"""Everything sent to one server since its database was made: statuses per POST, and what came back."""


@contextmanager
def _started(server: Server, postgres: Postgres, results: Results) -> Iterator[tuple[int, Books]]:
    """A server on a fresh database; once it is stopped its rows are held against what it acknowledged."""
    port = _free_port()
    database = f"bench_{server.name}"
    books: Books = []
    with postgres.fresh(database) as url:
        surroundings = environment(url, port, postgres.folder)
        prepare(server, surroundings)
        postgres.checkpoint()
        with running(server, surroundings, postgres.folder / f"{server.name}.log"):
            yield port, books
        stored = postgres.value(server.stored, database) if server.stored else None
    results.faults += _faults(server, books, stored)


def _faults(server: Server, books: Books, stored: object) -> list[str]:
    """Wrong answers, and rows that do not match the acknowledged statuses (unanswered POSTs: either)."""
    found = [
        f"{server.name}, {statuses} per POST: {outcome.errors}"
        for statuses, outcome in books
        if outcome.errors
    ]
    if stored is not None:
        least = sum(statuses * outcome.accepted for statuses, outcome in books)
        most = least + sum(statuses * outcome.unanswered for statuses, outcome in books)
        if not isinstance(stored, int) or not least <= stored <= most:
            found.append(f"{server.name}: acknowledged {least} statuses, stored {stored}")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
