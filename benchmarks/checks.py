"""`python -m benchmarks.checks`: checks and the change feed over HTTP, against many suppressions and links.

Fills a temporary PostgreSQL (or the empty database of --database-url), starts the service with two workers and prints
milliseconds. Every second contact asked about is linked to a user id, every tenth is suppressed.
"""

import argparse
import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from benchmarks import servers
from benchmarks.database import temporary_postgres
from webhook_app.migrating import migrate_database

FIRST = 491_500_000_000
BULK, PAGE, CLIENTS = 10_000, 1_000, 8

_FILL = """
INSERT INTO suppressions (contact, phone_number_id, scope, reason, code, since, until, actor, review)
SELECT ({first} + i * 10)::text, 'n1', 'all', 'unreachable', 131026, now(), now() + interval '30 days', 'system', true
FROM generate_series(1, {suppressions}) i;
INSERT INTO contact_links (user_id, contact)
SELECT 'DE.' || lpad(i::text, 16, '0'), ({first} + i * 2)::text FROM generate_series(1, {links}) i;
INSERT INTO suppression_changes (seq, at, action, contact, phone_number_id, scope, reason, code, actor)
SELECT i, now(), 'suppress', ({first} + i * 10)::text, 'n1', 'all', 'unreachable', 131026, 'system'
FROM generate_series(1, least({suppressions}, 1000000)) i;
INSERT INTO service_windows (contact, phone_number_id, opened_at)
SELECT ({first} + i * 7)::text, 'n1', now() - interval '1 hour' FROM generate_series(1, {inbound}) i;
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checks", description=__doc__)
    parser.add_argument("--suppressions", type=int, default=1_000_000)
    parser.add_argument("--links", type=int, default=5_000_000)
    parser.add_argument("--inbound", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    plan = parser.parse_args(arguments)
    with temporary_postgres() as postgres, postgres.fresh("checks") as url:
        begin = time.perf_counter()
        _fill(url, plan)
        print(f"filled in {time.perf_counter() - begin:.0f} s", flush=True)
        port = _free_port()
        environment = servers.environment(url, port, postgres.folder)
        with servers.running(servers.SERVICE, environment, Path(postgres.folder) / "service.log"):
            _measure(port, plan)
    return 0


def _fill(url: str, plan: argparse.Namespace) -> None:
    migrate_database(url)
    sizes = {"first": FIRST, "suppressions": plan.suppressions, "links": plan.links, "inbound": plan.inbound}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for statement in filter(str.strip, _FILL.format(**sizes).split(";")):
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE")


def _measure(port: int, plan: argparse.Namespace) -> None:
    span = min(plan.suppressions * 10, plan.links * 2)
    ask = _Client(port)
    numbers = random.Random(1)
    for name, count in (("bulk of 10 000", BULK), ("bulk of 1 000", PAGE)):
        times = []
        for _ in range(12):
            contacts = [f"+{FIRST + numbers.randrange(span)}" for _ in range(count)]
            body = json.dumps({"contacts": contacts, "phone_number_id": "n1"})
            times.append(ask.seconds("POST", "/v1/check", body))
        _print(name, times[2:])
    times = [ask.seconds("GET", f"/v1/changes?limit={PAGE}&since={n * PAGE}") for n in range(30)]
    _print(f"feed page of {PAGE}", times[5:])
    singles = [ask.seconds("GET", _single(numbers, span)) for _ in range(1_000)]
    _print("single, one client", singles[100:])
    _together(port, span, plan.seconds)


def _together(port: int, span: int, seconds: float) -> None:
    times: list[list[float]] = [[] for _ in range(CLIENTS)]
    until = time.perf_counter() + seconds

    def work(place: int) -> None:
        client, numbers = _Client(port), random.Random(place)
        while time.perf_counter() < until:
            times[place].append(client.seconds("GET", _single(numbers, span)))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [taken for part in times for taken in part]
    _print(f"single, {CLIENTS} clients", every)
    print(f"{'checks per second':24} {len(every) / seconds:8.0f}")


def _single(numbers: random.Random, span: int) -> str:
    return f"/v1/check/{FIRST + numbers.randrange(span)}?phone_number_id=n1"


class _Client:
    """One keep-alive connection that measures."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def seconds(self, method: str, path: str, body: str | None = None) -> float:
        begin = time.perf_counter()
        headers = {"Authorization": "Bearer benchmark-admin-key"}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        taken = time.perf_counter() - begin
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:500]!r}")
        return taken


def _print(name: str, times: list[float]) -> None:
    ordered = sorted(times)
    p50, p99 = (1000 * ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    print(f"{name:24} p50 {p50:8.2f} ms   p99 {p99:8.2f} ms", flush=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
