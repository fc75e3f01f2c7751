"""Reads what findings are decided from. A class with the same methods for the past lets a backtest decide alike."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from webhook_app.pipeline.incidents.findings.finding_store import incident_state
from webhook_app.pipeline.incidents.incident_store import Failures, StoredFailures
from webhook_app.rules.accounts.health_states import ReportedHealth
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.findings.chronic import ChronicState
from webhook_app.rules.incidents.findings.finding import DAY, WEEK_DAYS, CountedDays, Slice
from webhook_app.rules.incidents.findings.observed_states import UNREACHABLE, UnreachedList
from webhook_app.store.accounts import health
from webhook_app.store.accounts.health import Subject
from webhook_app.store.counts import baselines
from webhook_app.store.counts.window_counts import WindowCounts
from webhook_app.store.incidents import finding_facts, incidents
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import successes

HISTORY_DAYS = 28
_SAMPLE = 500
_MAX_SUBJECTS = 100_000


class FindingInputs(Protocol):
    """Counts and reports at one time."""

    @property
    def now(self) -> datetime: ...
    @property
    def failures(self) -> Failures:
        """The failed messages that describe a finding."""
        ...

    def days(self) -> CountedDays:
        """The complete days before today, at most 28."""
        ...

    def beyond_reports(self, days: CountedDays) -> CountedDays | None:
        """The days without what only reports of senders show, which may be made up; None where they show nothing."""
        ...

    def in_hours(
        self, codes: Sequence[int], part: Slice, start: datetime, end: datetime, *, reported: bool
    ) -> Counts:
        """The messages of this part in these hours, and those that failed with one of the codes.

        `reported`: with what only reports of senders show.
        """
        ...

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]: ...
    def unreached(self, campaign: str, waba_id: str, messages: int) -> UnreachedList:
        """How many contacts of this campaign were never reached."""
        ...

    def open_incidents(self) -> list[ChronicState]:
        """The parts that open incidents are about."""
        ...


class StoredFacts:
    """The inputs at `now` from the tables."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    @property
    def now(self) -> datetime:
        return self._now

    @property
    def failures(self) -> Failures:
        return StoredFailures(self._connection)

    def days(self) -> CountedDays:
        return finding_facts.read_days(
            self._connection, midnight(self._now) - DAY * HISTORY_DAYS, HISTORY_DAYS
        )

    def beyond_reports(self, days: CountedDays) -> CountedDays | None:
        return finding_facts.without_reports(self._connection, days)

    def in_hours(
        self, codes: Sequence[int], part: Slice, start: datetime, end: datetime, *, reported: bool
    ) -> Counts:
        window = baselines.read(self._connection, start, end)
        if not reported:
            window = window.less(baselines.read_reported(self._connection, start, end))
        return count_within(window, codes, part, start)

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]:
        found = health.subjects(self._connection, health.HealthFilters(), _MAX_SUBJECTS)
        reports = health.reported_health(self._connection, found)
        return [
            (each, reports[each.subject, each.subject_id]) for each in found if each.subject == "template"
        ]

    def unreached(self, campaign: str, waba_id: str, messages: int) -> UnreachedList:
        return count_unreached(self._connection, campaign, waba_id, messages, self._now)

    def open_incidents(self) -> list[ChronicState]:
        return [incident_state(each) for each in incidents.open_incidents(self._connection)]


def count_unreached(
    connection: Connection, campaign: str, waba_id: str, messages: int, now: datetime
) -> UnreachedList:
    """The contacts of the last complete week that failed as unreachable, without those ever reached.

    The share of a sample of them stands for all.
    """
    until = midnight(now)
    since = until - DAY * WEEK_DAYS
    failed = finding_facts.unreachable_contacts(connection, campaign, waba_id, UNREACHABLE, since, until)
    sample = failed[:_SAMPLE]
    known = successes.last_successes(connection, sample, now - finding_facts.A_YEAR)
    share = 1 - len({each.contact for each in known}) / len(sample) if sample else 0.0
    return UnreachedList(
        campaign=campaign, waba_id=waba_id, tried=messages, unreached=round(share * len(failed))
    )


def count_within(window: WindowCounts, codes: Sequence[int], part: Slice, start: datetime) -> Counts:
    """The messages of a window in this part, and those that failed with one of the codes."""
    return as_days([window], start).counts(codes, part)[0]


def as_days(windows: Sequence[WindowCounts], first: datetime) -> CountedDays:
    """Windows of a day each as counts by day."""
    days = CountedDays(first, len(windows))
    for place, window in enumerate(windows):
        for series, count in window.attempts.items():
            days.add_attempts(place, series, count)
        for failed in window.failed:
            for mark in failed.marks:
                days.add_failures(place, mark.code, mark.series, failed.messages)
    return days


def midnight(moment: datetime) -> datetime:
    """The beginning of the day in UTC."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
