"""Where an evaluation reads and writes alerts, incidents and notifications: the tables, or memory for a backtest."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import json, to_builtins

from webhook_app.channels.notification import Notification, Reason
from webhook_app.pipeline.incidents.faults import Faults
from webhook_app.rules.incidents.findings.finding import FoundState
from webhook_app.rules.incidents.findings.recurring import Occasion
from webhook_app.store.counts.impact import IncidentImpact, incident_impact, incident_samples
from webhook_app.store.incidents import alerts, findings, incidents, outbox, silences
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.incidents.silences import Silence
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.errors import EngineError

_encode = json.Encoder(order="sorted").encode

Groups = Sequence[Mapping[str, str | int]]


class Failures(Protocol):
    """The failed messages that describe an incident. `of_webhooks`: only those that webhooks show."""

    def impact(
        self, start: datetime, end: datetime, codes: Sequence[int], groups: Groups, *, of_webhooks: bool
    ) -> IncidentImpact: ...
    def samples(
        self, start: datetime, end: datetime, codes: Sequence[int], groups: Groups, *, of_webhooks: bool
    ) -> list[str]: ...


class IncidentStore(Protocol):
    """Alerts, incidents and notifications during one evaluation."""

    def open_alerts(self) -> list[Alert]:
        """Every pending and firing alert. No other evaluation changes them meanwhile."""
        ...

    def attempt(self, name: str, work: Callable[[], object]) -> bool:
        """Do a part of the evaluation; False when it failed, and is noted by its name."""
        ...

    def insert_alerts(self, new: Sequence[Alert]) -> list[int | None]:
        """Store new alerts and return their ids; None: another evaluation has just opened it, or it was refused."""
        ...

    def remove_pending(self, alert_id: int) -> None: ...
    def alerts_of(self, incident_ids: Sequence[int]) -> list[Alert]: ...
    def known_incidents(self, ended_since: datetime) -> list[Incident]:
        """Open incidents, and those that ended at this time or later."""
        ...

    def insert_incident(self, incident: Incident) -> int: ...
    def clear_acknowledgement(self, incident_id: int) -> None: ...
    def save(self, changed_alerts: Sequence[Alert], changed_incidents: Sequence[Incident]) -> None: ...
    def active_silences(self, now: datetime) -> Sequence[Silence]: ...
    def notify(
        self, incident_id: int, channel: str, reason: Reason, message: Notification, now: datetime
    ) -> None: ...
    def notified_channels(self, incident_id: int) -> list[str]: ...
    def occasions(self, since: datetime) -> list[Occasion]:
        """When incidents with error codes opened, or opened again, since then."""
        ...

    def add_finding(self, found: FoundState, seen_at: datetime, now: datetime) -> tuple[int, bool]:
        """Store a finding, or update the open one; returns the id and whether it is new."""
        ...


class StoredFailures:
    """The failures in the tables."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def impact(
        self, start: datetime, end: datetime, codes: Sequence[int], groups: Groups, *, of_webhooks: bool
    ) -> IncidentImpact:
        return incident_impact(self._connection, start, end, codes, groups, of_webhooks=of_webhooks)

    def samples(
        self, start: datetime, end: datetime, codes: Sequence[int], groups: Groups, *, of_webhooks: bool
    ) -> list[str]:
        return incident_samples(self._connection, start, end, codes, groups, of_webhooks=of_webhooks)


class IncidentTables:
    """The tables, in the transaction of an evaluation."""

    def __init__(self, connection: Connection, faults: Faults) -> None:
        self._connection = connection
        self._faults = faults
        self._explanations: dict[int, bytes] = {}

    def open_alerts(self) -> list[Alert]:
        found = alerts.open_alerts(self._connection, lock=True)
        self._explanations = {alert.id: _encode(alert.explanation) for alert in found}
        return found

    def attempt(self, name: str, work: Callable[[], object]) -> bool:
        return self._faults.attempt(self._connection, name, work)

    def insert_alerts(self, new: Sequence[Alert]) -> list[int | None]:
        """Store all in one statement or, if one of them is refused, each in a statement of its own."""
        try:
            with self._connection.begin_nested():
                return alerts.insert_all(self._connection, new)
        except EngineError:
            return [self._insert_alone(alert) for alert in new]

    def _insert_alone(self, alert: Alert) -> int | None:
        found: list[int | None] = [None]

        def insert() -> None:
            found[0] = alerts.insert_new(self._connection, alert)

        self.attempt(f"alert of rule {alert.rule}", insert)
        return found[0]

    def remove_pending(self, alert_id: int) -> None:
        alerts.remove_pending(self._connection, alert_id)

    def alerts_of(self, incident_ids: Sequence[int]) -> list[Alert]:
        return alerts.of_incidents(self._connection, incident_ids)

    def known_incidents(self, ended_since: datetime) -> list[Incident]:
        known = incidents.open_incidents(self._connection, lock=True)
        return known + incidents.ended_since(self._connection, ended_since)

    def insert_incident(self, incident: Incident) -> int:
        return incidents.insert(self._connection, incident)

    def clear_acknowledgement(self, incident_id: int) -> None:
        incidents.clear_acknowledgement(self._connection, incident_id)

    def save(self, changed_alerts: Sequence[Alert], changed_incidents: Sequence[Incident]) -> None:
        stored = self._explanations
        explained = {a.id for a in changed_alerts if stored.get(a.id) == _encode(a.explanation)}
        alerts.save_all(self._connection, changed_alerts, explained=explained)
        incidents.save_all(self._connection, changed_incidents)

    def active_silences(self, now: datetime) -> Sequence[Silence]:
        return silences.active(self._connection, now)

    def notify(
        self, incident_id: int, channel: str, reason: Reason, message: Notification, now: datetime
    ) -> None:
        outbox.add(self._connection, incident_id, channel, reason, to_builtins(message), now)

    def notified_channels(self, incident_id: int) -> list[str]:
        return outbox.channels_of(self._connection, incident_id)

    def occasions(self, since: datetime) -> list[Occasion]:
        return findings.occasions(self._connection, since)

    def add_finding(self, found: FoundState, seen_at: datetime, now: datetime) -> tuple[int, bool]:
        return findings.add(self._connection, found, seen_at, now)
