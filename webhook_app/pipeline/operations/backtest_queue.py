"""Runs the backtests that people request on a page, one at a time, in the scheduler.

1. The oldest waiting one is claimed. One whose runner has stopped reporting is started again, at most three times.
2. Progress is written every second, which also detects whether it was cancelled.
3. The result is stored: incidents and counts as JSON, contacts in a table of their own, which erasure covers.
A run that is interrupted by the end of the scheduler waits again.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import structlog
from msgspec import to_builtins

from webhook_app.pipeline.operations.backtest import BacktestReport, backtest
from webhook_app.pipeline.operations.backtest_suppressions import BlockedContact
from webhook_app.rules.incidents.rules_file.rules_file import RulesFileError, parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.operations import backtests
from webhook_app.store.operations.backtests import Backtest, BacktestContact
from webhook_app.store.postgres.engine import Engine

log = structlog.get_logger()

ABANDONED_AFTER = timedelta(seconds=60)
MAX_TRIES = 3
PEOPLE_KEPT = 1_000
INCIDENTS_KEPT = 500

_PROGRESS_S = 1.0


class _CancelledError(Exception):
    """The backtest was cancelled, or the scheduler is stopping."""


def run_waiting(
    engine: Engine,
    thresholds: Thresholds,
    now: datetime,
    *,
    go_on: Callable[[], bool] = lambda: True,
    stopwatch: Callable[[], float] = monotonic,
) -> int:
    """Run all waiting backtests in turn while `go_on` returns true; returns how many have ended."""
    began, ended = stopwatch(), 0

    def clock() -> datetime:
        return now + timedelta(seconds=stopwatch() - began)

    while go_on():
        with engine.begin() as connection:
            run = backtests.claim(connection, clock(), clock() - ABANDONED_AFTER)
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
            raise _CancelledError
        if (clock() - noted).total_seconds() >= _PROGRESS_S:
            noted = clock()
            with engine.begin() as connection:
                if not backtests.note_progress(connection, run, share, noted):
                    raise _CancelledError

    try:
        rules = [rule for rule in parse_rules(run.rules) if not run.chosen or rule.name in run.chosen]
        step = timedelta(seconds=run.step_seconds)
        report = backtest(engine, rules, run.start_at, run.end_at, thresholds, step=step, progress=progress)
    except _CancelledError:
        with engine.begin() as connection:
            backtests.wait_again(connection, run)
        return False
    except RulesFileError as fault:
        return _end(engine, run, clock, "failed", str(fault))
    except Exception as fault:
        log.exception("a backtest failed", backtest=run.id)
        return _end(engine, run, clock, "failed", f"{type(fault).__name__}; see the scheduler's log")
    people = [_person(row) for row in report.blocked[:PEOPLE_KEPT]]
    with engine.begin() as connection:
        return backtests.end(connection, run, "done", clock(), result=_result(report), people=people)


def _end(engine: Engine, run: Backtest, clock: Callable[[], datetime], state: str, fault: str) -> bool:
    with engine.begin() as connection:
        return backtests.end(connection, run, state, clock(), fault=fault)


def _result(report: BacktestReport) -> dict[str, Any]:
    """The report without contacts, as JSON."""
    return {
        "evaluations": report.evaluations,
        "found": len(report.incidents),
        "incidents": [
            to_builtins(incident) | {"minutes": incident.minutes(report.end)}
            for incident in report.incidents[:INCIDENTS_KEPT]
        ],
        "findings": to_builtins(report.findings[:INCIDENTS_KEPT]),
        "left_out": report.left_out,
        "suppressed": len(report.blocked),
        "reasons": dict(Counter(row.reason for row in report.blocked).most_common()),
        "spared": report.spared,
    }


def _person(row: BlockedContact) -> BacktestContact:
    return BacktestContact(**{name: getattr(row, name) for name in BacktestContact.__struct_fields__})
