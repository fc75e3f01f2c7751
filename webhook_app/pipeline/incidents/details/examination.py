"""Examines an incident: counts its failures since its start, and says what fails, where, and what to do.

Reads through store. incident_slice.py finds where failures are concentrated.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import to_builtins
from msgspec.structs import replace

from webhook_app.channels.descriptions import count_values, describe_values
from webhook_app.pipeline.incidents.details.alert_details import first_listed, stored_details
from webhook_app.pipeline.incidents.details.incident_details import (
    IncidentDetails,
    held_groups,
    is_merged,
    stored,
)
from webhook_app.pipeline.incidents.details.incident_slice import with_slice
from webhook_app.pipeline.incidents.details.ranked_alerts import by_rank, leading_measure
from webhook_app.pipeline.incidents.incident_store import Failures, StoredFailures
from webhook_app.pipeline.incidents.inputs.rule_inputs import RuleInputs
from webhook_app.rules.incidents.advice import advise
from webhook_app.rules.incidents.evidence import is_proven
from webhook_app.rules.incidents.formats import number
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import explain

_MAX_CODES = 4
_MAX_KEYS = 3
_TITLE_DIMENSIONS = ("template", "campaign", "phone_number_id", "waba_id", "country")
"""The dimensions by which the title names the place of an incident without codes, the narrowest first."""


def counted(connection: Connection, incident: Incident, members: Sequence[Alert], now: datetime) -> Incident:
    """The incident with its stored failed messages and contacts counted since its start."""
    return counted_from(StoredFailures(connection), incident, members, now)


def counted_from(failures: Failures, incident: Incident, members: Sequence[Alert], now: datetime) -> Incident:
    """The incident with its failed messages and contacts counted since its start.

    If webhooks show it, those of webhooks: what senders report beside them may be made up, and is counted by itself.
    """
    if not incident.codes:
        return incident
    groups, end, of_webhooks = held_groups(incident, members), incident.ended_at or now, is_proven(members)
    impact = failures.impact(incident.began_at, end, incident.codes, groups, of_webhooks=of_webhooks)
    (numbers, more_numbers), (templates, more_templates) = map(
        first_listed, (impact.numbers, impact.templates)
    )
    details = replace(
        stored(incident),
        codes={str(code): count for code, count in impact.by_code.items()},
        reported=impact.reported if of_webhooks else 0,
        numbers=numbers,
        more_numbers=more_numbers,
        templates=templates,
        more_templates=more_templates,
        samples=tuple(
            failures.samples(incident.began_at, end, incident.codes, groups, of_webhooks=of_webhooks)
        ),
    )
    return replace(
        incident,
        began_at=min(filter(None, (impact.first_at, details.first_opened_at)), default=incident.began_at),
        codes=incident.codes if incident.notified_at else _worst_first(incident.codes, impact.by_code),
        total_failures=impact.messages,
        contacts=impact.contacts,
        counted_at=now,
        details=to_builtins(details),
    )


def _worst_first(codes: Sequence[int], failures: Mapping[int, int]) -> list[int]:
    """Most failures first. Of equals the platform's codes lead: the others often follow from them."""
    return sorted(codes, key=lambda code: (-failures.get(code, 0), explain(code).domain != "platform", code))


def examine(inputs: RuleInputs, incident: Incident, members: Sequence[Alert]) -> Incident:
    """The incident with what its failures have in common, counted since its start."""
    incident = counted_from(inputs.failures, incident, members, inputs.now)
    details = stored(incident)
    if is_merged(incident):
        incident = replace(incident, slice=None)
    elif incident.is_open and (incident.codes or leading_measure(members)):
        incident, details = with_slice(inputs, incident, details, members)
    fallback = next((text for alert in by_rank(members) if (text := stored_details(alert).advice)), "")
    advice = advise(incident.codes, len(details.numbers), fallback)
    details = replace(
        details,
        suspected_outage=advice.suspected_outage,
        first_opened_at=details.first_opened_at or incident.opened_at,
    )
    if not incident.notified_at or not details.what:
        details = replace(details, what=_what(incident, details, members))
    incident = replace(incident, advice=advice.text, details=to_builtins(details))
    if details.reporters:
        reported = "it; no webhook shows it. Check that the calls really fail."
        if incident.domain == "silence":
            reported = "the sends. Check that Meta accepted them."
        only = f"Only {_keys(details.reporters)} reported {reported}"
        incident = replace(incident, advice=f"{incident.advice} {only}".strip())
    return with_title(incident, members)


def with_title(incident: Incident, members: Sequence[Alert]) -> Incident:
    """The incident with the title that says what is known of it."""
    details = stored(incident)
    what, place = details.what or _what(incident, details, members), _where(incident, details, members)
    title = f"{what}, {place}" if place else what
    only = f" (reported only by {_keys(details.reporters)})" if is_merged(incident) else ""
    return replace(incident, title=f"{title}{only}")


def _what(incident: Incident, details: IncidentDetails, members: Sequence[Alert]) -> str:
    leading = by_rank(members)[0]
    if not incident.codes:
        return stored_details(leading).finding or leading.rule
    if details.suspected_outage and len(incident.codes) > 1:
        return f"Suspected outage at Meta: {', '.join(map(str, incident.codes[:_MAX_CODES]))}"
    code = incident.codes[0]
    return f"{code} {explain(code).title}".rstrip(".")


def _where(incident: Incident, details: IncidentDetails, members: Sequence[Alert]) -> str:
    """Where it fails. It only widens: from one number or template to several, never to another one."""
    if incident.slice:
        return describe_values(incident.slice)
    if incident.codes:
        return count_values("phone_number_id", details.numbers, details.more_numbers) or "all messages"
    named = (count_values(name, _all_names(name, incident, members)) for name in _TITLE_DIMENSIONS)
    return next(filter(None, named), "")


def _all_names(name: str, incident: Incident, members: Sequence[Alert]) -> list[str]:
    """The values that the incident and its alerts name: it keeps some of thousands."""
    groups = (str(alert.group[name]) for alert in members if alert.group.get(name))
    return list(dict.fromkeys([*incident.names.get(name, ()), *groups]))


def _keys(names: Sequence[str]) -> str:
    more = f" and {number(len(names) - _MAX_KEYS)} more" if len(names) > _MAX_KEYS else ""
    return f"API key{'s' if len(names) > 1 else ''} {', '.join(names[:_MAX_KEYS])}{more}"
