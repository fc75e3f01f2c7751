"""Simulated traffic as the counts by minute that a backtest reads: senders, their usual failures, and faults."""

import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from benchmarks.judgement.outcomes import SimulatedOutcomes
from webhook_app.pipeline.incidents.incident_store import Failures, Groups
from webhook_app.rules.accounts.health_states import ReportedHealth
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.evidence import AcceptedSends, HeldGroups
from webhook_app.rules.incidents.findings.observed_states import UnreachedList
from webhook_app.store.accounts.health import Subject
from webhook_app.store.counts.impact import IncidentImpact
from webhook_app.store.counts.messages.outcome_counts import OutcomeCounts
from webhook_app.store.counts.minutes import Minute
from webhook_app.store.counts.window_counts import FailedMessages, Mark, WindowCounts

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

ALL_DAY = (1.0,) * 24
OFFICE = (0.05,) * 7 + (0.5, 1.5, 2.0, 2.0, 2.0, 1.5, 1.5, 2.0, 2.0, 2.0, 1.5, 1.0, 1.0, 0.8, 0.5, 0.2, 0.1)
"""The share of the day's messages in each hour, as a multiple of the average."""
WEEKDAYS = (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
QUIET_WEEKEND = (1.0, 1.0, 1.0, 1.0, 1.0, 0.3, 0.2)

_EVENTS = 3  # sent, delivered and read


class Sender(Struct, frozen=True, kw_only=True):
    """One series: how much it sends, when, and which share of it usually fails with which code."""

    series: SeriesKey
    per_day: float
    hours: tuple[float, ...] = ALL_DAY
    weekdays: tuple[float, ...] = (1.0,) * 7
    usual: tuple[tuple[int, float], ...] = ()
    unreported: float = 0.05
    """The share of messages that usually have no delivery report in time; at night it is twice as high."""
    slow: float = 0.03
    """The share of messages that are usually delivered late."""
    start: datetime | None = None
    end: datetime | None = None
    """A campaign sends only between these times."""


class Fault(Struct, frozen=True, kw_only=True):
    """A share of the messages of matching series fails with this code, or has one of these outcomes instead:
    `silent`: nothing is reported at all, `undelivered`: only `sent` is reported, `slow`: they are delivered late.
    """

    start: datetime
    end: datetime
    code: int = 0
    share: float = 1.0
    where: Mapping[str, str] = {}
    silent: bool = False
    undelivered: bool = False
    slow: bool = False

    @property
    def fails(self) -> bool:
        return not (self.silent or self.undelivered or self.slow)

    def matches(self, series: SeriesKey) -> bool:
        return all(getattr(series, name) == value for name, value in self.where.items())


class SimulatedPast:
    """Generates the traffic minute by minute, in order, the same for the same seed."""

    def __init__(
        self, senders: Sequence[Sender], faults: Sequence[Fault], start: datetime, seed: int = 1
    ) -> None:
        self._senders, self._faults = senders, faults
        self._start = self._until = start
        self._chance = random.Random(seed)
        self._hours: dict[datetime, tuple[Counter[SeriesKey], Counter[Mark]]] = {}
        self._days: dict[datetime, WindowCounts] = {}
        self._first: dict[SeriesKey, datetime] = {}
        self._failed: list[tuple[datetime, Mark, int]] = []
        self._outcomes = SimulatedOutcomes(seed)
        self._made: dict[datetime, Minute] = {}
        self._next_failure: dict[tuple[SeriesKey, int], int] = {}

    @property
    def failures(self) -> Failures:
        return self

    def minutes(self, start: datetime, end: datetime) -> dict[datetime, Minute]:
        self._generate_until(end)
        made = {at: self._made.pop(at) for at in list(self._made) if at < end}
        return {at: minute for at, minute in made.items() if at >= start}

    def outcomes(
        self, measure: OutcomeMeasure, start: datetime, end: datetime
    ) -> dict[datetime, OutcomeCounts]:
        self._generate_until(end)
        return self._outcomes.between(measure, start, end)

    def outcome_hours(self, measure: OutcomeMeasure, hours: Sequence[datetime]) -> OutcomeCounts:
        return self._outcomes.of_hours(measure, hours)

    def _generate_until(self, end: datetime) -> None:
        while self._until < end:
            self._generate(self._until, self._made)
            self._until += HOUR

    def _generate(self, hour: datetime, found: dict[datetime, Minute]) -> None:
        """One hour of all senders. Hours are generated in turn, and each is asked for once."""
        attempts, failed = self._hours.setdefault(hour, (Counter(), Counter()))
        for sender in self._senders:
            per_minute = sender.per_day / 1440 * sender.hours[hour.hour] * sender.weekdays[hour.weekday()]
            if sender.start is not None and (hour + HOUR <= sender.start or hour >= (sender.end or hour)):
                continue
            faults = [
                each
                for each in self._faults
                if each.start < hour + HOUR and each.end > hour and each.matches(sender.series)
            ]
            for offset, messages in self._messages(per_minute):
                at = hour + offset * MINUTE
                if sender.start is not None and not sender.start <= at < (sender.end or at):
                    continue
                now = [each for each in faults if each.start <= at < each.end]
                if any(each.silent for each in now):
                    continue
                minute = found.setdefault(at, Minute())
                series = sender.series
                minute.attempts[series] = minute.attempts.get(series, 0) + messages
                minute.events[series] = minute.events.get(series, 0) + messages * _EVENTS
                attempts[series] += messages
                self._first.setdefault(series, hour)
                left = messages
                for each in now:
                    if not each.fails:
                        continue
                    count = min(left, self._binomial(messages, each.share))
                    left -= self._fail(minute, failed, at, Mark(each.code, series), count)
                for code, share in sender.usual:
                    left -= self._fail(
                        minute, failed, at, Mark(code, series), self._usual(series, code, share, left)
                    )
                unreported = [sender.unreported, *(each.share for each in now if each.undelivered)]
                slow = [sender.slow, *(each.share for each in now if each.slow)]
                self._outcomes.add(at, series, messages, messages - left, unreported, slow)

    def _fail(self, minute: Minute, failed: Counter[Mark], at: datetime, mark: Mark, count: int) -> int:
        if count:
            minute.once[mark] = minute.once.get(mark, 0) + count
            failed[mark] += count
            self._failed.append((at, mark, count))
        return count

    def _messages(self, per_minute: float) -> list[tuple[int, int]]:
        """Messages by minute of an hour."""
        if per_minute <= 0:
            return []
        if per_minute >= 1:
            return [(offset, n) for offset in range(60) if (n := self._poisson(per_minute))]
        count = self._poisson(per_minute * 60)
        return sorted(Counter(self._chance.randrange(60) for _ in range(count)).items())

    def _poisson(self, mean: float) -> int:
        if mean > 12:
            return max(round(self._chance.gauss(mean, math.sqrt(mean))), 0)
        limit, count, product = math.exp(-mean), 0, self._chance.random()
        while product > limit:
            count += 1
            product *= self._chance.random()
        return count

    def _binomial(self, messages: int, share: float) -> int:
        if share >= 1:
            return messages
        return sum(self._chance.random() < share for _ in range(messages))

    def _usual(self, series: SeriesKey, code: int, share: float, messages: int) -> int:
        """How many of these messages fail; the gaps between failures are geometric."""
        if share <= 0:
            return 0
        key, count = (series, code), 0
        gap = self._next_failure.get(key)
        if gap is None:
            gap = self._gap(share)
        while gap <= messages:
            messages -= gap
            count += 1
            gap = self._gap(share)
        self._next_failure[key] = gap - messages
        return count

    def _gap(self, share: float) -> int:
        return int(math.log(1 - self._chance.random()) / math.log1p(-share)) + 1

    def hours(self, start: datetime, end: datetime) -> WindowCounts:
        attempts: Counter[SeriesKey] = Counter()
        failed: Counter[Mark] = Counter()
        hour = max(start, self._start)
        while hour < end:
            if hour.hour == 0 and hour + DAY <= end:
                day = self._day(hour)
                attempts.update(day.attempts)
                failed.update({each.marks[0]: each.messages for each in day.failed})
                hour += DAY
                continue
            if hour in self._hours:
                attempts.update(self._hours[hour][0])
                failed.update(self._hours[hour][1])
            hour += HOUR
        return WindowCounts(attempts, [FailedMessages((mark,), count) for mark, count in failed.items()])

    def _day(self, day: datetime) -> WindowCounts:
        if day not in self._days:
            attempts: Counter[SeriesKey] = Counter()
            failed: Counter[Mark] = Counter()
            for place in range(24):
                of_hour = self._hours.get(day + place * HOUR)
                if of_hour is not None:
                    attempts.update(of_hour[0])
                    failed.update(of_hour[1])
            counts = [FailedMessages((mark,), count) for mark, count in failed.items()]
            self._days[day] = WindowCounts(attempts, counts)
        return self._days[day]

    def first_hours(self, since: datetime) -> dict[SeriesKey, datetime]:
        return {series: max(first, since) for series, first in self._first.items()}

    def events_in(self, hours: Sequence[datetime]) -> dict[datetime, dict[SeriesKey, int]]:
        return {
            hour: {series: count * _EVENTS for series, count in self._hours[hour][0].items()}
            for hour in hours
            if hour in self._hours
        }

    def failures_between(self, start: datetime, end: datetime) -> list[FailedMessages]:
        return [FailedMessages((mark,), count) for _, mark, count in self._between(start, end)]

    def sends(self, start: datetime, end: datetime) -> AcceptedSends:
        del start, end
        return {}

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]:
        return []

    def unreached(self, campaign: str, waba_id: str, messages: int, now: datetime) -> UnreachedList:
        """Contacts are not simulated: all of them were reached before."""
        del now
        return UnreachedList(campaign=campaign, waba_id=waba_id, tried=messages, unreached=0)

    def impact(
        self, start: datetime, end: datetime, codes: Sequence[int], groups: Groups, *, of_webhooks: bool
    ) -> IncidentImpact:
        """Every failure is another contact's, and webhooks show all."""
        del of_webhooks
        lying_in = HeldGroups(groups or [{}])
        held = [
            each
            for each in self._between(start, end + MINUTE)
            if each[1].code in codes and lying_in.hold(*each[1], {})
        ]
        by_code, numbers, templates = Counter[int](), Counter[str](), Counter[str]()
        for _, mark, count in held:
            by_code[mark.code] += count
            numbers[mark.series.phone_number_id] += count
            templates[mark.series.template] += count
        messages = sum(by_code.values())
        return IncidentImpact(
            messages=messages,
            contacts=messages,
            first_at=held[0][0] if held else None,
            by_code=dict(by_code),
            numbers=[name for name, _ in numbers.most_common()],
            templates=[name for name, _ in templates.most_common() if name],
            is_partial=False,
        )

    def samples(
        self, start: datetime, end: datetime, codes: Sequence[int], groups: Groups, *, of_webhooks: bool
    ) -> list[str]:
        del start, end, codes, groups, of_webhooks
        return []

    def _between(self, start: datetime, end: datetime) -> list[tuple[datetime, Mark, int]]:
        first = bisect_left(
            self._failed, start, key=lambda each: each[0].replace(minute=0, second=0, microsecond=0)
        )
        last = bisect_left(
            self._failed, end, key=lambda each: each[0].replace(minute=0, second=0, microsecond=0)
        )
        return sorted(
            (each for each in self._failed[max(first - 1, 0) : last] if start <= each[0] < end),
            key=lambda each: each[0],
        )
