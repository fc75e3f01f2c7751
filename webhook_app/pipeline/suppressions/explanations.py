"""The incidents and failure rates that explain failures in one run of suppress. Counts each window at most once."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache, partial

from msgspec import Struct

from webhook_app.rules.incidents.evidence import ENOUGH_CALLS
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.suppressions.explained_periods import BY_RATE, ExplainedPeriod, Periods, limit_duration
from webhook_app.rules.suppressions.failed_days import failed_days
from webhook_app.rules.suppressions.repeated_incidents import no_longer_excused
from webhook_app.store.counts import rates
from webhook_app.store.incidents import explained_periods
from webhook_app.store.incidents.explained_periods import WindowReader
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.sends import reporters
from webhook_app.store.sends.reporters import CallFailure
from webhook_app.store.suppressions.contact_failures import ContactFailure

LOOKBACK = timedelta(days=90)
"""How far back failures count and incidents explain them."""

_MAX_WINDOWS = 300
"""Windows read in one transaction to sort failures, and again to decide. Failures of invented times or numbers would
need one each."""


class SortedFailures(Struct):
    """Failures to hold while something explains them, to excuse, and to count."""

    hold: list[tuple[ContactFailure, int]]
    excuse: list[tuple[ContactFailure, int]]
    count: list[ContactFailure]
    past_periods: list[ExplainedPeriod]
    """Windows of the past with a high failure rate that explain some of them."""


class Explanations:
    """The incidents and pending alerts at the last `refresh`; the windows when they were first needed."""

    def __init__(self, rules: Sequence[Rule], now: datetime) -> None:
        self.now = now
        self.incidents: list[ExplainedPeriod] = []
        self._by_incidents = self._pending = self._excess = Periods()
        self._rules = rules
        self._windows = explained_periods.windows_of(rules)
        self._live_from = {
            rule.window_minutes: rates.window(now, rule.window_minutes)[0] for rule in self._windows
        }
        self._present: Periods | None = None
        self._past: dict[tuple[str, int, datetime], Periods] = {}
        self._reader: WindowReader | None = None
        self._read_before = 0
        self._failed_calls: Callable[[str], Sequence[CallFailure]] = lambda _: ()

    @property
    def is_used_up(self) -> bool:
        """Whether the decisions since the last `refresh` or `sort` read so many windows that others have to wait."""
        return self._read.windows_read - self._read_before > _MAX_WINDOWS

    def refresh(self, connection: Connection) -> None:
        """Read the incidents again: they change between the transactions of a run."""
        found = explained_periods.of_incidents(connection, self.now - LOOKBACK)
        shown, excess = limit_duration([each for each in found if each.is_shown], self.now)
        reported, _ = limit_duration([each for each in found if not each.is_shown], self.now)
        self.incidents = shown + reported
        self._by_incidents, self._excess = Periods(self.incidents), Periods(excess)
        self._failed_calls = cache(partial(reporters.failed_calls, connection, since=self.now - LOOKBACK))
        self._pending = Periods(explained_periods.of_pending_alerts(connection, self._rules))
        self._reader, self._read_before = WindowReader(connection), 0

    def is_excused(self, failure: ContactFailure, by: int) -> bool:
        """Whether `by`, an incident that is over or the rate of its time, excuses the failure."""
        if by < BY_RATE or failure.is_held:
            return False
        return not any(each.by == by and each.end is None for each in self._explaining(failure))

    def incident_for(self, failure: ContactFailure) -> ExplainedPeriod | None:
        """The incident that explains the failure; one that has ended is preferred to an open one."""
        return _preferred(self._explaining(failure))

    def _explaining(self, failure: ContactFailure) -> list[ExplainedPeriod]:
        """The periods of incidents that explain the failure. One that only reports show explains reports of a key that
        reported it often enough by itself.
        """
        return [
            each
            for each in self._by_incidents.explaining(failure)
            if each.is_shown or (failure.reported_by and self._is_shown_by(failure.reported_by, each))
        ]

    def _is_shown_by(self, key: str, period: ExplainedPeriod) -> bool:
        number, end = period.slice.get("phone_number_id"), period.end or self.now
        calls = [
            call
            for call in self._failed_calls(key)
            if call.error_code in period.codes
            and period.start <= call.sent_at <= end
            and number in (None, call.phone_number_id)
        ]
        return len(calls) >= ENOUGH_CALLS

    def present_for(
        self,
        failure: ContactFailure,
        own: Iterable[ContactFailure] = (),
        in_a_row: Iterable[ContactFailure] = (),
    ) -> ExplainedPeriod | None:
        """What explains the failure for now and may not do so later; `own`, `in_a_row`: see `failed_days_for`.

        A pending alert, a failure rate that is high now, or today if hardly anything has reached others so far.
        """
        if self._is_normal(failure):
            return None
        if found := _preferred(self._pending.explaining(failure)):
            return found
        if (days := self.failed_days_for(failure, own, in_a_row)) and days.end is None:
            return days
        if failure.occurred_at < min(self._live_from.values(), default=self.now):
            return None
        if self._present is None:
            self._present = Periods(
                found
                for rule in self._windows
                for found in self._read.high(rule, rates.window(self.now, rule.window_minutes))
            )
        return _preferred(self._present.explaining(failure))

    def past_for(self, failure: ContactFailure) -> ExplainedPeriod | None:
        """For a failure that arrived late: a window of its time that would have started an alert."""
        if self._is_normal(failure) or failure.occurred_at < self.now - LOOKBACK:
            return None
        return _preferred(
            period
            for rule in self._windows
            if failure.occurred_at < self._live_from[rule.window_minutes]
            for period in self._around(rule, failure.occurred_at).explaining(failure)
        )

    def failed_days_for(
        self,
        failure: ContactFailure,
        own: Iterable[ContactFailure],
        in_a_row: Iterable[ContactFailure] = (),
    ) -> ExplainedPeriod | None:
        """The days around the failure, if hardly anything that its number, template or country tried then arrived.

        `own`: the failures of the same person, which say nothing about the sender; `in_a_row`: those since the person
        was last reached. Those that senders reported are not among what was tried.
        """
        if not self._rules:
            return None
        return self._failed_days(failure, _by_webhooks(own), _by_webhooks(in_a_row))

    def no_longer_excused(
        self,
        excused: Sequence[ContactFailure],
        own: Iterable[ContactFailure],
        in_a_row: Iterable[ContactFailure],
    ) -> list[ContactFailure]:
        """Those of one person's excused failures that count after all; see repeated_incidents."""
        own, in_a_row = _by_webhooks(own), _by_webhooks(in_a_row)
        counting = no_longer_excused(excused, in_a_row, self._read.tried_between)
        return [each for each in counting if not self._failed_days(each, own, in_a_row)]

    def _failed_days(
        self, failure: ContactFailure, own: Sequence[ContactFailure], in_a_row: Sequence[ContactFailure]
    ) -> ExplainedPeriod | None:
        count_day = partial(self._read.tried_on, failure.phone_number_id)
        return failed_days(failure, own, count_day, self.now, in_a_row)

    def sort(self, failures: Iterable[ContactFailure]) -> SortedFailures:
        """Sort the failures into those to hold, to excuse for good, and to count.

        Stops early after many windows; the rest is for the next transaction.
        """
        found = SortedFailures([], [], [], [])
        for failure in failures:
            if self._read.windows_read > _MAX_WINDOWS:
                break
            if incident := self.incident_for(failure):
                (found.hold if incident.end is None else found.excuse).append((failure, incident.by))
            elif pending := _preferred(self._pending.explaining(failure)):
                found.hold.append((failure, pending.by))
            elif past := self.past_for(failure):
                found.excuse.append((failure, past.by))
                found.past_periods += [past] if past not in found.past_periods else []
            else:
                found.count.append(failure)
        self._read_before = self._read.windows_read
        return found

    @property
    def _read(self) -> WindowReader:
        if self._reader is None:
            raise RuntimeError("refresh comes first")
        return self._reader

    def _is_normal(self, failure: ContactFailure) -> bool:
        """Whether an incident has lasted so long that its failure rate is the normal state."""
        return bool(self._excess.explaining(failure))

    def _around(self, rule: Rule, moment: datetime) -> Periods:
        start = explained_periods.window_start(rule, moment)
        key = rule.name, rule.window_minutes, start
        if key not in self._past:
            self._past[key] = Periods(self._read.alerting(rule, start))
        return self._past[key]


def _by_webhooks(failures: Iterable[ContactFailure]) -> list[ContactFailure]:
    return [each for each in failures if each.reported_by == ""]


def _preferred(found: Iterable[ExplainedPeriod]) -> ExplainedPeriod | None:
    return min(found, key=lambda period: period.end is None, default=None)
