"""Makes, changes and lifts suppressions from new failures, successes and preferences.

A run applies STOP and START that ingest left, expires suppressions or sets them half-open, moves those of people who
changed their number, settles failures held for an incident that ended, considers new failures, and decides again about
suppressions that a later incident explains. It works in short transactions; what fails stops nothing else. Only one run
works at a time; another one ends at once, and `LockWatch` notices when that goes on.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from webhook_app.pipeline.suppressions.caps import HOURLY_CAP, KEY_HOURLY_CAP, Caps
from webhook_app.pipeline.suppressions.decisions import Decisions, SuppressSummary
from webhook_app.pipeline.suppressions.explanations import Explanations
from webhook_app.pipeline.suppressions.suppress_run import AnotherRunError, SuppressRun
from webhook_app.pipeline.suppressions.suppress_tasks import SuppressTasks
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.postgres.engine import Engine

log = structlog.get_logger()

LOCKED_AT_MOST = timedelta(minutes=5)
"""Longer than an undo, which holds the lock as well."""


class LockTakenError(Exception):
    """Other runs have held the lock for minutes, so that no suppression changes."""


class LockWatch:
    """Logs when runs find the lock taken, and raises LockTakenError when they have done so for LOCKED_AT_MOST."""

    def __init__(self) -> None:
        self._since: datetime | None = None

    def check(self, summary: SuppressSummary, now: datetime) -> SuppressSummary:
        """Take note of one run that began at `now`."""
        if not summary.lock_taken:
            self._since = None
        elif self._since is None:
            self._since = now
            log.warning("another run holds the lock of `suppress`")
        elif now - self._since > LOCKED_AT_MOST:
            raise LockTakenError(
                f"another run holds the lock, since {self._since:%Y-%m-%d %H:%M:%S} UTC or earlier"
            )
        return summary


def suppress(
    engine: Engine,
    rules: Sequence[Rule],
    thresholds: Thresholds,
    now: datetime,
    *,
    hourly_cap: int = HOURLY_CAP,
    key_hourly_cap: int = KEY_HOURLY_CAP,
) -> SuppressSummary:
    """Update the suppressions; see the module for the tasks."""
    explanations, caps = Explanations(rules, now), Caps(now, hourly_cap, key_hourly_cap)
    decisions = Decisions(explanations, thresholds, caps, now)
    run = SuppressRun(engine, decisions.count)
    try:
        for work in SuppressTasks(explanations, caps, decisions, now).in_order:
            run.do(work)
    except AnotherRunError:
        decisions.summary.lock_taken = True
    run.raise_faults()
    return decisions.summary
