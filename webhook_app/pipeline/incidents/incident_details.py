"""The details of an incident: gathered from its start to its end, stored with it, sent in notifications.

Reads through store. Whether a notification is sent is decided in incident_announcements.py.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, convert, to_builtins
from msgspec.structs import replace

from webhook_app.channels.descriptions import count_values, describe_group, describe_values
from webhook_app.channels.notification import AffectedPart, CodeFacts, Evidence, Figures, Notification, Reason
from webhook_app.pipeline.incidents.alert_details import first_listed, measure_of, stored_details
from webhook_app.pipeline.incidents.groups.rule_inputs import RuleInputs
from webhook_app.pipeline.incidents.incident_store import Failures, StoredFailures
from webhook_app.rules.counts.dimensions import DIMENSIONS
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.advice import advise
from webhook_app.rules.incidents.alerts import COUNTING_KINDS, Rule
from webhook_app.rules.incidents.announcements import rank
from webhook_app.rules.incidents.evidence import Group, holding_groups, is_shown
from webhook_app.rules.incidents.formats import number
from webhook_app.rules.incidents.slices import NEARLY_ALL, Cell, localise
from webhook_app.store.counts.window_counts import OUTCOME, WindowCounts
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.errors.retry import retry_advice

_MAX_CODES = 4
_MAX_EVIDENCE = 6
_MAX_KEYS = 3
_BASELINE_HOURS = 168
_SHORT_MINUTES = 60
_TITLE_DIMENSIONS = ("template", "campaign", "phone_number_id", "waba_id", "country")
"""The dimensions by which the title names the place of an incident without codes, the narrowest first."""


class IncidentDetails(Struct, frozen=True, kw_only=True):
    """Stored as JSON in incidents.details. `codes`: failed messages by code since its start."""

    codes: dict[str, int] = {}
    numbers: tuple[str, ...] = ()
    more_numbers: int = 0
    templates: tuple[str, ...] = ()
    more_templates: int = 0
    samples: tuple[str, ...] = ()
    suspected_outage: bool = False
    what: str = ""
    """What fails, as the title says it. Fixed by the first notification."""
    slice_failures: int = 0
    channels: tuple[str, ...] = ()
    """The channels that were notified."""
    first_opened_at: datetime | None = None
    """When it opened for the first time."""
    only_reported: bool = False
    """Whether only reports of senders showed it at its last notification, or when it became part of a finding."""
    reporters: tuple[str, ...] = ()
    """As reporters_of_incident returns them."""
    is_merged: bool = False
    """Whether an alert joined it because the same keys report it."""
    has_grown: bool = False
    """Whether such an alert named a further business number that Meta knows, after the last notification."""
    usual_failures: int = 0
    """Failures of one occasion of the recurring finding it belongs to."""


def stored(incident: Incident) -> IncidentDetails:
    """The details stored with the incident."""
    return convert(incident.details, IncidentDetails)


def reporters_of_incident(incident: Incident) -> frozenset[str]:
    """The API keys whose reports alone have shown the incident so far; empty if more has."""
    return frozenset(incident.details.get("reporters", ()))


def is_merged(incident: Incident) -> bool:
    """Whether the incident gathers what some API keys alone report of several places."""
    several = incident.details.get("is_merged") or len(incident.names.get("phone_number_id", ())) > 1
    return bool(several and reporters_of_incident(incident))


def held_groups(incident: Incident, members: Sequence[Alert]) -> list[Group]:
    """The groups whose failures the incident holds, if they have one of its codes."""
    names = {name: frozenset(values) for name, values in incident.names.items()}
    return holding_groups([alert.group for alert in members], names)


def counted(connection: Connection, incident: Incident, members: Sequence[Alert], now: datetime) -> Incident:
    """The incident with its stored failed messages and contacts counted since its start."""
    return counted_from(StoredFailures(connection), incident, members, now)


def counted_from(failures: Failures, incident: Incident, members: Sequence[Alert], now: datetime) -> Incident:
    """The incident with its failed messages and contacts counted since its start."""
    if not incident.codes:
        return incident
    groups, end = held_groups(incident, members), incident.ended_at or now
    impact = failures.impact(incident.began_at, end, incident.codes, groups)
    (numbers, more_numbers), (templates, more_templates) = map(
        first_listed, (impact.numbers, impact.templates)
    )
    details = replace(
        stored(incident),
        codes={str(code): count for code, count in impact.by_code.items()},
        numbers=numbers,
        more_numbers=more_numbers,
        templates=templates,
        more_templates=more_templates,
        samples=tuple(failures.samples(incident.began_at, end, incident.codes, groups)),
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


def examine(inputs: RuleInputs, incident: Incident, members: Sequence[Alert]) -> Incident:
    """The incident with what its failures have in common, counted since its start."""
    incident = counted_from(inputs.failures, incident, members, inputs.now)
    details = stored(incident)
    if is_merged(incident):
        incident = replace(incident, slice=None)
    elif incident.is_open and (incident.codes or _measure(members)):
        incident, details = _with_slice(inputs, incident, details, members)
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
        only = f"Only {_keys(details.reporters)} reported it; no webhook shows it. Check that the calls really fail."
        incident = replace(incident, advice=f"{incident.advice} {only}".strip())
    return with_title(incident, members)


def seen_beyond_reports(members: Sequence[Alert]) -> str:
    """What the worst firing alert says that more than reports of senders shows; empty without one."""
    shown = [alert for alert in by_rank(members) if alert.state == "firing" and is_shown(alert.webhook_codes)]
    explanation = stored_details(shown[0]) if shown else None
    return "" if explanation is None else explanation.finding or explanation.reason


def with_title(incident: Incident, members: Sequence[Alert]) -> Incident:
    """The incident with the title that says what is known of it."""
    details = stored(incident)
    what, place = details.what or _what(incident, details, members), _where(incident, details, members)
    title = f"{what}, {place}" if place else what
    only = f" (reported only by {_keys(details.reporters)})" if is_merged(incident) else ""
    return replace(incident, title=f"{title}{only}")


def _keys(names: Sequence[str]) -> str:
    more = f" and {number(len(names) - _MAX_KEYS)} more" if len(names) > _MAX_KEYS else ""
    return f"API key{'s' if len(names) > 1 else ''} {', '.join(names[:_MAX_KEYS])}{more}"


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


def _worst_first(codes: Sequence[int], failures: Mapping[int, int]) -> list[int]:
    """Most failures first. Of equals the platform's codes lead: the others often follow from them."""
    return sorted(codes, key=lambda code: (-failures.get(code, 0), explain(code).domain != "platform", code))


