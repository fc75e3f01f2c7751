"""Evaluates the rules as of minutes of the past, with the counts known now, some minutes in each run.

Incidents and alerts are kept in memory until all minutes are judged, so that an outage of hours is one incident.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.pipeline.incidents.details.alert_details import stored_details
from webhook_app.pipeline.incidents.details.incident_details import reporters_of_incident
from webhook_app.pipeline.incidents.evaluate import find_all_groups, judge_groups
from webhook_app.pipeline.incidents.incident_updates import IncidentUpdates
from webhook_app.pipeline.incidents.inputs.live_inputs import LiveInputs, ReadCache
from webhook_app.pipeline.incidents.past.memory_store import MemoryStore
from webhook_app.rules.incidents.announcements import FALLBACK_CHANNEL
from webhook_app.rules.incidents.evidence import is_shown
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.counts import rates
from webhook_app.store.incidents import alerts, incidents, silences
from webhook_app.store.incidents.alerts import Alert, EndedFailures
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.incidents.unjudged_minutes import UnjudgedSpan
from webhook_app.store.postgres.engine import Connection

_MINUTE = timedelta(minutes=1)
_BEFORE = timedelta(hours=2)
_MIN_FAILURES = 3  # the fewest that any default rule fires for
_AFTERWARDS = timedelta(hours=2)  # evaluated after the last minute, so that incidents can end
_STILL_GOING_ON = timedelta(minutes=15)
_EVALUATIONS_PER_MINUTE_UP_TO = timedelta(hours=4)
_COARSE_STEP = timedelta(minutes=5)


class PastIncident(Struct, frozen=True):
    """An incident of the past that is not stored yet, with its alerts."""

    incident: Incident
    alerts: list[Alert]
    would_be_announced: bool


class PastReplay:
    """The evaluations of the minutes of `span`, begun at `began_at`, the oldest minute first."""

    def __init__(self, connection: Connection, span: UnjudgedSpan, began_at: datetime) -> None:
        known = incidents.open_or_ended_since(connection, span.first - _BEFORE)
        self.span, self.began_at = span, began_at
        self._store = MemoryStore(
            known,
            alerts.of_incidents(connection, [each.id for each in known]),
            silences.active(connection, began_at),
        )
        self._existing = frozenset(self._store.incidents)
        self._made_up = frozenset(
            each for each in self._existing if _is_made_up(self._store.alerts_of([each]))
        )
        self._end = min(span.last + _AFTERWARDS, began_at)
        is_short = self._end - span.first <= _EVALUATIONS_PER_MINUTE_UP_TO
        self._step = _MINUTE if is_short else _COARSE_STEP
        self._at = span.first + _MINUTE if _has_failures(connection, span) else self._end + _MINUTE

    def go_on(self, connection: Connection, rules: Sequence[Rule], seconds: float) -> bool:
        """Evaluate minutes for as long as this, at least one; returns whether all are evaluated."""
        stop, cache = monotonic() + seconds, ReadCache()
        while self._at <= self._end:
            inputs = _ReplayedInputs(connection, self._at, cache, self._store, self._existing, self._made_up)
            _evaluate(inputs, self._store, rules)
            self._at += self._step
            if monotonic() >= stop:
                break
        return self._at > self._end

    def goes_on_until(self, now: datetime) -> datetime:
        """Until when an incident that is still open may go on, after its last failure; `now` at the earliest.

        Nothing waits for what only some API keys report.
        """
        found = (
            self._members(each) for each in self._found() if each.is_open and not reporters_of_incident(each)
        )
        return max([now, *(_last_failure(members) + _STILL_GOING_ON for members in found)])

    def incidents(self) -> list[PastIncident]:
        """The incidents that did not exist yet, each with its end, without those that go on in others as a whole."""
        found = []
        for each in self._found():
            if members := self._members(each):
                announced = bool(self._store.messages.get(each.id))
                ended = _ended(each, members) if each.is_open else (each, members)
                found.append(PastIncident(*ended, announced))
        return found

    def _found(self) -> list[Incident]:
        return [self._store.incidents[each] for each in sorted(self._store.incidents.keys() - self._existing)]

    def _members(self, incident: Incident) -> list[Alert]:
        return self._store.alerts_of([incident.id])


def _has_failures(connection: Connection, span: UnjudgedSpan) -> bool:
    failed = rates.failures_by_code_and_series(connection, span.first - _BEFORE, span.last + _MINUTE)
    return sum(each.messages for each in failed) >= _MIN_FAILURES


def _is_made_up(members: Sequence[Alert]) -> bool:
    """Whether only reports of senders show an incident with these alerts, so that it may be made up."""
    return bool(members) and not any(is_shown(alert.webhook_codes) for alert in members)


def _evaluate(inputs: LiveInputs, store: MemoryStore, rules: Sequence[Rule]) -> None:
    known = store.open_alerts()
    found = find_all_groups(rules, inputs, known, store.attempt)
    lifecycle = judge_groups(store, found, known, inputs.now)
    IncidentUpdates(inputs, store, rules, "", (FALLBACK_CHANNEL,)).apply(lifecycle.changes)


class _ReplayedInputs(LiveInputs):
    """The inputs at a time in the past. What resolved alerts held does not count again, unless it is made up."""

    def __init__(
        self,
        connection: Connection,
        now: datetime,
        cache: ReadCache,
        store: MemoryStore,
        existing: Collection[int],
        made_up: Collection[int],
    ) -> None:
        super().__init__(connection, now, cache)
        self._store = store
        self._existing = existing
        self._made_up = made_up

    def ended(self) -> list[EndedFailures]:
        if self._ended_failures is None:
            found = [
                _held(incident, resolved)
                for incident in self._store.incidents.values()
                if incident.id not in self._existing and incident.codes
                if (resolved := _resolved(self._store.alerts_of([incident.id])))
            ]
            known = [each for each in super().ended() if each.incident_id not in self._made_up]
            self._ended_failures = known + found
        return self._ended_failures


def _resolved(members: Sequence[Alert]) -> list[Alert]:
    return [alert for alert in members if alert.resolved_at is not None]


def _held(incident: Incident, resolved: Sequence[Alert]) -> EndedFailures:
    start = min([incident.began_at, *(alert.covers_from for alert in resolved)])
    end = max(alert.resolved_at or alert.evaluated_at for alert in resolved)
    groups = [alert.group for alert in resolved]
    shown = [alert for alert in resolved if is_shown(alert.webhook_codes)]
    until = max((alert.webhooks_until or alert.resolved_at or end for alert in shown), default=None)
    shown_groups = [alert.group for alert in shown]
    return EndedFailures(incident.id, incident.codes, incident.names, start, end, groups, until, shown_groups)


def _last_failure(members: Sequence[Alert]) -> datetime:
    """When the last of them failed; by webhooks, if these show any, since senders may go on making up failed calls."""
    shown = [alert for alert in members if is_shown(alert.webhook_codes)]
    ends = [
        (stored_details(alert).last_failure_at or alert.evaluated_at, alert) for alert in shown or members
    ]
    return max(min(at, alert.webhooks_until or at) if shown else at for at, alert in ends)


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
