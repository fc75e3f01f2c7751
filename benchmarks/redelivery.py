"""`python -m benchmarks.redelivery`: what Meta redelivers after an outage, at once, through the real server.

Checks that nothing was lost or counted twice, that no alert about now was raised while it came in or after, and that
the rates of past minutes equal the recount of backlog.py. Exit code 1 when something is off.
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
from webhook_app.rules.incidents.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import alerts
from webhook_app.store.postgres.engine import make_engine


class Watch:
    """Evaluates the default rules again and again, as the scheduler does, and notes every alert it finds."""

    def __init__(self, engine: Engine, every_s: float = 0.5) -> None:
        self._engine, self._every_s = engine, every_s
        self._rules = parse_rules(default_rules_text())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def look(self, now: datetime) -> None:
        evaluate(self._engine, self._rules, now)
        self.looks += 1

    def found(self) -> list[str]:
        """Every alert there is or was."""
        with self._engine.connect() as connection:
            return [
                f"{alert.rule} {alert.group_key}: {alert.state}" for alert in alerts.list_alerts(connection)
            ]

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.look(datetime.now(UTC))


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
        watch = Watch(engine)
        with running(SERVICE, surroundings, postgres.folder / "backlog.log"), watch:
            outcome = closed_loop(port, requests, seconds=600.0)
        for ahead in range(5):
            watch.look(datetime.now(UTC) + timedelta(seconds=15 * ahead))
        faults = _faults(backlog, outcome, len(requests), engine, watch, given)
        print(_told(backlog, outcome, len(requests), watch, given))
        engine.dispose()
    print("\n".join(faults) if faults else "nothing lost, no alert about now, every window as recounted")
    return 1 if faults else 0


def _faults(
    backlog: Backlog,
    outcome: Outcome,
    posts: int,
    engine: Engine,
    watch: Watch,
    given: argparse.Namespace,
) -> list[str]:
    found = [f"answers other than 200: {outcome.errors}"] if outcome.accepted != posts else []
    found += [f"an alert about now: {alert}" for alert in watch.found()]
    found += backlog.faults(engine, given.windows, given.seed)
    for minute in range(3):
        watch.look(backlog.worst_hour + timedelta(minutes=minute))
    if not watch.found():
        found.append("the rules would not have fired in the worst hour either, so their silence says nothing")
    return found


def _told(backlog: Backlog, outcome: Outcome, posts: int, watch: Watch, given: argparse.Namespace) -> str:
    return (
        f"{backlog.events:,} events of {OUTAGE.total_seconds() / 3600:.0f} hours in {posts:,} POSTs:"
        f" {outcome.seconds:.1f} s, {backlog.events / outcome.seconds:,.0f} events/s;"
        f" rules evaluated {watch.looks} times; {given.windows + 1} windows recounted"
    )


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.redelivery", description="A backlog, at once."
    )
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--windows", type=int, default=60, help="windows recounted")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
