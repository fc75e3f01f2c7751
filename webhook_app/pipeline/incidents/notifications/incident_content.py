"""The content of a notification about an incident, as values. channels/incident_text.py has the words."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from webhook_app.channels.descriptions import describe_group
from webhook_app.channels.notification import AffectedPart, CodeFacts, Evidence, Figures, Notification, Reason
from webhook_app.pipeline.incidents.details.alert_details import measure_of, stored_details
from webhook_app.pipeline.incidents.details.incident_details import IncidentDetails, stored
from webhook_app.pipeline.incidents.details.ranked_alerts import by_rank, last_resolved
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS, Rule
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.errors.retry import retry_advice

_MAX_CODES = 4
_MAX_EVIDENCE = 6


def notification(
    incident: Incident,
    members: Sequence[Alert],
    rules: Mapping[str, Rule],
    reason: Reason,
    now: datetime,
    public_url: str,
) -> Notification:
    """The complete content of a notification about this incident."""
    details, ordered = stored(incident), by_rank(members)
    leading = ordered[0]
    explanation = stored_details(leading)
    why = explanation.reason if incident.is_open else stored_details(last_resolved(members)).reason
    figures = Figures(**{name: getattr(incident, name) for name in Figures.__struct_fields__})
    return Notification(
        incident_id=incident.id,
        reason=reason,
        at=now,
        title=incident.title,
        rule=leading.rule,
        kind=leading.kind,
        severity=incident.severity,
        group=leading.group,
        codes=tuple(
            _code_facts(code, details.codes.get(str(code), 0)) for code in incident.codes[:_MAX_CODES]
        ),
        measure=measure_of(leading),
        figures=figures if leading.kind in COUNTING_KINDS and incident.window_minutes else None,
        finding=explanation.finding,
        details=explanation.details,
        advice=incident.advice,
        suspected_outage=details.suspected_outage,
        peak_rate=incident.worst_rate,
        peak_at=incident.worst_at,
        failures=incident.total_failures,
        contacts=incident.contacts,
        reported=details.reported,
        numbers=details.numbers,
        more_numbers=details.more_numbers,
        templates=details.templates,
        more_templates=details.more_templates,
        since=incident.began_at,
        opened_at=stored(incident).first_opened_at or incident.opened_at,
        resolved_at=incident.ended_at,
        ended_how=incident.ended_how,
        again=incident.again,
        slice=_shown_slice(incident, details),
        samples=details.samples,
        evidence=tuple(
            Evidence(alert.rule, describe_group(alert.group), stored_details(alert).reason)
            for alert in ordered[:_MAX_EVIDENCE]
        ),
        why=why,
        runbook=rules[leading.rule].runbook if leading.rule in rules else "",
        link=f"{public_url.rstrip('/')}/incidents/{incident.id}" if public_url else "",
        acknowledged_by=incident.acknowledged_by,
        acknowledged_at=incident.acknowledged_at,
        snoozed_until=incident.snoozed_until,
    )


def with_current_state(
    sent: Notification, incident: Incident, members: Sequence[Alert], now: datetime
) -> Notification:
    """A sent notification with the incident's current state. Severity and start stay as they were sent."""
    current = notification(incident, members, {}, sent.reason, now, "")
    return replace(
        current,
        id=sent.id,
        severity=sent.severity,
        since=sent.since,
        opened_at=sent.opened_at,
        runbook=sent.runbook,
        link=sent.link,
        actor=sent.actor,
        undelivered=sent.undelivered,
    )


def _shown_slice(incident: Incident, details: IncidentDetails) -> AffectedPart | None:
    if not incident.slice or not incident.failures:
        return None
    share = min(details.slice_failures / incident.failures, 1.0)
    return AffectedPart(
        failures=details.slice_failures,
        share=share,
        values={name: tuple(values) for name, values in incident.slice.items()},
    )


def _code_facts(code: int, failures: int) -> CodeFacts:
    entry = explain(code)
    return CodeFacts(
        code=code,
        title=entry.title,
        meaning=entry.summary,
        failure_class=entry.failure_class,
        action=entry.action,
        advice=retry_advice(entry).words,
        mistaken_for=entry.mistaken_for,
        failures=failures,
    )
