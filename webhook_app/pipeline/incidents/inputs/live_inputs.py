"""Reads the inputs of the rules from the database, each when first needed and at most once."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from webhook_app.pipeline.incidents.findings.finding_store import chronic_states
from webhook_app.pipeline.incidents.incident_store import Failures, StoredFailures
from webhook_app.pipeline.incidents.inputs.counted_spans import CountedSpans, SpanCache
from webhook_app.pipeline.incidents.inputs.outcome_inputs import OutcomeCache, OutcomeInputs
from webhook_app.pipeline.incidents.inputs.rule_inputs import REPORTED_MINUTES, WEBHOOK_DELAY, CountInputs
from webhook_app.pipeline.incidents.inputs.webhook_windows import WebhookInputs
from webhook_app.rules.accounts.health_states import ReportedHealth
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.anomalies import hours_to_compare, usual_webhooks
from webhook_app.rules.incidents.evidence import AcceptedSends, ReportedCalls
from webhook_app.rules.incidents.findings.chronic import ChronicStates
from webhook_app.rules.incidents.rules_file.rule import OUTCOME_KINDS
from webhook_app.store.accounts import health, numbers
from webhook_app.store.accounts.health import Subject
from webhook_app.store.counts import baselines, rates
from webhook_app.store.counts.window_counts import WindowCounts
from webhook_app.store.incidents import alerts, findings
from webhook_app.store.incidents.alerts import EndedFailures
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.sends import reporters, reports

_MAX_SUBJECTS = 100_000
_CACHE_FOR = timedelta(minutes=5)
"""An alert fires only with a failure of the last hour."""
_LONGEST_WINDOW = timedelta(days=7)


class ReadCache:
    """Inputs kept between evaluations. Those that change once an hour are read again after each summed hour."""

    def __init__(self) -> None:
        self.spans = SpanCache()
        self.outcomes = OutcomeCache()
        self.usual_webhooks: dict[tuple[datetime, int], dict[int, dict[SeriesKey, float]]] = {}
        self.known_since: dict[datetime, dict[SeriesKey, datetime]] = {}
        self.expensive: dict[tuple[str, str], tuple[datetime, int]] = {}

    def renew(self, hour: datetime | None) -> None:
        """Clear what changes once an hour if another hour has been summed since."""
        if self.spans.renew(hour):
            self.usual_webhooks, self.known_since = {}, {}


class LiveInputs:
    """The inputs at `now`, read from the database, best in one snapshot."""

    def __init__(self, connection: Connection, now: datetime, cache: ReadCache | None = None) -> None:
        self.connection = connection
        self._now = now
        self._cache = cache or ReadCache()
        self._cache.renew(baselines.latest_hour(connection))
        self._day: Counter[SeriesKey] | None = None
        self._numbers: frozenset[str] | None = None
        self._calls: dict[int, ReportedCalls] = {}
        self._reported: dict[int, WindowCounts] = {}
        self._chronic: ChronicStates | None = None
        self._health: list[tuple[Subject, list[ReportedHealth]]] | None = None
        self._ended_failures: list[EndedFailures] | None = None
        self._ended_outcomes: Mapping[tuple[str, str], datetime] | None = None
        self._spans = CountedSpans(connection, now, self._cache.spans, self.ended)
        self._outcomes = OutcomeInputs(connection, now, self._cache.outcomes)
        self._of_webhooks = WebhookInputs(self, self._spans, self._cache.spans.spent_of_webhooks)

    @property
    def now(self) -> datetime:
        return self._now

    @property
    def failures(self) -> Failures:
        return StoredFailures(self.connection)

    @property
    def chronic(self) -> ChronicStates:
        if self._chronic is None:
            self._chronic = chronic_states(findings.open_findings(self.connection), self._now)
        return self._chronic

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]:
        if self._health is None:
            found = health.subjects(self.connection, health.HealthFilters(), _MAX_SUBJECTS)
            reports = health.reported_health(self.connection, found)
            self._health = [(each, reports[each.subject, each.subject_id]) for each in found]
        return self._health

    def remembered(
        self, kind: str, names: Iterable[str], read: Callable[[list[str]], Mapping[str, int]]
    ) -> dict[str, int]:
        """Figures that are expensive to read, at most five minutes old; those that are older are read together."""
        cached, now = self._cache.expensive, self._now
        wanted = {name: cached.get((kind, name), (datetime.max.replace(tzinfo=UTC), 0)) for name in names}
        if stale := [name for name, (at, _) in wanted.items() if not timedelta(0) <= now - at < _CACHE_FOR]:
            found = read(stale)
            fresh = {name: (now, found.get(name, 0)) for name in stale}
            cached |= {(kind, name): figure for name, figure in fresh.items()}
            wanted |= fresh
        return {name: figure for name, (_, figure) in wanted.items()}

    def window(self, minutes: int) -> WindowCounts:
        return self._spans.window(minutes)

    def usual(self, minutes: int, hours: int) -> WindowCounts:
        return self._spans.usual(minutes, hours).found

    def met(self, minutes: int, days: int) -> WindowCounts:
        return self._spans.met(minutes, days).found

    def met_lately(self, minutes: int) -> WindowCounts:
        return self._spans.met_lately(minutes).found

    def known_since(self, days: int) -> dict[SeriesKey, datetime]:
        since = _hour(self._now) - timedelta(days=days)
        if since not in self._cache.known_since:
            self._cache.known_since[since] = baselines.first_hours(self.connection, since)
        return self._cache.known_since[since]

    def attempts_of_day(self) -> dict[SeriesKey, int]:
        if self._day is None:
            self._day = self._spans.attempts_of_day()
        return self._day

    def webhooks(self, minutes: int) -> dict[SeriesKey, int]:
        return self._spans.events(minutes)

    def usual_webhooks(self, minutes: int) -> dict[int, dict[SeriesKey, float]]:
        hour = _hour(self._now - timedelta(minutes=minutes))
        cached = self._cache.usual_webhooks
        if (hour, minutes) not in cached:
            hours = [at for day in hours_to_compare(hour).values() for at in day]
            cached[hour, minutes] = usual_webhooks(hour, baselines.events_in(self.connection, hours), minutes)
        return cached[hour, minutes]

    def beyond_reports(self) -> CountInputs | None:
        return self._of_webhooks if self._spans.has_reports else None

    def reported(self, minutes: int) -> WindowCounts:
        if minutes not in self._reported:
            spans = self._spans.of_window(minutes)
            self._reported[minutes] = WindowCounts(
                {}, [each for span in spans for each in span.reported.failed]
            )
        return self._reported[minutes]

    def reported_calls(self, minutes: int = REPORTED_MINUTES) -> ReportedCalls:
        if minutes not in self._calls:
            span = rates.window(self._now, minutes)
            self._calls[minutes] = reporters.calls_by_key(self.connection, *span)
        return self._calls[minutes]

    def known_numbers(self) -> frozenset[str]:
        if self._numbers is None:
            self._numbers = numbers.known_ids(self.connection)
        return self._numbers

    def ended(self) -> list[EndedFailures]:
        """What alerts held that have ended."""
        if self._ended_failures is None:
            self._ended_failures = alerts.ended_failures(self.connection, self._now - _LONGEST_WINDOW)
        return self._ended_failures

    def outcomes(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        return self._outcomes.window(measure, minutes)

    def usual_outcomes(self, measure: OutcomeMeasure, minutes: int) -> WindowCounts:
        return self._outcomes.usual(measure, minutes)

    def ended_outcomes(self) -> Mapping[tuple[str, str], datetime]:
        if self._ended_outcomes is None:
            since = self._now - _LONGEST_WINDOW
            self._ended_outcomes = alerts.last_ends(self.connection, OUTCOME_KINDS, since)
        return self._ended_outcomes

    def sends(self, minutes: int) -> AcceptedSends:
        start, end = rates.window(self._now, minutes)
        return reports.accepted_by_number(self.connection, start, end - WEBHOOK_DELAY)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
