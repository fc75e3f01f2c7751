"""The evidence of an incident: where its failures are concentrated, sample messages, what Meta reported.

Every read is bounded: the last hours of the incident, at most a day, and a few rows. No HTML.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, convert

from webhook_app.pipeline.incidents.details.incident_details import held_groups
from webhook_app.pipeline.incidents.slices import SlicePart, parts
from webhook_app.rules.counts.dimensions import DIMENSIONS, SeriesKey
from webhook_app.store.accounts import health
from webhook_app.store.accounts.health import HistoryEntry
from webhook_app.store.counts import rates
from webhook_app.store.counts.failures import failure_search
from webhook_app.store.counts.failures.failure_filters import FailureFilters
from webhook_app.store.counts.failures.failures import Failure
from webhook_app.store.counts.rates import EVERYTHING, Filters
from webhook_app.store.counts.window_counts import FailedMessages, WindowCounts
from webhook_app.store.postgres.engine import Connection
from webhook_app.web.pages.incidents.incident_view import IncidentView

_DIMENSIONS = ("template", "country", "phone_number_id", "campaign", "waba_id")
_COMBINED = ("template", "country", "phone_number_id")
_SHORTEST_PERIOD, _LONGEST_PERIOD = timedelta(hours=3), timedelta(days=1)
_ROWS = 5
_MESSAGES = 8
_HISTORY = 12

Group = Mapping[str, str]


class SliceTable(Struct, frozen=True):
    """The failures by one dimension or by several together. `more`: rows left out."""

    names: tuple[str, ...]
    rows: list[SlicePart]
    more: int


class IncidentEvidence(Struct, frozen=True):
    """`since`, `until`: the period of slices and messages."""

    since: datetime
    until: datetime
    slices: list[SliceTable]
    failures: list[Failure]
    health_history: list[HistoryEntry]


def gather_evidence(connection: Connection, shown: IncidentView, now: datetime) -> IncidentEvidence:
    """Read the evidence for this incident."""
    until = shown.incident.ended_at or now
    longest = max(_SHORTEST_PERIOD, min(timedelta(minutes=shown.incident.window_minutes), _LONGEST_PERIOD))
    since = max(shown.incident.began_at, until - longest)
    history = _health_history(connection, shown)
    if not shown.counts_failures:
        return IncidentEvidence(since, until, [], [], history)
    groups = _groups(shown)
    slices = _slices(connection, groups, shown.incident.codes, since, until)
    failures = _failures(connection, shown, groups, until)
    return IncidentEvidence(since, until, slices, failures, history)


def _groups(shown: IncidentView) -> list[Group]:
    """The groups that it holds without their codes; a single empty one when it holds everything."""
    held = held_groups(shown.incident, [each.alert for each in shown.alerts])
    named = [{name: str(group[name]) for name in DIMENSIONS if name in group} for group in held]
    distinct = {tuple(group.items()): group for group in named}
    return [{}] if () in distinct else list(distinct.values())


def _slices(
    connection: Connection, groups: Sequence[Group], codes: Sequence[int], since: datetime, until: datetime
) -> list[SliceTable]:
    within = convert(groups[0], Filters) if len(groups) == 1 else EVERYTHING
    start, end = rates.window(since, 0)[0], rates.window(until, 0)[1]
    own = _within(rates.read_window(connection, start, end, within), groups)
    fixed = {
        name for name in DIMENSIONS if groups and all(groups[0].get(name) == g.get(name, "") for g in groups)
    }
    free = [name for name in _DIMENSIONS if name not in fixed]
    combined = tuple(name for name in _COMBINED if name in free)
    groupings: list[tuple[str, ...]] = [(name,) for name in free]
    groupings += [combined] if len(combined) > 1 else []
    tables = [_table(names, parts(own, set(codes).__contains__, names)) for names in groupings]
    shown = [
        table for table in tables if any(part.values[name] for part in table.rows for name in table.names)
    ]
    return sorted(shown, key=lambda table: (len(table.names), -table.rows[0].excess))


def _within(window: WindowCounts, groups: Sequence[Group]) -> WindowCounts:
    """The counts of the series that belong to any of the groups."""
    if len(groups) <= 1:
        return window

    def holds(series: SeriesKey) -> bool:
        return any(all(getattr(series, name) == value for name, value in group.items()) for group in groups)

    kept = [
        FailedMessages(marks, failed.messages)
        for failed in window.failed
        if (marks := tuple(mark for mark in failed.marks if holds(mark.series)))
    ]
    return WindowCounts({series: count for series, count in window.attempts.items() if holds(series)}, kept)


def _table(names: tuple[str, ...], found: Sequence[SlicePart]) -> SliceTable:
    return SliceTable(names, list(found[:_ROWS]), len(found[_ROWS:]))


def _failures(
    connection: Connection, shown: IncidentView, groups: Sequence[Group], until: datetime
) -> list[Failure]:
    """The latest failures. Read last: the search changes planner settings for the rest of the transaction."""
    wanted = FailureFilters(
        codes=tuple(shown.incident.codes),
        groups=tuple(groups),
        since=shown.incident.began_at,
        until=None if shown.is_open else until + timedelta(microseconds=1),
    )
    return failure_search.search(connection, wanted, _MESSAGES)


def _health_history(connection: Connection, shown: IncidentView) -> list[HistoryEntry]:
    """What Meta reported of the subject of its first alert about health."""
    group = next((each.alert.group for each in shown.alerts if each.alert.kind in ("health", "tier")), {})
    fields = health.HealthFilters.__struct_fields__
    named = {name: str(value) for name, value in group.items() if name in fields}
    return health.history(connection, convert(named, health.HealthFilters), _HISTORY) if named else []
