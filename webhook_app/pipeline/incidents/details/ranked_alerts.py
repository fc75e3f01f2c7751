"""Ranks incidents, and the alerts of one: which leads it, which ended it, and what the worst one says. Values only."""

from collections.abc import Collection, Sequence

from webhook_app.pipeline.incidents.details.alert_details import measure_of, stored_details
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.announcements import rank
from webhook_app.rules.incidents.evidence import is_proven, is_shown
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident


def by_rank(members: Sequence[Alert]) -> list[Alert]:
    """Firing alerts first, then the most severe, then those with the most failures, of equals the narrowest.

    What only senders report comes last if webhooks show failures.
    """
    is_of_webhooks = is_proven(members)
    return sorted(
        members,
        key=lambda alert: (
            is_of_webhooks and not is_shown(alert.webhook_codes),
            alert.state != "firing",
            -rank(alert.severity),
            alert.kind != "attention",
            alert.group.get("aspect")
            == "quality",  # a status says that nothing is sent, a quality that it may be so
            -alert.failures,
            alert.attempts,
            alert.id,
        ),
    )


def leading_measure(members: Sequence[Alert]) -> OutcomeMeasure | None:
    """What the incident's leading alert counts, if that is not failures."""
    return measure_of(by_rank(members)[0])


def last_resolved(members: Collection[Alert]) -> Alert:
    """The alert with which the incident ended."""
    return max(members, key=lambda alert: (alert.resolved_at or alert.evaluated_at, alert.id))


def seen_beyond_reports(members: Sequence[Alert]) -> str:
    """What the worst firing alert says that more than reports of senders shows; empty without one."""
    shown = [alert for alert in by_rank(members) if alert.state == "firing" and is_shown(alert.webhook_codes)]
    explanation = stored_details(shown[0]) if shown else None
    return "" if explanation is None else explanation.finding or explanation.reason


def announcing_order(
    incident: Incident, members: Collection[Alert], known_numbers: frozenset[str]
) -> tuple[bool, bool, int]:
    """Sort key of incidents of which not all are announced: those that more than reports of senders shows, then those
    of numbers that Meta has named, then the most severe first.
    """
    shown = any(is_shown(alert.webhook_codes) for alert in members)
    unknown = known_numbers.isdisjoint(incident.names.get("phone_number_id", ()))
    return not shown, unknown, -rank(incident.severity)
