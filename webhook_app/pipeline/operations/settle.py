"""Settles the messages of busy days once they are finished, every hour: see store/counts/messages/settled.

A day's events are read twice: after eleven days, when most messages are finished, and after 32, when Meta has given up
those that never arrived. Then the day's partition is copied, which gives the space back to the disk. Days with few
events stay as they are, because each partition costs every lookup a little.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import structlog

from webhook_app.store.counts.messages import settled
from webhook_app.store.counts.messages.settled import SettledDay
from webhook_app.store.postgres import locks, partitions
from webhook_app.store.postgres.engine import Engine, use_indexes_until_commit
from webhook_app.store.postgres.errors import EngineUnavailable, is_lock_timeout

log = structlog.get_logger()

PASSES = (settled.SETTLED_AFTER + timedelta(days=1), settled.UNDELIVERED_AFTER + timedelta(days=1))
"""The ages of a day at which its events are read."""

BUSY_PAGES = 4_000
"""The size of a day's events, in pages of 8 kB, from which it is settled: 32 MB, some 150 000 events."""

STEPS = 20_000
"""Steps of a run, which the next run goes on with: a day of five million messages takes 6 000."""


def settle_days(
    engine: Engine,
    now: datetime,
    *,
    go_on: Callable[[], bool] = lambda: True,
    busy_pages: int = BUSY_PAGES,
    steps: int = STEPS,
) -> int:
    """Settle what is due, oldest day first; returns the number of settled messages."""
    with engine.connect() as connection:
        days = partitions.partitions(connection, "status_events")
    run = _Run(engine, now, go_on, busy_pages, steps)
    for name, day in days:
        if not run.may_go_on():
            break
        run.settle(name, day)
    if run.messages:
        log.info("messages settled", messages=run.messages, events=run.events)
    return run.messages


class _Run:
    """One run, with its remaining steps and its results."""

    def __init__(
        self, engine: Engine, now: datetime, go_on: Callable[[], bool], busy_pages: int, steps: int
    ) -> None:
        self._engine = engine
        self._now = now
        self._go_on = go_on
        self._busy_pages = busy_pages
        self._left = steps
        self.messages = self.events = 0

    def may_go_on(self) -> bool:
        return self._left > 0 and self._go_on()

    def settle(self, name: str, day: date) -> None:
        """Go on with a day, if a pass is due."""
        age = self._now - datetime(day.year, day.month, day.day, tzinfo=UTC)
        due = sum(age >= each for each in PASSES)
        with self._engine.connect() as connection:
            state = settled.progress(connection, day)
            pages = settled.pages(connection, name)
        if state.passes < due:
            if state.page is None and pages < self._busy_pages:
                return
            state = self._pass(name, day, state, due)
        if state.bloated and state.page is None:
            self._rebuild(day, state)

    def _pass(self, name: str, day: date, state: SettledDay, due: int) -> SettledDay:
        with self._engine.begin() as connection:
            partitions.ensure_day(connection, "settled_messages", day)
        while self.may_go_on():
            self._left -= 1
            with self._engine.begin() as connection:
                use_indexes_until_commit(connection)
                done = settled.settle(connection, name, state.page or 0, self._now)
                passes = state.passes if done.next_page is not None else due
                state = SettledDay(passes, done.next_page, state.bloated or done.messages > 0)
                settled.save_progress(connection, day, state)
            self.messages += done.messages
            self.events += done.events
            if state.page is None:
                break
        return state

    def _rebuild(self, day: date, state: SettledDay) -> None:
        try:
            with self._engine.begin() as connection:
                locks.limit_lock_wait(connection)
                partitions.rebuild_day(connection, "status_events", day)
                settled.save_progress(connection, day, state._replace(bloated=False))
        except EngineUnavailable as fault:
            if not is_lock_timeout(fault):
                raise
            log.warning("postponed to the next run: the table is in use", what=f"events of {day}")
