"""The counts of windows that webhooks alone show, and where senders reported failures. Each is read when needed."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from webhook_app.rules.incidents.evidence import HeldGroups
from webhook_app.store.counts import rates, webhook_counts
from webhook_app.store.counts.window_counts import FailedMessages, Mark, WindowCounts
from webhook_app.store.incidents.alerts import EndedFailures
from webhook_app.store.postgres.engine import Connection

FailedByCode = Mapping[int, Sequence[FailedMessages]]
WindowCache = dict[tuple[str, int], tuple[datetime, WindowCounts]]
"""Windows by kind and length, with the time at which they were read."""

_KEPT_FROM_MINUTES = 120
_KEPT_FOR = timedelta(seconds=60)


class WebhookWindows:
    """Windows that end at `now`. `ended`: what alerts held that have ended does not count again."""

    def __init__(
        self,
        connection: Connection,
        now: datetime,
        cache: WindowCache,
        ended: Callable[[], Sequence[EndedFailures]],
    ) -> None:
        self._connection = connection
        self._now = now
        self._cache = cache
        self._ended = ended
        self._read: WindowCache = {}
        self._failed: dict[tuple[datetime, datetime], FailedByCode] = {}

    def reported(self, minutes: int) -> WindowCounts:
        """The codes and series of which senders reported failures in the window, each as one failure."""
        return self._kept("reported", minutes, partial(webhook_counts.reported, self._connection))

    def shown(self, minutes: int) -> WindowCounts:
        """The window without what only senders reported."""
        return self._kept("shown", minutes, self._shown)

    def _kept(
        self, kind: str, minutes: int, read: Callable[[datetime, datetime], WindowCounts]
    ) -> WindowCounts:
        key, cache = (kind, minutes), self._cache if minutes > _KEPT_FROM_MINUTES else self._read
        known = cache.get(key)
        if known is None or not timedelta(0) <= self._now - known[0] < _KEPT_FOR:
            known = cache[key] = (self._now, read(*rates.window(self._now, minutes)))
        return known[1]

    def _shown(self, start: datetime, end: datetime) -> WindowCounts:
        spent: Counter[tuple[Mark, ...]] = Counter()
        for ended in self._ended():
            span = max(start, ended.start), min(end, ended.end)
            if span[0] < span[1]:
                spent.update(spent_by(ended, self._failed_between(span)))
        window = webhook_counts.read_window(self._connection, start, end)
        return window.without(spent) if spent else window

    def _failed_between(self, span: tuple[datetime, datetime]) -> FailedByCode:
        if span not in self._failed:
            self._failed[span] = sorted_by_code(webhook_counts.failures(self._connection, *span))
        return self._failed[span]


def sorted_by_code(failures: Iterable[FailedMessages]) -> FailedByCode:
    """The failures of each code."""
    by_code: defaultdict[int, list[FailedMessages]] = defaultdict(list)
    for failed in failures:
        for code in {mark.code for mark in failed.marks}:
            by_code[code].append(failed)
    return by_code


def spent_by(ended: EndedFailures, by_code: FailedByCode) -> Counter[tuple[Mark, ...]]:
    """Those of the failures that the ended alerts of an incident held."""
    names = {name: frozenset(values) for name, values in ended.names.items()}
    groups, found = HeldGroups(ended.groups), Counter[tuple[Mark, ...]]()
    for failed in {id(each): each for code in ended.codes for each in by_code.get(code, ())}.values():
        if any(code in ended.codes and groups.hold(code, series, names) for code, series in failed.marks):
            found[failed.marks] += failed.messages
    return found
