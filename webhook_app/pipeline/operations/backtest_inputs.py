"""The inputs of the rules at any minute of the past: counts by minute, read in stretches and held in memory."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from webhook_app.pipeline.incidents.rule_inputs import WEBHOOK_DELAY
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.anomalies import USUAL_DAYS
from webhook_app.store.counts import baselines, minutes, rates
from webhook_app.store.counts.baselines import HOUR
from webhook_app.store.counts.minutes import Minute
from webhook_app.store.counts.window_counts import FailedMessages, Mark, WindowCounts
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.sends import reports

MINUTE = timedelta(minutes=1)

_Any = TypeVar("_Any")


class _SlidingWindow:
    """A sliding window of one length. Its sums are updated with each minute instead of computed again."""

    def __init__(self, length: int) -> None:
        self._length = length + 1  # the full minutes and the running one
        self._held: deque[Minute] = deque()
        self._attempts: Counter[SeriesKey] = Counter()
        self._events: Counter[SeriesKey] = Counter()
        self._once: Counter[Mark] = Counter()
        self._counts: WindowCounts | None = None

    def push(self, minute: Minute) -> None:
        self._held.append(minute)
        self._attempts.update(minute.attempts)
        self._events.update(minute.events)
        self._once.update(minute.once)
        if len(self._held) > self._length:
            gone = self._held.popleft()
            _subtract(self._attempts, gone.attempts)
            _subtract(self._events, gone.events)
            _subtract(self._once, gone.once)
        self._counts = None

    @property
    def counts(self) -> WindowCounts:
        if self._counts is None:
            failed = [FailedMessages((mark,), messages) for mark, messages in self._once.items()]
            marks: dict[tuple[str, str], set[Mark]] = {}
            for minute in self._held:
                for message, mark in minute.again:
                    marks.setdefault(message, set()).add(mark)
            again = Counter(tuple(sorted(held)) for held in marks.values())
            failed += [FailedMessages(held, messages) for held, messages in again.items()]
            self._counts = WindowCounts(dict(self._attempts), failed)
        return self._counts

    @property
    def events(self) -> dict[SeriesKey, int]:
        return dict(self._events)


class PastInputs:
    """The inputs at successive minutes; call `go_to` with increasing times."""

    def __init__(self, connection: Connection, start: datetime, lengths: set[int]) -> None:
        self._connection = connection
        self._longest = max(lengths, default=1)
        self._windows = {length: _SlidingWindow(length) for length in lengths}
        self._next = start.replace(second=0, microsecond=0) - MINUTE * self._longest
        self._loaded: dict[datetime, Minute] = {}
        self._loaded_until = self._next
        self._now = start
        self._hourly: dict[object, object] = {}

    @property
    def now(self) -> datetime:
        return self._now

    def go_to(self, now: datetime) -> None:
        """Move to this minute, which becomes the running one."""
        self._now = now
        floor = now.replace(second=0, microsecond=0)
        while self._next <= floor:
            if self._next >= self._loaded_until:
                self._load()
            minute = self._loaded.pop(self._next, None) or Minute()
            for window in self._windows.values():
                window.push(minute)
            self._next += MINUTE

    def window(self, minutes: int) -> WindowCounts:
        return self._windows[minutes].counts

    def webhooks(self, minutes: int) -> dict[SeriesKey, int]:
        return self._windows[minutes].events

    def usual(self, minutes: int, hours: int) -> WindowCounts:
        end = _hour(rates.window(self._now, minutes)[0])
        return self._remember(
            ("usual", end, hours), lambda: baselines.read(self._connection, end - HOUR * hours, end)
        )

    def met(self, minutes: int, days: int) -> WindowCounts:
        return self.usual(minutes, days * 24)

    def met_lately(self, minutes: int) -> WindowCounts:
        start = rates.window(self._now, minutes)[0]
        span = _hour(start), start
        failed = rates.failures_by_code_and_series(self._connection, *span) if span[0] < span[1] else []
        return WindowCounts({}, [FailedMessages((mark,), 1) for one in failed for mark in one.marks])

    def known_since(self, days: int) -> dict[SeriesKey, datetime]:
        since = _hour(self._now) - timedelta(days=days)
        return self._remember(("known", since), lambda: baselines.first_hours(self._connection, since))

    def usual_webhooks(self, minutes: int) -> list[dict[SeriesKey, float]]:
        hour = _hour(self._now - timedelta(minutes=minutes))

        def read() -> list[dict[SeriesKey, float]]:
            days = [hour - timedelta(days=back) for back in range(1, USUAL_DAYS + 1)]
            found = baselines.events_in(self._connection, days)
            return [{key: events * minutes / 60 for key, events in day.items()} for day in found.values()]

        return self._remember(("webhooks", hour, minutes), read)

    def sends(self, minutes: int) -> dict[str, int]:
        start, end = rates.window(self._now, minutes)
        return reports.accepted_by_number(self._connection, start, end - WEBHOOK_DELAY)

    def _load(self) -> None:
        start, self._loaded_until = self._loaded_until, self._loaded_until + _READ_AHEAD
        self._loaded |= minutes.read(self._connection, start, self._loaded_until)

    def _remember(self, name: tuple[object, ...], read: Callable[[], _Any]) -> _Any:
        """Return the cached value, or read it. The cache is cleared when it is full."""
        if name not in self._hourly:
            if len(self._hourly) > _MAX_CACHED:
                self._hourly.clear()
            self._hourly[name] = read()
        found: _Any = self._hourly[name]  # type: ignore[assignment]  # the type that `read` returns
        return found


_READ_AHEAD = timedelta(hours=2)
_MAX_CACHED = 64


def _subtract(sums: Counter[_Any], gone: Mapping[_Any, int]) -> None:
    for key, number in gone.items():
        sums[key] -= number
        if not sums[key]:
            del sums[key]


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
