"""The inputs of the rules: what they judge by at one time.

Each class with these methods lets the same rules judge another time: now (live_inputs.py), or the past.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from webhook_app.pipeline.incidents.incident_store import Failures
from webhook_app.rules.accounts.health_states import ReportedHealth
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.evidence import AcceptedSends, ReportedCalls
from webhook_app.rules.incidents.findings.chronic import ChronicStates
from webhook_app.store.accounts.health import Subject
from webhook_app.store.counts.window_counts import WindowCounts

WEBHOOK_DELAY = timedelta(minutes=5)
"""Webhooks usually follow a send within seconds; a missing one counts only after this time."""


class CountInputs(Protocol):
    """The counts at one time that judge the groups of a rule. `minutes` is the length of the window in full minutes,
    besides the running one.
    """

    @property
    def now(self) -> datetime: ...
    @property
    def chronic(self) -> ChronicStates:
        """The open chronic findings."""
        ...

    def window(self, minutes: int) -> WindowCounts:
        """The counts of the window: the last full minutes and the running one."""
        ...

    def usual(self, minutes: int, hours: int) -> WindowCounts:
        """The counts of the hours before the window."""
        ...

    def outcomes(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        """The messages of the last minutes that the measure judges, as attempts, and those it counts, as failures."""
        ...

    def usual_outcomes(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        """The messages of the hours that say what is usual in the window of these outcomes."""
        ...

    def ended_outcomes(self) -> Mapping[tuple[str, str], datetime]:
        """When the last alert about outcomes ended that did not go quiet, by rule and group key.

        What it was about does not count again.
        """
        ...

    def met(self, minutes: int, days: int) -> WindowCounts:
        """The counts of the days before the window, up to the last summed hour."""
        ...

    def met_lately(self, minutes: int) -> WindowCounts:
        """The failures between the last summed hour and the window."""
        ...

    def known_since(self, days: int) -> dict[SeriesKey, datetime]:
        """The first hour of each series within these days."""
        ...


REPORTED_MINUTES = 75
"""Failed calls of this time say who reports an alert. A key may report a call late."""


class RuleInputs(CountInputs, Protocol):
    """Everything that rules judge by at one time. `minutes` is the length of the window in full minutes, besides the
    running one.
    """

    @property
    def failures(self) -> Failures:
        """The failed messages that describe an incident."""
        ...

    def beyond_reports(self) -> CountInputs | None:
        """The counts without what senders report, which may be made up; None where nothing is reported."""
        ...

    def reported(self, minutes: int) -> WindowCounts:
        """The messages of the window of which senders reported a failure."""
        ...

    def reported_calls(self, minutes: int = REPORTED_MINUTES) -> ReportedCalls:
        """The failed calls of the window that senders reported."""
        ...

    def known_numbers(self) -> frozenset[str]:
        """The business numbers that webhooks or the Graph API have named."""
        ...

    def attempts_of_day(self) -> dict[SeriesKey, int]:
        """Messages of the last 24 hours by series."""
        ...

    def webhooks(self, minutes: int) -> dict[SeriesKey, int]:
        """The number of status events in the window."""
        ...

    def usual_webhooks(self, minutes: int) -> dict[int, dict[SeriesKey, float]]:
        """Status events of a window of this length at this time, by number of days before, of days that are known."""
        ...

    def sends(self, minutes: int) -> AcceptedSends:
        """Accepted sends in the window by business number and API key, without those too recent to have a webhook."""
        ...

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]:
        """Accounts, numbers and templates with what Meta had reported of each."""
        ...
