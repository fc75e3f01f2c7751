"""Runs the backtests that people ask for on a page, one at a time, outside of any web worker.

1. The oldest that waits is claimed; one whose runner has fallen silent is begun anew, three times at most.
2. While the past goes by, its progress is written every second, which also asks whether it is still wanted.
3. The result is kept: alerts and counts as JSON, people in a table of their own, which erasing knows.
A run that has to end because the scheduler does is given back.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import structlog
from msgspec import to_builtins

from webhook_app.pipeline.operations.backtest import BacktestReport, backtest
from webhook_app.pipeline.operations.backtest_suppressions import Blocked
from webhook_app.rules.incidents.rules_file import RulesFileError, parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.operations import backtests
from webhook_app.store.operations.backtests import Backtest, BacktestContact
from webhook_app.store.postgres.engine import Engine

log = structlog.get_logger()

SILENT = timedelta(seconds=60)
MAX_TRIES = 3
PEOPLE_KEPT = 1_000
ALERTS_KEPT = 500

_NOTE_S = 1.0


class _GivenUpError(Exception):
    """It is not wanted any more, or the scheduler ends."""


def run_waiting(
    engine: Engine,
    thresholds: Thresholds,
    now: datetime,
    *,
    go_on: Callable[[], bool] = lambda: True,
    stopwatch: Callable[[], float] = monotonic,
) -> int:
    """Run what waits, one after the other, while `go_on` says so; returns how many came to an end."""
    began, ended = stopwatch(), 0

    def clock() -> datetime:
        return now + timedelta(seconds=stopwatch() - began)

    while go_on():
        with engine.begin() as connection:
            run = backtests.claim(connection, clock(), clock() - SILENT)
        if run is None:
            break
        ended += _run(engine, run, thresholds, clock, go_on)
    return ended


def _run(
    engine: Engine,
    run: Backtest,
    thresholds: Thresholds,
    clock: Callable[[], datetime],
    go_on: Callable[[], bool],
) -> bool:
    if run.tries > MAX_TRIES:
        return _end(engine, run, clock, "failed", "it was interrupted three times")
    noted = clock()

    def progress(share: float) -> None:
        nonlocal noted
        if not go_on():
            raise _GivenUpError
        if (clock() - noted).total_seconds() >= _NOTE_S:
            noted = clock()
            with engine.begin() as connection:
                if not backtests.note_progress(connection, run, share, noted):
                    raise _GivenUpError

    try:
        rules = [rule for rule in parse_rules(run.rules) if not run.chosen or rule.name in run.chosen]
        step = timedelta(seconds=run.step_seconds)
        report = backtest(engine, rules, run.start_at, run.end_at, thresholds, step=step, progress=progress)
    except _GivenUpError:
        with engine.begin() as connection:
            backtests.wait_again(connection, run)
        return False
    except RulesFileError as fault:
        return _end(engine, run, clock, "failed", str(fault))
    except Exception as fault:
        log.exception("a backtest failed", backtest=run.id)
        return _end(engine, run, clock, "failed", f"{type(fault).__name__}; the scheduler's log says more")
    people = [_person(row) for row in report.blocked[:PEOPLE_KEPT]]
    with engine.begin() as connection:
        return backtests.end(connection, run, "done", clock(), result=_result(report), people=people)


def _end(engine: Engine, run: Backtest, clock: Callable[[], datetime], state: str, fault: str) -> bool:
    with engine.begin() as connection:
        return backtests.end(connection, run, state, clock(), fault=fault)


def _result(report: BacktestReport) -> dict[str, Any]:
    """Everything but people."""
    return {
        "evaluations": report.evaluations,
        "alerts": len(report.firings),
        "firings": [
            to_builtins(firing) | {"minutes": firing.minutes(report.end)}
            for firing in report.firings[:ALERTS_KEPT]
        ],
        "left_out": report.left_out,
        "suppressed": len(report.blocked),
        "reasons": dict(Counter(row.reason for row in report.blocked).most_common()),
        "spared": report.spared,
    }


def _person(row: Blocked) -> BacktestContact:
    return BacktestContact(**{name: getattr(row, name) for name in BacktestContact.__struct_fields__})
