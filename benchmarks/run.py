"""`python -m benchmarks.run`: the service and its peers in turns on one PostgreSQL, compared as ratios.

All servers run at once, each with its own database. A round measures each briefly, in changing order, so that a slower
machine affects all of them. Then the service gets a steady load. Exit code 1: a target was missed.
"""

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import report
from benchmarks.contender import Contender, contending
from benchmarks.database import Postgres, temporary_postgres
from benchmarks.report import Costs, Results
from benchmarks.servers import SERVERS, SERVICE, Server, earlier_service

SIZES = (1, 10, 100, 1000)
"""Statuses per POST; each server is measured at those of its `measured`."""

WARM_UP_SECONDS = 1.5
CONNECTIONS = 64


@dataclass(frozen=True)
class Plan:
    """What to measure: `turn_seconds` per server and round; `offered_seconds` 0 omits the steady load."""

    rounds: int
    turn_seconds: float
    offered_rate: float
    offered_seconds: float
    sizes: tuple[int, ...]
    servers: tuple[Server, ...]
    against: str
    """A commit whose service takes part, too; empty: none."""


def main(arguments: Sequence[str] | None = None) -> int:
    plan = _plan(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and database are stopped
    with temporary_postgres() as postgres, ExitStack() as outer:
        servers = plan.servers
        if plan.against:
            servers = (outer.enter_context(earlier_service(plan.against)), *servers)
        results = Results(servers)
        print(_machine(postgres), flush=True)
        with ExitStack() as stack:
            contenders = [
                stack.enter_context(contending(server, postgres, results.faults.append)) for server in servers
            ]
            for statuses in plan.sizes:
                _run_rounds(statuses, plan, contenders, postgres, results)
            _offered_load(plan, contenders, postgres, results)
            _add_costs(contenders, results)
    print(report.summary(results))
    return 0 if report.all_met(results) else 1


def _plan(arguments: Sequence[str] | None) -> Plan:
    names = [server.name for server in SERVERS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description="Compare the service with its peers."
    )
    parser.add_argument("--quick", action="store_true", help="a short run for a rough impression")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--turn", type=float, default=1.5, help="seconds per server and round")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds of offered load, 0 for none")
    parser.add_argument("--rate", type=float, default=3300.0, help="offered POST/s")
    parser.add_argument(
        "--sizes", nargs="+", type=int, choices=SIZES, default=SIZES, help="statuses per POST"
    )
    parser.add_argument("--servers", nargs="+", choices=names, default=names)
    parser.add_argument(
        "--against", default="", metavar="COMMIT", help="let the service as of a commit take part"
    )
    given = parser.parse_args(arguments)
    return Plan(
        rounds=min(given.rounds, 2) if given.quick else given.rounds,
        turn_seconds=given.turn,
        offered_rate=given.rate,
        offered_seconds=min(given.seconds, 5.0) if given.quick else given.seconds,
        sizes=tuple(given.sizes),
        against=given.against,
        servers=tuple(server for server in SERVERS if server.name in given.servers),
    )


def _machine(postgres: Postgres) -> str:
    return (
        f"{os.cpu_count()} cores for client, server and PostgreSQL {postgres.value('SHOW server_version')}; "
        f"Python {platform.python_version()}; one durable commit {postgres.commit_milliseconds():.2f} ms"
    )


def _run_rounds(
    statuses: int, plan: Plan, contenders: list[Contender], postgres: Postgres, results: Results
) -> None:
    taking_part = [contender for contender in contenders if statuses in contender.server.measured]
    if not taking_part:
        return
    print(f"\n{statuses} per POST, statuses/s", flush=True)
    for contender in taking_part:
        contender.closed_loop(statuses, WARM_UP_SECONDS, CONNECTIONS)
    postgres.checkpoint()
    for number in range(plan.rounds):
        first = number % len(taking_part)
        for contender in taking_part[first:] + taking_part[:first]:
            results.pace.append(_pace())
            outcome = contender.closed_loop(statuses, plan.turn_seconds, CONNECTIONS)
            results.add(contender.server.name, statuses, outcome)
        print(report.round_line(number, statuses, results), flush=True)


def _pace() -> float:
    """Return milliseconds for a fixed piece of Python: the current speed of the machine."""
    begin = time.perf_counter()
    sum(range(1_000_000))
    return 1000 * (time.perf_counter() - begin)


def _offered_load(plan: Plan, contenders: list[Contender], postgres: Postgres, results: Results) -> None:
    """Measure the service at steady rates, with latencies from each POST's due time; the target's rate longest."""
    for contender in contenders:
        if contender.server is SERVICE and plan.offered_seconds:
            for share, seconds in ((0.5, 0.25), (1.0, 1.0), (2.0, 0.25)):
                rate, lasting = plan.offered_rate * share, plan.offered_seconds * seconds
                print(f"\noffered {rate:,.0f} POST/s for {lasting:.0f} s", flush=True)
                postgres.checkpoint()
                results.offered[rate] = contender.open_loop(rate, lasting)
            results.target_rate = plan.offered_rate


def _add_costs(contenders: list[Contender], results: Results) -> None:
    for contender in contenders:
        found = {size: contender.cost_per_million(size) for size in contender.server.measured}
        spent = {size: cost for size, cost in found.items() if cost is not None}
        results.costs[contender.server.name] = Costs(spent, contender.largest_worker_mb)


if __name__ == "__main__":
    sys.exit(main())
