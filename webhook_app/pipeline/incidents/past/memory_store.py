"""The alerts, incidents and messages of times that are judged afterwards, in memory."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.channels.notification import Notification, Reason
from webhook_app.pipeline.incidents.findings.finding_store import FindingMemory
from webhook_app.rules.incidents.evidence import is_shown
from webhook_app.rules.incidents.findings.finding import FoundState
from webhook_app.rules.incidents.findings.recurring import Occasion
from webhook_app.store.incidents.alerts import OPEN, Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.incidents.silences import Silence

_REASONS: dict[str, str] = {
    "fired": "opened",
    "escalated": "raised",
    "repeated": "reminder",
    "again": "again",
    "resolved": "ended",
}


class SentMessage(Struct, frozen=True):
    """A notification, however many channels it would have gone to. The figures are those of the leading alert."""

    at: datetime
    reason: str
    rate: float | None
    low: float | None
    threshold: float | None


class MemoryStore:
    """Alerts and incidents at the time that is judged, and what people would have been notified of.

    `incidents`, `alerts`: those that exist already, which new alerts may join. `silences`: for any time.
    """

    def __init__(
        self,
        incidents: Iterable[Incident] = (),
        alerts: Iterable[Alert] = (),
        silences: Sequence[Silence] = (),
    ) -> None:
        self.incidents = {incident.id: incident for incident in incidents}
        self.messages: dict[int, list[SentMessage]] = {}
        self._members: dict[int, dict[int, Alert]] = {}
        for alert in alerts:
            if alert.incident_id is not None:
                self._members.setdefault(alert.incident_id, {})[alert.id] = alert
        self._open: dict[int, Alert] = {}
        self._channels: dict[int, list[str]] = {}
        self._silences = silences
        self.findings = FindingMemory()
        known = [*self.incidents, *(each for members in self._members.values() for each in members)]
        self._ids = max(known, default=0)

    def open_alerts(self) -> list[Alert]:
        return list(self._open.values())

    def attempt(self, name: str, work: Callable[[], object]) -> bool:
        """Do the work. What fails is raised: the times are judged again, or the backtest has failed."""
        del name
        work()
        return True

    def insert_alerts(self, new: Sequence[Alert]) -> list[int | None]:
        stored = [replace(alert, id=self._next_id()) for alert in new]
        self._open |= {alert.id: alert for alert in stored}
        return [alert.id for alert in stored]

    def remove_pending(self, alert_id: int) -> None:
        self._open.pop(alert_id, None)

    def alerts_of(self, incident_ids: Sequence[int]) -> list[Alert]:
        return [alert for each in incident_ids for alert in self._members.get(each, {}).values()]

    def known_incidents(self, ended_since: datetime) -> list[Incident]:
        return [
            each
            for each in self.incidents.values()
            if each.is_open or (each.ended_at is not None and each.ended_at >= ended_since)
        ]

    def insert_incident(self, incident: Incident) -> int:
        stored = replace(incident, id=self._next_id())
        self.incidents[stored.id] = stored
        return stored.id

    def clear_acknowledgement(self, incident_id: int) -> None:
        """Nobody acknowledges what is judged afterwards."""

    def save(self, changed_alerts: Sequence[Alert], changed_incidents: Sequence[Incident]) -> None:
        for alert in changed_alerts:
            before = self._open.get(alert.id)
            if before is not None and before.incident_id not in (None, alert.incident_id):
                del self._members[before.incident_id][alert.id]
            if alert.state in OPEN:
                self._open[alert.id] = alert
            else:
                self._open.pop(alert.id, None)
            if alert.incident_id is not None:
                self._members.setdefault(alert.incident_id, {})[alert.id] = alert
        self.incidents |= {incident.id: incident for incident in changed_incidents}

    def active_silences(self, now: datetime) -> Sequence[Silence]:
        del now
        return self._silences

    def notify(
        self, incident_id: int, channel: str, reason: Reason, message: Notification, now: datetime
    ) -> None:
        self._channels.setdefault(incident_id, []).append(channel)
        sent = self.messages.setdefault(incident_id, [])
        if sent and (sent[-1].at, sent[-1].reason) == (now, _REASONS.get(reason, reason)):
            return
        figures = message.figures
        sent.append(
            SentMessage(
                now,
                _REASONS.get(reason, reason),
                figures.rate if figures else None,
                figures.low if figures else None,
                figures.threshold if figures else None,
            )
        )

    def notified_channels(self, incident_id: int) -> list[str]:
        return sorted(set(self._channels.get(incident_id, ())))

    def occasions(self, since: datetime) -> list[Occasion]:
        return [
            Occasion(
                incident_id=incident_id,
                at=alert.fired_at,
                codes=incident.codes,
                names=incident.names,
                failures=incident.total_failures // (incident.again + 1),
                is_reported=not is_shown(alert.webhook_codes),
            )
            for incident_id, incident in self.incidents.items()
            if incident.codes and not incident.account_wide
            for alert in self._members.get(incident_id, {}).values()
            if alert.fired_at is not None and alert.fired_at >= since
        ]

    def add_finding(self, found: FoundState, seen_at: datetime, now: datetime) -> tuple[int, bool]:
        return self.findings.add_finding(found, seen_at, now)

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids
