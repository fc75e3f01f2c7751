"""Decides which incident a firing alert belongs to: one cause is one incident. Values and `now` in, an id out."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum, auto

from msgspec import Struct

from webhook_app.rules.incidents.evidence import Names, is_shown, shares
from webhook_app.rules.incidents.incidents import (
    ACCOUNT_WIDE_DOMAINS,
    DELIVERY_DOMAIN,
    FiringAlert,
    KnownIncident,
    domain_of,
    is_account_wide,
    is_account_wide_code,
)
from webhook_app.whatsapp.errors.catalogue import explain

SAME_NAME_WITHIN = timedelta(hours=24)
SAME_CODE_WITHIN = timedelta(minutes=30)
SILENT_WITHIN = timedelta(hours=1)
REPORTED_WITHIN = timedelta(seconds=30)
"""Before the incident is announced: what fires later has an announcement of its own, unless it is one of many."""
_CROWD = 5  # alerts about what Meta reports
MOST_OF_REPORTERS = 5
"""Open incidents of account-wide codes, of silence, or of others that some keys report. The latest takes the rest."""
AGAIN_WITHIN: Mapping[str, timedelta] = {"recovered": timedelta(hours=2), "quiet": timedelta(hours=26)}
"""For how long the same cause opens an ended incident again, by how it ended."""
_HELD_SHARE = 0.5

_REPORTED_KINDS = ("health", "tier")
_SILENCE = "silence"


class Joined(StrEnum):
    """Why an alert belongs to an incident, in the order in which the reasons are tried."""

    SAME_GROUP = auto()
    HELD = auto()
    EXPLAINED = auto()
    SAME_NAME = auto()
    SAME_CODE = auto()
    SAME_REPORT = auto()
    SAME_REPORTER = auto()
    NEW = auto()


class Membership(Struct, frozen=True):
    """Where an alert belongs. `incident_id` None: to a new incident. `again`: to one that has ended."""

    incident_id: int | None
    reason: Joined
    again: bool = False


def join(
    alert: FiringAlert, incidents: Iterable[KnownIncident], origin: tuple[str, str], now: datetime
) -> Membership:
    """Return the incident that the alert belongs to.

    1. The open incident in which the same rule fired for the same group.
    2. The open incident that holds at least half of its failing messages.
    3. The one whose cause explains it, if both name the same account, number or template. Two account-wide causes are
       one if they have the code in common, or begin within 30 minutes.
    4. The one with the same named template, campaign or number and the same fault domain, begun within 24 hours. A
       template or campaign of another account is another one.
    5. The one with the same code of the fault domain `platform`, or the same code in the same account or number, begun
       within 30 minutes. What falls silent within an hour is silent for one reason, as is what is no longer delivered,
       and unreachable people on the numbers of an outage at Meta belong to the outage.
    6. The one about other templates, numbers or accounts of which Meta reports the same, begun within 30 seconds, or
       within 30 minutes if it has five alerts.
    7. The one with the same code that the same API keys alone report. If five incidents are open that only these keys
       report, of account-wide codes, of silence or of others as the alert's, the latest of them.
    An incident that has recovered within two hours, or went quiet within 26, is asked after the open ones.
    What only some API keys report may be made up. So an incident that nothing else has ever shown is joined by nothing
    that webhooks or other keys show; only the silence that follows when nothing can be sent does. One that only reports
    still show is joined by what webhooks show only by 1. Reports alone open no ended incident of more again,
    and explain no missing deliveries.
    """
    known = sorted(
        incidents, key=lambda incident: (incident.ended_at is not None, incident.began_at, incident.id)
    )
    candidates = [incident for incident in known if _may_be_joined(incident, now)]
    for again in (False, True):
        asked = [incident for incident in candidates if (incident.ended_at is not None) is again]
        for reason, belongs in _REASONS:
            for incident in asked:
                if belongs(alert, incident, origin) and not _may_be_hidden(alert, incident, reason):
                    return Membership(incident.id, reason, again)
        alike = [
            each
            for each in asked
            if (each.account_wide, each.domain == _SILENCE)
            == (is_account_wide(alert), alert.kind == _SILENCE)
        ]
        own = [incident.id for incident in alike if _has_same_reporters(alert, incident)]
        if len(own) >= MOST_OF_REPORTERS and not again:
            return Membership(max(own), Joined.SAME_REPORTER)
    return Membership(None, Joined.NEW)


def _may_be_joined(incident: KnownIncident, now: datetime) -> bool:
    if incident.ended_at is None:
        return True
    return now - incident.ended_at <= AGAIN_WITHIN.get(incident.ended_how, timedelta(0))


def _may_be_hidden(alert: FiringAlert, incident: KnownIncident, reason: Joined) -> bool:
    """Whether more shows the alert than shows the incident, which may be made up."""
    is_silence = alert.kind == _SILENCE
    if not is_shown(alert.webhook_codes):
        is_wide = reason is Joined.SAME_GROUP and "phone_number_id" not in alert.group and not is_silence
        if not incident.is_of_reports:
            return incident.ended_at is not None or incident.domain == DELIVERY_DOMAIN
        return not is_wide and not _is_of_its_keys(alert, incident)
    follows = is_silence and reason is Joined.EXPLAINED and not alert.accepted
    if incident.is_of_reports:
        return incident.is_merged or not follows
    goes_on = reason is Joined.SAME_GROUP and not (is_silence and incident.ended_at is None)
    return incident.is_reported and not follows and not goes_on


def _is_of_its_keys(alert: FiringAlert, incident: KnownIncident) -> bool:
    """Whether keys that alone report the incident report the alert: at a business number new to it all, else some."""
    if not alert.reporters:
        return alert.kind != _SILENCE
    number = alert.group.get("phone_number_id")
    known = incident.names.get("phone_number_id", frozenset())
    is_new = number is not None and number not in known and alert.kind != _SILENCE
    return alert.reporters == incident.reporters or (alert.reporters < incident.reporters and not is_new)


def _fired_before(alert: FiringAlert, incident: KnownIncident, origin: tuple[str, str]) -> bool:
    del alert
    return origin in incident.origins


def _is_held(alert: FiringAlert, incident: KnownIncident, origin: tuple[str, str]) -> bool:
    del origin
    held = sum(
        messages
        for (code, series), messages in alert.failing.items()
        if code in incident.codes and incident.groups.hold(code, series, incident.names)
    )
    return 0 < alert.total * _HELD_SHARE <= held


def _is_explained(alert: FiringAlert, incident: KnownIncident, origin: tuple[str, str]) -> bool:
    """Whether one is an effect of the other, an account-wide cause, and both name the same number or account."""
    del origin
    own = alert.named
    common = {
        dimension
        for dimension in ("waba_id", "phone_number_id", "template")
        if shares(dimension, own, incident.names)
    }
    if not common:
        return False
    if domain_of(alert) == incident.domain == "template" and not (alert.codes and incident.codes):
        return "template" in common
    wide = incident.account_wide, is_account_wide(alert)
    return (
        any(wide)
        and bool(common - {"template"})
        and (
            _is_same_cause(alert, incident)
            if all(wide)
            else _is_effect(alert, incident, cause_is_new=wide[1])
        )
    )


def _is_same_cause(alert: FiringAlert, incident: KnownIncident) -> bool:
    """Whether of two account-wide causes one is the other: by the code, or because they begin together."""
    is_near = abs(alert.fired_at - incident.began_at) <= SAME_CODE_WITHIN
    return is_near or (bool(alert.codes) and alert.codes[0] in incident.codes)


def _is_effect(alert: FiringAlert, incident: KnownIncident, *, cause_is_new: bool) -> bool:
    """Whether what fails can follow from an account-wide cause: its own codes, or silence."""
    codes = incident.codes if cause_is_new else alert.codes
    if codes:
        return is_account_wide_code(codes[0]) and _is_same_cause(alert, incident)
    return incident.domain in (_SILENCE, DELIVERY_DOMAIN) if cause_is_new else alert.kind == _SILENCE


def _shares_name(alert: FiringAlert, incident: KnownIncident, origin: tuple[str, str]) -> bool:
    """Whether both name the same template or campaign or, if one names neither, the same number.

    For small senders a stop of deliveries shows in windows of days, so such an incident counts while it is open.
    """
    del origin
    goes_on = incident.domain == DELIVERY_DOMAIN and incident.ended_at is None
    is_near = goes_on or abs(alert.fired_at - incident.began_at) <= SAME_NAME_WITHIN
    if domain_of(alert) != incident.domain or not is_near:
        return False
    is_wide = incident.domain in ACCOUNT_WIDE_DOMAINS or is_account_wide(alert) or incident.account_wide
    if is_wide and not _is_same_cause(alert, incident):
        return False
    own = alert.named
    narrow = [name for name in ("template", "campaign") if own.get(name) and incident.names.get(name)]
    return any(shares(name, own, incident.names) for name in narrow or ("phone_number_id",))


def _shares_code(alert: FiringAlert, incident: KnownIncident, origin: tuple[str, str]) -> bool:
    del origin
    apart = abs(alert.fired_at - incident.began_at)
    if domain_of(alert) == incident.domain and incident.domain in (_SILENCE, DELIVERY_DOMAIN):
        return apart <= SILENT_WITHIN
    if apart <= SAME_CODE_WITHIN and _is_unreachable_in_outage(alert, incident):
        return True
    if apart > SAME_CODE_WITHIN or not alert.codes or alert.codes[0] not in incident.codes:
        return False
    if explain(alert.codes[0]).domain == "platform":
        return True
    # The account of a number that only senders name is unknown.
    return any(shares(name, alert.named, incident.names) for name in ("waba_id", "phone_number_id"))


def _is_unreachable_in_outage(alert: FiringAlert, incident: KnownIncident) -> bool:
    """Whether people cannot be reached on numbers that an outage at Meta affects: it reports both kinds of codes."""
    if incident.domain != "platform" or not alert.codes:
        return False
    numbers = alert.named.get("phone_number_id", frozenset())
    is_unreachable = explain(alert.codes[0]).failure_class == "unreachable"
    return is_unreachable and bool(numbers) and numbers <= incident.names.get("phone_number_id", frozenset())


def _shares_report(alert: FiringAlert, incident: KnownIncident, origin: tuple[str, str]) -> bool:
    """Whether Meta reports the same of both: of templates, of numbers or of accounts."""
    del origin
    if alert.kind not in _REPORTED_KINDS or incident.codes or domain_of(alert) != incident.domain:
        return False
    own, known = alert.named, incident.names
    is_alike = bool(own.keys() & known.keys() & {"template", "phone_number_id", "waba_id"})
    is_crowd = len(incident.groups) >= _CROWD
    is_near = abs(alert.fired_at - incident.began_at) <= (SAME_CODE_WITHIN if is_crowd else REPORTED_WITHIN)
    return is_near and is_alike and bool(_aspects(own) & _aspects(known))


def _shares_reporter(alert: FiringAlert, incident: KnownIncident, origin: tuple[str, str]) -> bool:
    del origin
    is_same = bool(alert.codes) and alert.codes[0] in incident.codes
    return is_same and _has_same_reporters(alert, incident)


def _has_same_reporters(alert: FiringAlert, incident: KnownIncident) -> bool:
    return bool(alert.reporters) and alert.reporters == incident.reporters


def _aspects(names: Names) -> set[str]:
    """The kinds of aspects; a kind such as `restriction` has several. A messaging limit that is used up has none."""
    return {aspect.partition(" ")[0] for aspect in names.get("aspect", ("",))}


_REASONS = (
    (Joined.SAME_GROUP, _fired_before),
    (Joined.HELD, _is_held),
    (Joined.EXPLAINED, _is_explained),
    (Joined.SAME_NAME, _shares_name),
    (Joined.SAME_CODE, _shares_code),
    (Joined.SAME_REPORT, _shares_report),
    (Joined.SAME_REPORTER, _shares_reporter),
)