def by_rank(members: Sequence[Alert]) -> list[Alert]:
    """Firing alerts first, then the most severe, then those with the most failures, of equals the narrowest."""
    return sorted(
        members,
        key=lambda alert: (
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


def last_resolved(members: Collection[Alert]) -> Alert:
    """The alert with which the incident ended."""
    return max(members, key=lambda alert: (alert.resolved_at or alert.evaluated_at, alert.id))


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


def _with_slice(
    inputs: RuleInputs, incident: Incident, details: IncidentDetails, members: Sequence[Alert]
) -> tuple[Incident, IncidentDetails]:
    """The incident with the part where its failures are concentrated, by the shortest window of its alerts.

    After the first notification the part is only replaced by a wider one.
    """
    measure = _measure(members)
    kinds = (measure.kind,) if measure else COUNTING_KINDS
    windows = [a.window_minutes for a in members if a.state == "firing" and a.kind in kinds and a.failures]
    minutes = min(windows, default=incident.window_minutes) or _SHORT_MINUTES
    now = _cells(_window(inputs, measure, minutes), incident)
    if not now:
        return incident, details
    usual = _cells(
        inputs.usual_outcomes(measure, minutes) if measure else inputs.usual(minutes, _BASELINE_HOURS),
        incident,
    )
    day = {tuple(series): count for series, count in inputs.attempts_of_day().items()}
    values = _account_slice(incident, day)
    if values is None and (found := localise(DIMENSIONS, now, usual, day)) is not None:
        values = {name: list(held) for name, held in found.values.items()}
    if incident.notified_at is not None and not _is_wider(values, incident.slice):
        values = incident.slice
    leading = (
        now
        if minutes == incident.window_minutes
        else _cells(_window(inputs, measure, incident.window_minutes or _SHORT_MINUTES), incident)
    )
    failures = sum(counts.failures for cell, counts in leading.items() if _lies_in(values or {}, cell))
    return replace(incident, slice=values), replace(details, slice_failures=failures)


def _measure(members: Sequence[Alert]) -> OutcomeMeasure | None:
    """What the incident's leading alert counts, if that is not failures."""
    return measure_of(by_rank(members)[0])


def _window(inputs: RuleInputs, measure: OutcomeMeasure | None, minutes: int) -> WindowCounts:
    return inputs.outcomes(measure, minutes) if measure else inputs.window(minutes)


def _account_slice(incident: Incident, day: Mapping[Cell, int]) -> dict[str, list[str]] | None:
    """The account, where the code says that the whole account is affected and there are others."""
    named = incident.names.get("waba_id", [])
    if not incident.codes or explain(incident.codes[0]).domain != "account" or len(named) != 1:
        return None
    place, total = DIMENSIONS.index("waba_id"), sum(day.values())
    own = sum(count for cell, count in day.items() if cell[place] == named[0])
    return {"waba_id": list(named)} if own < NEARLY_ALL * total else None


def _is_wider(values: Mapping[str, list[str]] | None, than: Mapping[str, list[str]] | None) -> bool:
    if not values or not than:
        return False
    return all(set(than.get(name, ())) and set(than[name]) <= set(held) for name, held in values.items())


def _lies_in(values: Mapping[str, Sequence[str]], cell: Cell) -> bool:
    return all(cell[DIMENSIONS.index(name)] in held for name, held in values.items())


def _cells(window: WindowCounts, incident: Incident) -> dict[Cell, Counts]:
    """The window by series, with the failures that have the incident's codes and happen in its accounts."""
    accounts = incident.names.get("waba_id") or None
    failed: Counter[Cell] = Counter()
    for one in window.failed:
        for cell in {
            tuple(mark.series)
            for mark in one.marks
            if mark.code in (incident.codes or (OUTCOME,))
            and (accounts is None or mark.series.waba_id in accounts)
        }:
            failed[cell] += one.messages
    attempts = {tuple(series): count for series, count in window.attempts.items()}
    return {cell: Counts(attempts.get(cell, 0), failed[cell]) for cell in attempts.keys() | failed.keys()}


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
