"""Periods that explain failures: those of incidents and pending alerts, and windows with a high failure rate."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from webhook_app.rules.counts.dimensions import lacks_a_name
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.evidence import holding_groups, shown_by_webhooks
from webhook_app.rules.incidents.rules_file.rule import Rule, selects
from webhook_app.rules.suppressions.explained_periods import (
    LONGEST_WINDOW_MINUTES,
    ExplainedPeriod,
    explainable_codes,
    explained_by_incident,
    explained_by_rate,
    is_rate_high,
    would_alert,
)
from webhook_app.store.counts import baselines, rates
from webhook_app.store.counts.rates import Filters
from webhook_app.store.counts.window_counts import GroupKey, WindowCounts, is_failure
from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import explain

ABOUT_FAILURES = ("rate", "spike")
"""The kinds of alerts that explain failures."""

_DAY = timedelta(days=1)
_USUAL = timedelta(days=7)
_MIN_USUAL = 200  # messages of that week from which its share says what is usual


def of_incidents(connection: Connection, since: datetime) -> list[ExplainedPeriod]:
    """The periods of incidents about failures that are open, or ended after `since`."""
    known = incidents.open_or_ended_since(connection, since)
    members: dict[int, list[Alert]] = {incident.id: [] for incident in known}
    for alert in alerts.of_kinds(connection, list(members), ABOUT_FAILURES):
        if alert.incident_id is not None:
            members[alert.incident_id].append(alert)
    return [period for incident in known for period in of_incident(incident, members[incident.id])]


def of_incident(incident: Incident, members: Iterable[Alert]) -> list[ExplainedPeriod]:
    """The periods that the incident explains: its codes in the groups of its alerts about failures.

    Those that webhooks alone show, and then all of them, which explain little: see ExplainedPeriod.is_shown.
    """
    about = [alert for alert in members if alert.kind in ABOUT_FAILURES]
    names = {name: frozenset(values) for name, values in incident.names.items()}
    fired_at = max((alert.fired_at or alert.started_at for alert in about), default=incident.opened_at)
    noticed_at = fired_at if incident.ended_at is None else max(fired_at, incident.evaluated_at)
    shown = shown_by_webhooks(incident.codes, about)
    ends = [end for end in (shown.until, incident.ended_at) if end is not None]

    def periods(
        codes: Sequence[int], held: Sequence[Alert], end: datetime | None, *, is_shown: bool
    ) -> list[ExplainedPeriod]:
        groups = holding_groups([alert.group for alert in held], names)
        return explained_by_incident(
            incident.id, codes, groups, incident.began_at, end, noticed_at=noticed_at, is_shown=is_shown
        )

    found = periods(shown.codes, shown.alerts, min(ends, default=None), is_shown=True)
    if len(shown.alerts) < len(about) or shown.until is not None:
        found += periods(incident.codes, about, incident.ended_at, is_shown=False)
    return found


def of_pending_alerts(connection: Connection, rules: Sequence[Rule]) -> list[ExplainedPeriod]:
    """The periods of alerts about failures that may fire and belong to no incident yet."""
    by_name = {rule.name: rule for rule in rules}
    return [
        explained_by_rate(
            by_name[alert.rule], alert.group, alert.covers_from, None, noticed_at=alert.started_at
        )
        for alert in alerts.pending_of_kinds(connection, ABOUT_FAILURES)
        if alert.rule in by_name and alert.webhook_codes != []
    ]


def windows_of(rules: Sequence[Rule]) -> list[Rule]:
    """The rules about failure rates that can explain failures, once for each of their windows up to a day."""
    return [
        replace(rule, window_minutes=minutes)
        for rule in rules
        if rule.kind == "rate" and any(selects(rule, explain(code), code) for code in explainable_codes())
        for minutes in (rule.windows or (rule.window_minutes,))
        if minutes <= LONGEST_WINDOW_MINUTES or not rule.windows
    ]


class WindowReader:
    """Windows with a high failure rate in Meta's webhooks. Reads each window at most once, for all rules.

    What senders report makes no window or day bad, nor good: it may be made up, with any time and contacts.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._windows: dict[tuple[datetime, datetime], WindowCounts] = {}
        self._usual: dict[datetime, WindowCounts] = {}
        self._days: dict[tuple[str, datetime], WindowCounts] = {}

    @property
    def windows_read(self) -> int:
        """How many windows and days were read from the tables so far."""
        return len(self._windows) + len(self._days)

    def high(self, rule: Rule, span: tuple[datetime, datetime]) -> list[ExplainedPeriod]:
        """Slices whose failure rate is above the rule's limit in the span, whether an alert exists or not."""
        return self._slices(rule, span, is_rate_high)

    def alerting(self, rule: Rule, start: datetime) -> list[ExplainedPeriod]:
        """Slices that would have started an alert in the window that starts at `start`."""
        return self._slices(rule, (start, start + timedelta(minutes=rule.window_minutes)), would_alert)

    def tried_on(self, phone_number_id: str, day: datetime, slice_of: Mapping[str, str]) -> Counts:
        """The messages that the number tried on the day and those that failed, in the slice with these values."""
        key = phone_number_id, day
        if key not in self._days:
            filters = Filters(phone_number_id=phone_number_id, with_reports=False)
            self._days[key] = rates.read_window(self._connection, day, day + _DAY, filters)
        groups = self._days[key].by_group(tuple(slice_of), is_failure)
        return groups.get(tuple(slice_of.values()), Counts(0, 0))

    def tried_between(self, start: datetime, end: datetime, slice_of: Mapping[str, str]) -> Counts:
        """The messages tried in the window and those that failed, in the slice with these values."""
        groups = self._window((start, end)).by_group(tuple(slice_of), is_failure)
        return groups.get(tuple(slice_of.values()), Counts(0, 0))

    def _window(self, span: tuple[datetime, datetime]) -> WindowCounts:
        if span not in self._windows:
            self._windows[span] = rates.read_window(self._connection, *span, Filters(with_reports=False))
        return self._windows[span]

    def _slices(
        self, rule: Rule, span: tuple[datetime, datetime], is_above: Callable[[Rule, Counts, float], bool]
    ) -> list[ExplainedPeriod]:
        found = self._window(span).by_group(rule.group_by, lambda code: selects(rule, explain(code), code))
        enough = {
            values: count
            for values, count in found.items()
            if count.failures >= rule.min_failures and not lacks_a_name(rule.group_by, values)
        }
        usual = self._usual_shares(rule, span[0], enough) if enough else {}
        last = span[1] - timedelta(microseconds=1)
        return [
            explained_by_rate(
                rule, dict(zip(rule.group_by, values, strict=True)), span[0], last, noticed_at=span[0]
            )
            for values, count in enough.items()
            if is_above(rule, count, usual[values])
        ]

    def _usual_shares(self, rule: Rule, start: datetime, groups: Iterable[GroupKey]) -> dict[GroupKey, float]:
        """The share of failures of each group in the week before; 0 where too little is known."""
        end = start.replace(minute=0, second=0, microsecond=0)
        if end not in self._usual:
            span = end - _USUAL, end
            reported = baselines.read_reported(self._connection, *span)
            self._usual[end] = baselines.read(self._connection, *span).less(reported)
        before = self._usual[end].by_group(rule.group_by, lambda code: selects(rule, explain(code), code))
        shares = {}
        for values in groups:
            counts = before.get(values, Counts(0, 0))
            shares[values] = counts.failures / counts.attempts if counts.attempts >= _MIN_USUAL else 0.0
        return shares


def window_start(rule: Rule, moment: datetime) -> datetime:
    """The start of the window that holds the moment, when windows of this rule follow each other."""
    seconds = rule.window_minutes * 60
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)
