"""Lets a firing alert join an incident or open one, as rules/incidents/joining.py decides. Values only."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import cast

from msgspec import to_builtins
from msgspec.structs import replace

from webhook_app.pipeline.incidents.alert_lifecycle import AlertChange
from webhook_app.pipeline.incidents.details.incident_details import (
    IncidentDetails,
    is_merged,
    reporters_of_incident,
    stored,
)
from webhook_app.pipeline.incidents.groups.rule_group import RuleGroup, counted_by
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.announcements import rank
from webhook_app.rules.incidents.evidence import (
    HeldGroups,
    ReportedCalls,
    is_proven,
    is_shown,
    is_still_shown,
    reporters_of,
)
from webhook_app.rules.incidents.incidents import (
    DELIVERY_DOMAIN,
    EndedHow,
    FiringAlert,
    KnownIncident,
    domain_of,
    has_several_causes,
    is_account_wide,
    leading_codes,
    merge_names,
)
from webhook_app.rules.incidents.rules_file.rule import OUTCOME_KINDS
from webhook_app.store.counts.window_counts import WindowCounts
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident

_MAX_CODES = 8
MAX_NAMES = 1_000
"""Values of a dimension that an incident is named with: a report of Meta, or a flood, can be about more of them."""


def new_incident(change: AlertChange, firing: FiringAlert, began_at: datetime, now: datetime) -> Incident:
    """The incident that this alert opens."""
    alert = change.alert
    return Incident(
        kind=alert.kind,
        title="",
        severity=alert.severity,
        domain=domain_of(firing),
        account_wide=is_account_wide(firing),
        codes=_codes((), firing),
        names={name: sorted(values)[:MAX_NAMES] for name, values in firing.named.items()},
        details=to_builtins(IncidentDetails(reporters=tuple(sorted(firing.reporters)))),
        began_at=began_at,
        opened_at=now,
        evaluated_at=now,
    )


def is_of_reports(incident: Incident, members: Collection[Alert]) -> bool:
    """Whether nothing but reports of senders has ever shown the incident with these alerts: it may be made up."""
    is_reported = bool(members) and not any(is_shown(each.webhook_codes) for each in members)
    return is_reported or bool(reporters_of_incident(incident))


def is_beyond(firing: FiringAlert, members: Collection[Alert]) -> bool:
    """Whether an alert that only senders report joins alerts that more shows: it adds nothing to their incident."""
    if is_shown(firing.webhook_codes):
        return False
    return is_proven(members) or (
        firing.kind == "silence" and any(is_shown(each.webhook_codes) for each in members)
    )


def joined_by(incident: Incident, firing: FiringAlert) -> Incident:
    """The incident with the names and codes of an alert that joins it."""
    known = incident.names
    return replace(
        incident,
        names={
            name: sorted([*known.get(name, ()), *sorted(values.difference(known.get(name, ())))][:MAX_NAMES])
            for name, values in merge_names(_names(incident), firing.named).items()
        },
        codes=_codes(incident.codes, firing),
    )


def merged(incident: Incident) -> Incident:
    """The incident after an alert has joined it because the same API keys report it. It gets another title."""
    details = replace(stored(incident), is_merged=True)
    return replace(incident, title="", details=to_builtins(details))


def spreads(firing: FiringAlert, incident: Incident, members: Collection[Alert]) -> bool:
    """Whether silence reaches a further business number, or missing deliveries a further account.

    Neither has a code that would say that it is the same cause.
    """
    if firing.kind == "silence":
        place = "phone_number_id"
    elif firing.domain == DELIVERY_DOMAIN:
        place = "waba_id"
    else:
        return False
    known = incident.names.get(place, ())
    is_everywhere = not known or any(not alert.group for alert in members)
    return not is_everywhere and bool(firing.named.get(place, frozenset()) - frozenset(known))


def grown(incident: Incident) -> Incident:
    """The incident after what people should be told of has joined it, if they know it already."""
    details = replace(stored(incident), has_grown=incident.notified_at is not None)
    return replace(incident, title="", details=to_builtins(details))


def opened_again(incident: Incident, now: datetime) -> Incident:
    """The ended incident, open again: nobody has acknowledged it, and its reminders start anew."""
    return replace(
        incident,
        state="open",
        ended_at=None,
        ended_how="",
        opened_at=now,
        again=incident.again + 1,
        repeats=0,
        finding_id=None,
        acknowledged_at=None,
        acknowledged_by="",
    )


def known_incident(incident: Incident, members: Collection[Alert], now: datetime) -> KnownIncident:
    """The part of an incident with these alerts that decides which alerts join it."""
    return KnownIncident(
        id=incident.id,
        codes=tuple(incident.codes),
        domain=incident.domain,
        account_wide=incident.account_wide,
        names=_names(incident),
        groups=HeldGroups(alert.group for alert in _of_webhooks(members)),
        origins=frozenset((alert.rule, alert.group_key) for alert in members),
        is_reported=_is_reported(members, now),
        reporters=reporters_of_incident(incident),
        is_of_reports=is_of_reports(incident, members),
        is_merged=is_merged(incident),
        began_at=incident.began_at,
        ended_at=incident.ended_at,
        ended_how=cast("EndedHow", incident.ended_how),
    )


def known_after(
    known: KnownIncident,
    incident: Incident,
    joined: FiringAlert,
    origin: tuple[str, str],
    now: datetime,
    *,
    holds: bool,
) -> KnownIncident:
    """What decides who joins an incident, after an alert has joined it. Takes the groups of `known` over.

    `holds`: whether the incident holds the failures of its group.
    """
    if holds:
        known.groups.add(joined.group)
    return replace(
        known_incident(incident, (), now),
        groups=known.groups,
        origins=known.origins | {origin},
        is_reported=known.is_reported and not joined.webhook_codes,
        is_of_reports=known.is_of_reports and not is_shown(joined.webhook_codes),
    )


def joining_order(change: AlertChange, firing: FiringAlert) -> tuple[bool, bool, bool, int, int, int, int]:
    """Sort key of alerts that fire together: what more than reports shows first, causes before effects, then the alert
    with the most failures.

    An alert with codes that fail in different places comes after the others, so that two causes at once are not taken
    for one. Silence of all numbers comes before that of one, which fewer keys report.
    """
    alert = change.alert
    is_silence = alert.kind == "silence"
    return (
        not is_shown(alert.webhook_codes),
        not is_account_wide(firing),
        has_several_causes(firing.failing),
        -alert.failures,
        is_silence * len(alert.group),
        -rank(alert.severity),
        alert.id,
    )


def firing_alert(change: AlertChange, calls: ReportedCalls) -> FiringAlert:
    """The part of a firing alert that decides where it belongs: of one that senders report too, what webhooks show."""
    alert, group = change.alert, change.rule_group
    shown = alert.webhook_codes if group is not None and group.proof.has_reports else None
    windows = () if group is None else (group.proof.window if shown else None, group.window)
    failing = next((found for each in windows if (found := failing_of(group, each, shown))), {})
    reporters = reporters_of(alert.group, failing, calls)
    if group is not None and alert.kind == "silence":
        reporters = group.reporters
    return FiringAlert(
        rule=alert.rule,
        kind=alert.kind,
        group=alert.group,
        codes=tuple([code for code in alert.codes if not shown or code in shown][:_MAX_CODES]),
        failing=failing,
        domain=_domain(alert),
        account_wide=group is not None and group.account_wide,
        webhook_codes=None if alert.webhook_codes is None else tuple(alert.webhook_codes),
        reporters=frozenset() if is_shown(alert.webhook_codes) else reporters,
        accepted=0 if group is None else group.accepted,
        fired_at=alert.fired_at or alert.started_at,
    )


def failing_of(
    group: RuleGroup | None, window: WindowCounts | None, shown: Sequence[int] | None = None
) -> Mapping[tuple[int, SeriesKey], int]:
    """The failed messages of the group in the window by code and series. `shown`: the codes, if not all that count."""
    found: Counter[tuple[int, SeriesKey]] = Counter()
    if group is not None and window is not None:
        counted = counted_by(group.rule)
        for failed in window.failed_within(group.group):
            for mark in failed.marks:
                if counted(mark.code) and (not shown or mark.code in shown):
                    found[mark.code, mark.series] += failed.messages
    return found


def _of_webhooks(members: Collection[Alert]) -> list[Alert]:
    """The alerts without those that only senders report, if webhooks show failures of any."""
    if not is_proven(members):
        return list(members)
    return [each for each in members if is_shown(each.webhook_codes)]


def _is_reported(members: Collection[Alert], now: datetime) -> bool:
    """Whether only reports of senders show the failures by which an incident with these alerts goes on."""
    first = next(iter(members), None)
    if first is None or (first.webhook_codes is None and first.kind != "silence"):
        return False
    counted = [each for each in members if each.webhook_codes is not None or first.kind == "silence"]
    lasting = [each for each in counted if each.state != "resolved"]
    return not any(is_still_shown(each, now) for each in lasting or counted)


def _domain(alert: Alert) -> str:
    """The fault domain of an alert without codes."""
    if alert.kind in OUTCOME_KINDS:
        return DELIVERY_DOMAIN
    if alert.kind in ("health", "tier"):
        return "template" if "template" in alert.group else "account"
    return alert.kind


def _codes(known: Sequence[int], firing: FiringAlert) -> list[int]:
    """The codes of an incident after the alert has joined it: a code joins with an alert, never by itself."""
    if firing.kind in OUTCOME_KINDS:
        return list(known)
    return list(dict.fromkeys([*known, *leading_codes(firing.failing)]))[:_MAX_CODES]


def _names(incident: Incident) -> Mapping[str, frozenset[str]]:
    return {name: frozenset(values) for name, values in incident.names.items()}
