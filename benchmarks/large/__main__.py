"""`make bench-large`: fills a database, starts the service, and compares response times with the targets.

Exit code 1: a target was missed.
"""

import argparse
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import evaluation, servers
from benchmarks.contender import free_port
from benchmarks.costs import NO_CPU, CpuSeconds, cpu_seconds
from benchmarks.large import api_requests, checks, preflight
from benchmarks.large.filling import Filled, Target, count_new_messages, fill, open_target, warm
from benchmarks.large.http_client import Client, Measurement, print_all
from benchmarks.large.pages import addresses, pages
from benchmarks.large.people import CHANGES, LINKS
from webhook_app.app import create_app
from webhook_app.settings import read_settings
from webhook_app.store.postgres.engine import connect

PARTS = ("pages", "failures", "funnels", "messages", "checks", "evaluation")


def main(arguments: Sequence[str] | None = None) -> int:
    plan = _plan(arguments)
    met: list[bool] = []
    with open_target(plan.keep, os.environ.get("DATABASE_URL", "")) as target:
        filled = fill(target, plan.scale, everybody=False)
        _print_contents(target, filled)
        rng = random.Random(plan.seed)
        if {"pages", "failures", "funnels", "messages"} & set(plan.parts):
            with _service(target) as (port, _):
                for measured in _history(target, plan, filled, port, rng):
                    print_all([measured])
                    met.append(measured.is_met)
        if "checks" in plan.parts:
            filled = fill(target, plan.scale, everybody=True)
            preflight.add_templates(target)
            warm(target)
            _print_contents(target, filled)
            with _service(target) as (port, web):
                met += _checks(
                    port, filled, plan.seconds, lambda: cpu_seconds(web, target.pid) if target.pid else NO_CPU
                )
    if "evaluation" in plan.parts:
        print("evaluation of 50 rules over 200 numbers (benchmarks.evaluation):", flush=True)
        met.append(evaluation.main(["--rounds", "9"]) == 0)
    missed = met.count(False)
    print(f"{len(met)} targets, {missed} missed at --scale {plan.scale:g}")
    return 1 if missed else 0


def _plan(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of 30 million events; 0.01 for a quick run"
    )
    parser.add_argument("--keep", type=Path, help="folder of the database, created if it does not exist")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--combinations", type=int, default=0, help="number of combinations of filters; default: all (8192)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of each load of single checks")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def _history(
    target: Target, plan: argparse.Namespace, filled: Filled, port: int, rng: random.Random
) -> Iterator[Measurement]:
    with connect(target.url, application="benchmark", statement_seconds=300) as connection:
        samples = api_requests.take_samples(connection, rng)
    if "messages" in plan.parts:
        count_new_messages(target)
        yield api_requests.messages(Client(port), samples)
        yield api_requests.contacts(Client(port), samples)
    if "funnels" in plan.parts:
        yield api_requests.funnels(Client(port), filled.made_at)
    if "pages" in plan.parts:
        browser = Client(port)
        browser.sign_in()
        app = create_app(read_settings(servers.environment(target.url, port, target.folder)))
        yield from pages(browser, addresses(app, samples))
    if "failures" in plan.parts:
        yield api_requests.failures(Client(port), samples, rng, plan.combinations)


def _checks(port: int, filled: Filled, seconds: float, cost: Callable[[], CpuSeconds]) -> list[bool]:
    people = round(2 * LINKS * filled.scale)
    client = Client(port)
    measured = [
        checks.bulk(client, people),
        checks.feed(client, min(CHANGES, filled.suppressions)),
        preflight.single(client, people),
    ]
    print_all(measured)
    before = cost()
    outcome = checks.full_speed(port, people, seconds)
    each = cost().since(before).per_million(max(1, outcome.accepted))
    print(f"CPU time of a check: {each.web / 1000:.2f} ms web, {each.postgres / 1000:.2f} ms PostgreSQL")
    offered = checks.offered(port, people, seconds)
    p50, p99 = offered.milliseconds(0.5), offered.milliseconds(0.99)
    print(f"at {checks.OFFERED_PER_S:,.0f}/s offered: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    at = f"{checks.CLIENTS} clients at full speed"
    rows = (
        (f"single check p50, {at}", outcome.milliseconds(0.5), checks.SINGLE_P50_MS, "ms", True),
        (f"single check p99, {at}", outcome.milliseconds(0.99), checks.SINGLE_P99_MS, "ms", True),
        (f"single checks, {at}", outcome.rate, checks.SINGLES_PER_S, "/s", False),
    )
    verdicts, errors = [], {**offered.errors, **outcome.errors}
    for name, value, goal, unit, is_most in rows:
        is_met = (value <= goal if is_most else value >= goal) and not errors
        verdicts.append(is_met)
        sign = "<=" if is_most else ">="
        print(f"{name:43} {value:10.2f} {unit:3} {sign} {goal:g} {'met' if is_met else 'MISSED'}", flush=True)
    if errors:
        print(f"some checks failed: {errors}")
    return [*(each.is_met for each in measured), *verdicts]


@contextmanager
def _service(target: Target) -> Iterator[tuple[int, int]]:
    """Run the service; yields its port and the id of its first process."""
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    port = free_port()
    environment = servers.environment(target.url, port, target.folder)
    with servers.running(servers.SERVICE, environment, target.folder / "service.log") as web:
        yield port, web


def _print_contents(target: Target, filled: Filled) -> None:
    with connect(target.url, application="benchmark") as connection:
        row = connection.execute(
            "SELECT pg_database_size(current_database()) / 1e9, current_setting('shared_buffers'),"
            " current_setting('huge_pages_status', true)"
        ).fetchone()
    size, buffers, huge = (float(str(row[0])), row[1], row[2]) if row else (0.0, "", "")
    print(
        f"scale {filled.scale:g}, created {filled.made_at:%Y-%m-%d %H:%M} UTC: {filled.events:,} events of"
        f" {filled.messages:,} messages, {filled.suppressions:,} suppressions, {filled.links:,} links; {size:.1f} GB,"
        f" shared_buffers {buffers}, huge pages {huge or 'unknown'}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
