"""The findings of a backtest: decided by the code that decides live, once for each day and hour of the past."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from webhook_app.pipeline.incidents.findings.find import search, search_reports
from webhook_app.pipeline.incidents.findings.finding_inputs import (
    HISTORY_DAYS,
    as_days,
    count_within,
    midnight,
)
from webhook_app.pipeline.incidents.findings.finding_store import incident_state
from webhook_app.pipeline.incidents.incident_store import Failures
from webhook_app.pipeline.incidents.inputs.rule_inputs import RuleInputs
from webhook_app.pipeline.incidents.past.memory_store import MemoryStore
from webhook_app.rules.accounts.health_states import ReportedHealth
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.findings.chronic import ChronicState
from webhook_app.rules.incidents.findings.finding import DAY, CountedDays, Slice
from webhook_app.rules.incidents.findings.observed_states import UnreachedList
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.accounts.health import Subject
from webhook_app.store.counts.window_counts import WindowCounts


class BacktestFinding(Struct, frozen=True, kw_only=True):
    """A finding that there would have been."""

    kind: str
    title: str
    codes: list[int]
    slice: dict[str, list[str]] | None
    since: datetime
    state: str


class PastDays(Protocol):
    """What was counted at any time."""

    @property
    def failures(self) -> Failures: ...
    def hours(self, start: datetime, end: datetime) -> WindowCounts: ...
    def unreached(self, campaign: str, waba_id: str, messages: int, now: datetime) -> UnreachedList: ...


class PastFindings:
    """The findings at the time that the inputs are moved to. They are kept in the store of the backtest."""

    def __init__(self, past: PastDays, inputs: RuleInputs, store: MemoryStore, rules: Sequence[Rule]) -> None:
        self._past, self._inputs, self._store, self._rules = past, inputs, store, rules
        self._days: dict[datetime, WindowCounts] = {}
        self._hour: datetime | None = None

    def search(self) -> None:
        """Search once an hour, in counts by day once a day."""
        hour = self.now.replace(minute=0, second=0, microsecond=0)
        if hour == self._hour:
            return
        is_new_day = self._hour is None or midnight(self._hour) != midnight(hour)
        self._hour = hour
        if is_new_day:
            search(self, self._store.findings, self._rules)
        else:
            search_reports(self, self._store.findings)

    def found(self) -> list[BacktestFinding]:
        """Every finding so far, oldest first."""
        return [
            BacktestFinding(
                kind=each.kind,
                title=each.title,
                codes=each.codes,
                slice=each.slice,
                since=each.since,
                state=each.state,
            )
            for each in self._store.findings.found.values()
        ]

    @property
    def now(self) -> datetime:
        return self._inputs.now

    @property
    def failures(self) -> Failures:
        return self._past.failures

    def days(self) -> CountedDays:
        today = midnight(self.now)
        starts = [today - DAY * back for back in range(HISTORY_DAYS, 0, -1)]
        self._days = {
            start: self._days[start] if start in self._days else self._past.hours(start, start + DAY)
            for start in starts
        }
        return as_days(list(self._days.values()), starts[0])

    def beyond_reports(self, days: CountedDays) -> None:
        """None: the counts of the past are not kept apart."""
        del days

    def in_hours(
        self, codes: Sequence[int], part: Slice, start: datetime, end: datetime, *, reported: bool
    ) -> Counts:
        del reported
        return count_within(self._past.hours(start, end), codes, part, start)

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]:
        return self._inputs.reported_health()

    def unreached(self, campaign: str, waba_id: str, messages: int) -> UnreachedList:
        return self._past.unreached(campaign, waba_id, messages, self.now)

    def open_incidents(self) -> list[ChronicState]:
        return [incident_state(each) for each in self._store.incidents.values() if each.is_open]
