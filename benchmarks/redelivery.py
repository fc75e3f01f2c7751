"""`python -m benchmarks.redelivery`: a backlog that Meta redelivers after an outage, through the real server.

Checks that no event was lost or counted twice, that no live alert fired during or after it, and that the rates of past
minutes equal the recount of backlog.py. Exit code 1: a check failed.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Self

from sqlalchemy import Engine

from benchmarks.backlog import OUTAGE, Backlog
from benchmarks.contender import free_port
from benchmarks.database import temporary_postgres
from benchmarks.load import Outcome, closed_loop
from benchmarks.payloads import request
from benchmarks.servers import SECRET, SERVICE, environment, prepare, running
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import alerts
from webhook_app.store.postgres.engine import make_engine


class Evaluator:
    """Evaluates the default rules in a loop, as the scheduler does."""

    def __init__(self, engine: Engine, every_s: float = 0.5) -> None:
        self._engine, self._every_s = engine, every_s
        self._rules = parse_rules(default_rules_text())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.evaluations = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def evaluate(self, now: datetime) -> None:
        evaluate(self._engine, self._rules, now)
        self.evaluations += 1

    def alerts(self) -> list[str]:
        """Return every alert, open or resolved."""
        with self._engine.connect() as connection:
            return [
                f"{alert.rule} {alert.group_key}: {alert.state}" for alert in alerts.list_alerts(connection)
            ]

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.evaluate(datetime.now(UTC))


def main(arguments: Sequence[str] | None = None) -> int:
    given = _arguments(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that server and database are stopped
    with temporary_postgres() as postgres, postgres.fresh("backlog") as url:
        port = free_port()
        surroundings = environment(url, port, postgres.folder)
        prepare(SERVICE, surroundings)
        backlog = Backlog.make(datetime.now(UTC), given.events, given.seed)
        requests = [request(body, SECRET) for body in backlog.bodies(given.seed)]
        engine = make_engine(url, application="backlog")
        evaluator = Evaluator(engine)
        with running(SERVICE, surroundings, postgres.folder / "backlog.log"), evaluator:
            outcome = closed_loop(port, requests, seconds=600.0)
        for ahead in range(5):
            evaluator.evaluate(datetime.now(UTC) + timedelta(seconds=15 * ahead))
        faults = _faults(backlog, outcome, len(requests), engine, evaluator, given)
        print(_summary(backlog, outcome, len(requests), evaluator, given))
        engine.dispose()
    print("\n".join(faults) if faults else "no event lost, no live alert, every window equals the recount")
    return 1 if faults else 0


def _faults(
    backlog: Backlog,
    outcome: Outcome,
    posts: int,
    engine: Engine,
    evaluator: Evaluator,
    given: argparse.Namespace,
) -> list[str]:
    found = [f"answers other than 200: {outcome.errors}"] if outcome.accepted != posts else []
    found += [f"live alert: {alert}" for alert in evaluator.alerts()]
    found += backlog.faults(engine, given.windows, given.seed)
    for minute in range(3):
        evaluator.evaluate(backlog.worst_hour + timedelta(minutes=minute))
    if not evaluator.alerts():
        found.append(
            "the rules did not fire in the worst hour either, so the absence of alerts proves nothing"
        )
    return found


def _summary(
    backlog: Backlog, outcome: Outcome, posts: int, evaluator: Evaluator, given: argparse.Namespace
) -> str:
    return (
        f"{backlog.events:,} events of {OUTAGE.total_seconds() / 3600:.0f} hours in {posts:,} POSTs:"
        f" {outcome.seconds:.1f} s, {backlog.events / outcome.seconds:,.0f} events/s;"
        f" rules evaluated {evaluator.evaluations} times; {given.windows + 1} windows recounted"
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.redelivery", description="Send a backlog at full speed."
    )
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--windows", type=int, default=60, help="windows recounted")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
