"""The evidence of an alert: where its failures are concentrated, sample messages, what Meta reported.

Every read is bounded: the last hours of the incident, a few rows. No HTML.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, convert

from webhook_app.pipeline.incidents.rate_groups import counted_by
from webhook_app.pipeline.incidents.slices import SlicePart, parts
from webhook_app.rules.incidents.alerts import COUNTING_KINDS, Rule
from webhook_app.store.accounts import health
from webhook_app.store.accounts.health import HistoryEntry
from webhook_app.store.counts import failure_search, rates
from webhook_app.store.counts.failure_filters import FailureFilters
from webhook_app.store.counts.failures import Failure
from webhook_app.store.counts.rates import Filters
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.postgres.engine import Connection
from webhook_app.web.pages.incidents.alert_view import AlertView
from webhook_app.whatsapp.events import NO_CODE

_DIMENSIONS = ("template", "country", "phone_number_id", "campaign")
_COMBINED = ("template", "country", "phone_number_id")
_LONGEST = timedelta(hours=3)
_MINUTE = timedelta(minutes=1)
_ROWS = 5
_MESSAGES = 8
_HISTORY = 12


class SliceTable(Struct, frozen=True):
    """The failures by one dimension or by several together. `more`: rows left out."""

    names: tuple[str, ...]
    rows: list[SlicePart]
    more: int


class AlertEvidence(Struct, frozen=True):
    """`since`, `until`: the period of slices and messages."""

    since: datetime
    until: datetime
    slices: list[SliceTable]
    failures: list[Failure]
    code: int | None
    """Of the messages shown."""
    search: dict[str, str]
    """The filters of the failures page that find all of them."""
    health_history: list[HistoryEntry]


def gather_evidence(
    connection: Connection, shown: AlertView, rules: Mapping[str, Rule], now: datetime
) -> AlertEvidence:
    """Read the evidence for this kind of alert."""
    alert = shown.alert
    until = alert.resolved_at or now
    since = max(alert.covers_from, until - _LONGEST)
    if alert.kind not in COUNTING_KINDS:
        history = _health_history(connection, alert.group) if alert.kind in ("health", "tier") else []
        return AlertEvidence(since, until, [], [], None, {}, history)
    code = _leading_code(shown)
    rule = rules.get(alert.rule) or Rule(name=alert.rule, kind=alert.kind, codes=tuple(alert.codes))
    slices = _slices(connection, alert, rule, since, until)
    failures = _failures(connection, alert, code, since, until)
    return AlertEvidence(since, until, slices, failures, code, _search(alert, code, since, until), [])


def _leading_code(shown: AlertView) -> int | None:
    code = shown.alert.group.get("code", next((each.code for each in shown.notification.codes), None))
    return None if code is None else int(code)


def _slices(
    connection: Connection, alert: Alert, rule: Rule, since: datetime, until: datetime
) -> list[SliceTable]:
    within = convert({name: value for name, value in alert.group.items() if name != "code"}, Filters)
    start, end = rates.window(since, 0)[0], rates.window(until, 0)[1]
    own = rates.read_window(connection, start, end, within).within(alert.group)
    counted = counted_by(rule)
    free = [name for name in _DIMENSIONS if name not in alert.group]
    combined = tuple(name for name in _COMBINED if name in free)
    groupings: list[tuple[str, ...]] = [(name,) for name in free]
    groupings += [combined] if len(combined) > 1 else []
    tables = [_table(names, parts(own, counted, names)) for names in groupings]
    return [
        table for table in tables if any(part.values[name] for part in table.rows for name in table.names)
    ]


def _table(names: tuple[str, ...], found: Sequence[SlicePart]) -> SliceTable:
    return SliceTable(names, list(found[:_ROWS]), len(found[_ROWS:]))


def _failures(
    connection: Connection, alert: Alert, code: int | None, since: datetime, until: datetime
) -> list[Failure]:
    """The latest failures. Read last: the search changes planner settings for the rest of the transaction."""
    named = {name: value for name, value in alert.group.items() if name != "code"}
    wanted = convert({**named, "code": code, "since": since, "until": until}, FailureFilters)
    return failure_search.search(connection, wanted, _MESSAGES)


def _search(alert: Alert, code: int | None, since: datetime, until: datetime) -> dict[str, str]:
    query = {} if code is None else {"code": "none" if code == NO_CODE else str(code)}
    query |= {name: str(value) or "none" for name, value in alert.group.items() if name != "code"}
    return query | {"since": f"{since:%Y-%m-%dT%H:%MZ}", "until": f"{until + _MINUTE:%Y-%m-%dT%H:%MZ}"}


def _health_history(connection: Connection, group: Mapping[str, str | int]) -> list[HistoryEntry]:
    named = {
        name: str(value) for name, value in group.items() if name in health.HealthFilters.__struct_fields__
    }
    return health.history(connection, convert(named, health.HealthFilters), _HISTORY) if named else []
