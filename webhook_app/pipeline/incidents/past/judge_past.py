"""Judges minutes that no evaluation judged in time, and stores the incidents of those minutes as ended ones.

Late failures of a backlog add their minutes (pipeline/counts/measure_lateness.py), a gap of the scheduler those without
an evaluation. The rules are evaluated as of each of these minutes, with the counts known now. What existing incidents
explain joins them. Each other incident is stored with its end, and announced once, as past. The incidents and the
removal of the judged minutes are one transaction, so a killed run is repeated without traces.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from webhook_app.pipeline.incidents.alert_details import stored_details
from webhook_app.pipeline.incidents.evaluate import find_all_groups, judge_groups
from webhook_app.pipeline.incidents.groups.rule_inputs import LiveInputs, ReadCache
from webhook_app.pipeline.incidents.incident_details import counted, notification, stored
from webhook_app.pipeline.incidents.incident_updates import IncidentUpdates
from webhook_app.pipeline.incidents.past.memory_store import MemoryStore
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.incidents.announcements import (
    FALLBACK_CHANNEL,
    channels_of_incident,
    rank,
    unnamed_channels,
)
from webhook_app.store.counts import rates
from webhook_app.store.incidents import alerts, incidents, outbox, silences, unjudged_minutes
from webhook_app.store.incidents.alerts import Alert, EndedFailures
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.incidents.unjudged_minutes import UnjudgedSpan
from webhook_app.store.postgres.engine import Connection, Engine, plan_each

JUDGED_KINDS = ("rate", "spike", "attention")
"""Kinds whose incidents are worth knowing afterwards."""

SETTLED = timedelta(minutes=3)
"""A backlog is judged when no more of it has arrived for this time,"""
WAIT_AT_MOST = timedelta(minutes=30)
"""or has been arriving for this time."""

MAX_MESSAGES = 5
"""The most incidents of one run that are announced; the others are shown in lists."""

_MINUTE = timedelta(minutes=1)
_AFTERWARDS = timedelta(hours=2)  # evaluated after the last minute, so that incidents can end
_STILL_GOING_ON = timedelta(minutes=15)
_BEFORE = timedelta(hours=2)
_MIN_FAILURES = 3  # the fewest that any default rule fires for
_EVALUATIONS_PER_MINUTE_UP_TO = timedelta(hours=4)
_COARSE_STEP = timedelta(minutes=5)


class _PastIncident(Struct, frozen=True):
    """An incident of the past that is not stored yet, with its alerts."""

    incident: Incident
    alerts: list[Alert]
    would_be_announced: bool


def note_gap(engine: Engine, now: datetime) -> None:
    """Remember the minutes since the last evaluation, if there was none for minutes. Call it before evaluating."""
    with engine.begin() as connection:
        unjudged_minutes.add_gap(connection, now)


def judge_past(
    engine: Engine,
    rules: Sequence[Rule],
    now: datetime,
    *,
    public_url: str = "",
    channels: Collection[str] = (FALLBACK_CHANNEL,),
) -> int:
    """Judge the unjudged minutes, if they have settled; returns the number of incidents stored."""
    judged = [rule for rule in rules if rule.kind in JUDGED_KINDS]
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot.connect() as connection:
        span = unjudged_minutes.span(connection, now)
        if span is None or not _has_settled(span, now):
            return 0
        plan_each(connection)
        found = _replay(connection, judged, span, now) if _has_failures(connection, span) else []
    if found is None:
        return 0
    with engine.begin() as connection:
        _store(connection, found, rules, now, public_url, channels)
        unjudged_minutes.remove(connection, span.last, now)
    return len(found)


def _has_settled(span: UnjudgedSpan, now: datetime) -> bool:
    return now - span.last_added >= SETTLED or now - span.first_added >= WAIT_AT_MOST


def _has_failures(connection: Connection, span: UnjudgedSpan) -> bool:
    failed = rates.failures_by_code_and_series(connection, span.first - _BEFORE, span.last + _MINUTE)
    return sum(each.messages for each in failed) >= _MIN_FAILURES


def _replay(
    connection: Connection, rules: Sequence[Rule], span: UnjudgedSpan, now: datetime
) -> list[_PastIncident] | None:
    """The incidents of the span that do not exist yet; None while one of them still goes on."""
    known = incidents.open_or_ended_since(connection, span.first - _BEFORE)
    store = MemoryStore(
        known,
        alerts.of_incidents(connection, [each.id for each in known]),
        silences.active(connection, now),
    )
    existing = frozenset(store.incidents)
    end, cache = min(span.last + _AFTERWARDS, now), ReadCache()
    step = _MINUTE if end - span.first <= _EVALUATIONS_PER_MINUTE_UP_TO else _COARSE_STEP
    at = span.first + _MINUTE
    while at <= end:
        _evaluate(_ReplayedInputs(connection, at, cache, store, existing), store, rules)
        at += step
    found = []
    for incident_id in sorted(store.incidents.keys() - existing):
        incident, members = store.incidents[incident_id], store.alerts_of([incident_id])
        if incident.is_open:
            if now - _last_failure(members) < _STILL_GOING_ON:
                return None
            incident, members = _ended(incident, members)
        found.append(_PastIncident(incident, members, bool(store.messages.get(incident_id))))
    return found


def _evaluate(inputs: LiveInputs, store: MemoryStore, rules: Sequence[Rule]) -> None:
    known = store.open_alerts()
    found = find_all_groups(rules, inputs, known, store.attempt)
    lifecycle = judge_groups(store, found, known, inputs.now)
    IncidentUpdates(inputs, store, rules, "", (FALLBACK_CHANNEL,)).apply(lifecycle.changes)


class _ReplayedInputs(LiveInputs):
    """The inputs at a time in the past. What resolved alerts held does not count again."""

    def __init__(
        self,
        connection: Connection,
        now: datetime,
        cache: ReadCache,
        store: MemoryStore,
        existing: Collection[int],
    ) -> None:
        super().__init__(connection, now, cache)
        self._store = store
        self._existing = existing

    def _ended(self) -> list[EndedFailures]:
        if self._ended_failures is None:
            found = [
                _held(incident, resolved)
                for incident in self._store.incidents.values()
                if incident.id not in self._existing and incident.codes
                if (resolved := _resolved(self._store.alerts_of([incident.id])))
            ]
            self._ended_failures = super()._ended() + found
        return self._ended_failures


def _resolved(members: Sequence[Alert]) -> list[Alert]:
    return [alert for alert in members if alert.resolved_at is not None]


def _held(incident: Incident, resolved: Sequence[Alert]) -> EndedFailures:
    start = min([incident.began_at, *(alert.covers_from for alert in resolved)])
    end = max(alert.resolved_at or alert.evaluated_at for alert in resolved)
    groups = [alert.group for alert in resolved]
    return EndedFailures(incident.id, incident.codes, incident.names, start, end, groups)


def _last_failure(members: Sequence[Alert]) -> datetime:
    return max(stored_details(alert).last_failure_at or alert.evaluated_at for alert in members)


def _ended(incident: Incident, members: Sequence[Alert]) -> tuple[Incident, list[Alert]]:
    """The incident with an end at its last failure, since nothing of it failed later."""
    at = _last_failure(members)
    last_attempt = max(stored_details(alert).last_attempt_at or at for alert in members)
    how = "recovered" if last_attempt > at else "quiet"
    ended = [
        replace(alert, state="resolved", resolved_at=at, ended_how=how) if alert.state == "firing" else alert
        for alert in members
    ]
    return replace(incident, state="ended", ended_at=at, ended_how=how), ended


def _store(
    connection: Connection,
    found: Sequence[_PastIncident],
    rules: Sequence[Rule],
    now: datetime,
    public_url: str,
    channels: Collection[str],
) -> None:
    """Store the incidents, and queue a notification for the worst of those that would have been announced."""
    by_name, unnamed = {rule.name: rule for rule in rules}, unnamed_channels(rules, channels)
    worst = sorted(found, key=lambda each: (-rank(each.incident.severity), -each.incident.total_failures))
    announced = [each for each in worst if each.would_be_announced][:MAX_MESSAGES]
    for past in worst:
        incident = replace(past.incident, evaluated_at=now, notified_at=None)
        incident = replace(incident, id=incidents.insert(connection, incident))
        members = [replace(alert, incident_id=incident.id, evaluated_at=now) for alert in past.alerts]
        for alert in members:
            alerts.insert_new(connection, alert)
        incident = counted(connection, incident, members, now)
        if past in announced:
            own = {alert.rule: by_name[alert.rule] for alert in members}
            names = channels_of_incident(own.values(), incident.severity, unnamed, channels)
            message = notification(incident, members, by_name, "past", now, public_url)
            for name in names:
                outbox.add(connection, incident.id, name, "past", to_builtins(message), now)
            incident = replace(
                incident,
                notified_at=now,
                last_notified_at=now,
                notified_severity=incident.severity,
                details=to_builtins(replace(stored(incident), channels=tuple(names))),
            )
        incidents.save_all(connection, [incident])
