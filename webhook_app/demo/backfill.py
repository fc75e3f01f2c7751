"""Lives through an earlier time, fast: what Meta and senders told then, stored and judged as of then by the real steps.

The caller's times are the only clock. What to tell comes from a plan of the simulator; nothing is decided here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from webhook_app.channels import Channel
from webhook_app.pipeline.counts.sum_hours import sum_up
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.notify import Clock, notify
from webhook_app.pipeline.incidents.rule_inputs import ReadCache
from webhook_app.pipeline.receiving.batch_writer import BatchWriter, Delivery
from webhook_app.pipeline.sends import reports as sends
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.simulator.delivery import BATCH_LIMIT
from webhook_app.simulator.payloads import envelope, wire
from webhook_app.simulator.plan import Timed, Told
from webhook_app.simulator.send_calls import SimulatedCall
from webhook_app.store.postgres.engine import Engine, connect
from webhook_app.web.api.sends.sends import MAX_SENDS, read

_SLOT = 0  # of the counts: nobody else writes meanwhile
_SUMMED_EVERY = timedelta(hours=6)

T = TypeVar("T")
Deed = tuple[datetime, Callable[[datetime], object]]
"""What somebody does at a moment; it is told the moment."""


class Backfill:
    """One receiver at an earlier time: `receive` what came, then `step` at its end."""

    def __init__(
        self,
        engine: Engine,
        database_url: str,
        rules: Sequence[Rule],
        channels: Mapping[str, Channel],
        public_url: str = "",
    ) -> None:
        self.engine, self.rules, self.channels, self.public_url = engine, rules, channels, public_url
        self._writer = BatchWriter(lambda: connect(database_url, application="webhook_app demo"), _SLOT)
        self._memory = ReadCache()
        self._summed_at: datetime | None = None

    def live(
        self, told: Iterable[Told], looks: Iterable[datetime], deeds: Iterable[Deed] = ()
    ) -> Iterator[datetime]:
        """Go from look to look: what was told until then, what people did, what the scheduler made of it."""
        coming, doing = _Queue(told), sorted(deeds, key=lambda deed: deed[0])
        for look in looks:
            self.receive(coming.until(look), look)
            self.step(look)
            while doing and doing[0][0] <= look:
                doing.pop(0)[1](look)
            yield look

    def receive(self, told: Sequence[Told], at: datetime) -> None:
        """Store what came, all of it received at `at`."""
        changes = [one for one in told if isinstance(one, Timed)]
        for few in _parts(changes, BATCH_LIMIT):
            self._writer.store([Delivery(wire(envelope(few)))], at)
        reports = [read(one.report, at)[0] for one in told if isinstance(one, SimulatedCall)]
        for some in _parts([report for report in reports if report is not None], MAX_SENDS):
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                sends.register(connection, some, at)

    def refuse(self, kind: str, deliveries: int, at: datetime) -> None:
        """So many deliveries came with a signature that is not Meta's."""
        self._writer.store_rejections({kind: deliveries}, at)

    def step(self, now: datetime) -> None:
        """What the scheduler does in one round."""
        if self._summed_at is None or now - self._summed_at >= _SUMMED_EVERY:
            sum_up(self.engine, now)
            self._summed_at = now
        evaluate(
            self.engine,
            self.rules,
            now,
            public_url=self.public_url,
            channels=tuple(self.channels),
            memory=self._memory,
        )
        suppress(self.engine, self.rules, Thresholds(), now)
        for channel in self.channels.values():
            notify(self.engine, channel, _no_waiting(now))

    def close(self) -> None:
        """Give back the connection."""
        self._writer.close()


class _Queue:
    """What is told in the order of time, taken as far as a moment."""

    def __init__(self, told: Iterable[Told]) -> None:
        self._told = iter(told)
        self._next = next(self._told, None)

    def until(self, moment: datetime) -> list[Told]:
        taken = []
        while self._next is not None and self._next.at <= moment:
            taken.append(self._next)
            self._next = next(self._told, None)
        return taken


def _parts(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(whole), size):
        yield whole[first : first + size]


def _no_waiting(now: datetime) -> Clock:
    """A clock on which waiting takes no time."""
    waited = [0.0]

    def wait(seconds: float) -> None:
        waited[0] += seconds

    return Clock(now, lambda: waited[0], wait)
