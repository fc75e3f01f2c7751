"""Replays a simulated past quickly: the real pipeline stores and evaluates its events as of the times given.

It reads no clock. The events come from a plan of the simulator.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from webhook_app.channels import Channel
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.findings.find import find
from webhook_app.pipeline.incidents.inputs.live_inputs import ReadCache
from webhook_app.pipeline.incidents.notifications.notify import Clock, notify
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.sends import reports as sends
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.simulator.payloads import TimedChange, envelope, wire
from webhook_app.simulator.plan import PlannedEvent
from webhook_app.simulator.posts import BATCH_LIMIT
from webhook_app.simulator.send_calls import SimulatedCall
from webhook_app.store.postgres.engine import Engine, connect
from webhook_app.web.api.sends.send_items import parse_send
from webhook_app.web.api.sends.sends import MAX_SENDS

_COUNT_SLOT = 0  # any writer slot will do: no other process writes at the same time
_HOURS_EVERY = timedelta(hours=6)

T = TypeVar("T")
ScheduledAction = tuple[datetime, Callable[[datetime], object]]
"""A time, and what a user does then; it is called with the time of the evaluation that follows."""


_AFTER_EVALUATION = timedelta(seconds=30)
"""The messages of the last evaluation are sent by then; a channel takes one a second."""


class Backfill:
    """A receiver and a scheduler in the past. `run` alternates between `receive` and `step`."""

    def __init__(
        self,
        engine: Engine,
        database_url: str,
        rules: Sequence[Rule],
        channels: Mapping[str, Channel],
        public_url: str = "",
    ) -> None:
        self.engine, self.rules, self.channels, self.public_url = engine, rules, channels, public_url
        self._writer = BatchWriter(lambda: connect(database_url, application="webhook_app demo"), _COUNT_SLOT)
        self._read_cache = ReadCache()
        self._summed_at: datetime | None = None

    def run(
        self,
        events: Iterable[PlannedEvent],
        times: Iterable[datetime],
        actions: Iterable[ScheduledAction] = (),
    ) -> Iterator[datetime]:
        """At each time: receive the events up to it, run the scheduler's steps, take the users' due actions."""
        queue, waiting = _EventQueue(events), sorted(actions, key=lambda action: action[0])
        for now in times:
            self.receive(queue.until(now), now)
            self.step(now)
            while waiting and waiting[0][0] <= now:
                waiting.pop(0)[1](now)
            yield now

    def receive(self, events: Sequence[PlannedEvent], at: datetime) -> None:
        """Store events as received at `at`."""
        changes = [event for event in events if isinstance(event, TimedChange)]
        for batch in _batches(changes, BATCH_LIMIT):
            self._writer.store([Delivery(wire(envelope(batch)))], at)
        reports = [parse_send(event.report, at)[0] for event in events if isinstance(event, SimulatedCall)]
        for some in _batches([report for report in reports if report is not None], MAX_SENDS):
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                sends.register(connection, some, at, reported_by="demo")

    def reject(self, kind: str, deliveries: int, at: datetime) -> None:
        """Count deliveries that were rejected for their signature."""
        self._writer.store_rejections({kind: deliveries}, at)

    def step(self, now: datetime) -> None:
        """Run the scheduler's steps once."""
        if self._summed_at is None or now - self._summed_at >= _HOURS_EVERY:
            sum_hours(self.engine, now)
            self._summed_at = now
        evaluate(
            self.engine,
            self.rules,
            now,
            public_url=self.public_url,
            channels=tuple(self.channels),
            memory=self._read_cache,
        )
        suppress(self.engine, self.rules, Thresholds(), now)
        self._notify(now)

    def find(self, now: datetime) -> None:
        """Search for findings and announce them, as the scheduler does every hour."""
        find(self.engine, self.rules, now, public_url=self.public_url, channels=tuple(self.channels))
        self._notify(now + _AFTER_EVALUATION)

    def _notify(self, now: datetime) -> None:
        for channel in self.channels.values():
            notify(self.engine, channel, _instant_clock(now))

    def close(self) -> None:
        self._writer.close()


class _EventQueue:
    """Events in order of time, taken up to a given time."""

    def __init__(self, events: Iterable[PlannedEvent]) -> None:
        self._events = iter(events)
        self._next = next(self._events, None)

    def until(self, end: datetime) -> list[PlannedEvent]:
        taken = []
        while self._next is not None and self._next.at <= end:
            taken.append(self._next)
            self._next = next(self._events, None)
        return taken


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _instant_clock(now: datetime) -> Clock:
    """Return a clock on which waiting takes no real time."""
    waited = [0.0]

    def wait(seconds: float) -> None:
        waited[0] += seconds

    return Clock(now, lambda: waited[0], wait)
