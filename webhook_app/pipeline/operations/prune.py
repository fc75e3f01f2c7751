"""Creates coming partitions and deletes old data, every hour.

No lock is held for long: a partition is dropped only if its lock is free, or else in the next run. Rows are deleted in
small batches, each in its own transaction. A run ends early when its budget of batches is used up.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from msgspec import Struct

from webhook_app.store.operations import retention
from webhook_app.store.postgres import locks, partitions
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.store.postgres.errors import EngineUnavailable, is_lock_timeout

log = structlog.get_logger()

BATCHES = 400
_DAYS_BACK = 8
_BACKTEST_DAYS = 30
_CROWDED_DAYS = 1  # of a state that changed more than a thousand times
_WINDOW_DAYS = 1  # a service window is open for 24 hours
_LATE_DAYS = 8  # Meta retries for seven days, so late rows may still need their series


class Retention(Struct, frozen=True, kw_only=True):
    """Retention in days."""

    events_days: int = 90
    failures_days: int = 400
    raw_days: int = 7
    counts_days: int = 90


class PruneSummary(Struct):
    """The result of a run. `finished` is False if something was left for the next run."""

    made: list[str]
    dropped: list[str]
    deleted: Counter[str]
    finished: bool


def prune(
    engine: Engine,
    now: datetime,
    kept: Retention,
    *,
    go_on: Callable[[], bool] = lambda: True,
    batches: int = BATCHES,
) -> PruneSummary:
    """Delete data past its retention, in at most `batches` batches, while `go_on` returns true.

    Retention moves on by at most a day per run: after a jump of the clock, or a long stop, several runs catch up.
    """
    with engine.begin() as connection:
        counted_from = retention.count_ages_from(connection, now)
    if counted_from < now:
        log.warning("the clock moved on by more than a day since the last pruning", counted_from=counted_from)
    run = _PruneRun(engine, now, counted_from, kept, go_on, batches)
    run.prune_rows()
    run.prune_partitions()
    summary = run.summary
    log.info(
        "pruned",
        made=summary.made,
        dropped=summary.dropped,
        deleted=dict(summary.deleted),
        finished=summary.finished,
    )
    return summary


class _PruneRun:
    """One run, with its remaining budget and its results."""

    def __init__(
        self,
        engine: Engine,
        now: datetime,
        counted_from: datetime,
        kept: Retention,
        go_on: Callable[[], bool],
        batches: int,
    ) -> None:
        self._engine = engine
        self._now = now
        self._counted_from = counted_from
        self._kept = kept
        self._go_on = go_on
        self._left = batches
        self.summary = PruneSummary([], [], Counter(), True)

    def prune_partitions(self) -> None:
        """Create coming partitions, drop old ones, and delete old rows of the default partitions in batches."""
        kept = self._kept
        back = min(_DAYS_BACK, kept.events_days, kept.failures_days, kept.raw_days)
        with self._briefly("partitions ahead") as connection:
            self.summary.made += partitions.ensure(connection, self._now, days_back=back)
        self._prune_events(self._before(kept.events_days))
        self._drop("settled_messages", self._before(kept.events_days))
        for table, days in (
            ("inbound_messages", kept.events_days),
            ("failures", kept.failures_days),
            ("deliveries", kept.raw_days),
        ):
            self._drop(table, self._before(days))
            self._delete_strays(table, self._before(days))

    def prune_rows(self) -> None:
        """Delete old rows of tables without partitions."""
        kept = self._kept
        cutoff = self._before(min(kept.events_days, kept.failures_days))
        self._delete("notifications", partial(retention.delete_notifications, cutoff=cutoff))
        for table, days in (
            ("channel_messages", kept.events_days),
            ("incidents", kept.failures_days),
            ("alerts", kept.failures_days),
            ("findings", kept.failures_days),
            ("failure_errors", kept.failures_days),
            ("seen_codes", kept.failures_days),
            ("silences", kept.failures_days),
            ("erasures", kept.failures_days),
            ("audit", kept.failures_days),
            ("sessions", 0),
            ("wrong_keys", 0),
            ("backtest_people", _BACKTEST_DAYS),
            ("backtests", _BACKTEST_DAYS),
            ("minute_counts", kept.counts_days),
            ("hourly_counts", kept.failures_days),
            ("hourly_failures", kept.failures_days),
            ("hourly_reports", kept.failures_days),
            ("summed_hours", kept.failures_days),
            ("failure_counts", kept.counts_days),
            ("failed_messages", kept.counts_days),
            ("rejections", kept.counts_days),
            ("lateness", kept.counts_days),
            ("message_stages", kept.events_days),
            ("stage_counts", kept.events_days),
            ("clock_repairs", kept.events_days),
            ("handovers", kept.events_days),
            ("sends", kept.events_days),
            ("settled_days", kept.events_days),
            ("retries", kept.events_days),
            ("quarantine", kept.events_days),
            ("quarantine open", kept.failures_days),
            ("preferences", kept.failures_days),
            ("suppression_changes", kept.failures_days),
            ("series", max(kept.events_days, kept.failures_days, kept.counts_days) + _LATE_DAYS),
            ("health_signals", kept.failures_days),
            ("health_changes", kept.failures_days),
            ("health_changes of lost templates", kept.failures_days),
            ("health_changes of one state", _CROWDED_DAYS),
            ("template_changes", kept.failures_days),
            ("service_windows", _WINDOW_DAYS),
        ):
            old = partial(retention.delete_old, rule=table, cutoff=self._before(days))
            self._delete(table.partition(" ")[0], old)
        self._delete("books", partial(retention.fold_books, cutoff=self._before(kept.failures_days)))

    def _prune_events(self, cutoff: datetime) -> None:
        """Drop events day by day, each day after the messages that ended with it."""
        with self._engine.connect() as connection:
            dated = partitions.partitions(connection, "status_events")
        for name, start in dated:
            end = datetime(start.year, start.month, start.day, tzinfo=UTC) + timedelta(days=1)
            if end > cutoff:
                break
            if not self._delete_messages(name, end):
                return
            self._drop("status_events", end)
        if self._delete_messages("status_events_default", cutoff):
            self._delete_strays("status_events", cutoff)

    def _delete_messages(self, events: str, cutoff: datetime) -> bool:
        """Delete messages that ended with these events; returns whether the budget was enough."""
        place: retention.Place | None = retention.START
        while place is not None:
            if not self._may_go_on():
                return False
            with self._engine.begin() as connection:
                deleted, place = retention.delete_messages(connection, events, cutoff, place)
            self._count("messages", deleted)
        return True

    def _delete_strays(self, table: str, cutoff: datetime) -> None:
        self._delete(table, partial(partitions.delete_strays, table=table, cutoff=cutoff.date()))

    def _delete(self, table: str, batch: Callable[[Connection], int]) -> None:
        while self._may_go_on():
            with self._engine.begin() as connection:
                deleted = batch(connection)
            self._count(table, deleted)
            if not deleted:
                return

    def _drop(self, table: str, cutoff: datetime) -> None:
        with self._briefly(table) as connection:
            self.summary.dropped += partitions.drop_before(connection, table, cutoff.date())

    @contextmanager
    def _briefly(self, what: str) -> Iterator[Connection]:
        """A transaction that does not wait for locks, since other sessions would queue behind it."""
        try:
            with self._engine.begin() as connection:
                locks.limit_lock_wait(connection)
                yield connection
        except EngineUnavailable as fault:
            if not is_lock_timeout(fault):
                raise
            self.summary.finished = False
            log.warning("postponed to the next run: the table is in use", what=what)

    def _before(self, days: int) -> datetime:
        """The start of the day before which data is too old."""
        return (self._counted_from - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)

    def _count(self, table: str, deleted: int) -> None:
        if deleted:
            self.summary.deleted[table] += deleted
            self._left -= 1  # empty batches are cheap and do not count, or they could use up every run

    def _may_go_on(self) -> bool:
        """Whether the budget has a batch left and the run need not stop."""
        may = self._left > 0 and self._go_on()
        self.summary.finished &= may
        return may
