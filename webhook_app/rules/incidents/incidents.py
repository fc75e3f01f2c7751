"""Decides which incident a firing alert belongs to: one cause is one incident. Values and `now` in, an id out.

An incident holds the failed messages that have one of its leading codes and lie in the groups of its alerts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum, auto
from functools import cached_property
from typing import Literal

from msgspec import Struct

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.evidence import Group, HeldGroups, Names, is_shown
from webhook_app.whatsapp.errors.catalogue import explain

EndedHow = Literal["", "recovered", "quiet", "faded", "chronic", "rules"]

SAME_NAME_WITHIN = timedelta(hours=24)
SAME_CODE_WITHIN = timedelta(minutes=30)
SILENT_WITHIN = timedelta(hours=1)
REPORTED_WITHIN = timedelta(seconds=30)
"""Before the incident is announced: what fires later has an announcement of its own, unless it is one of many."""
_CROWD = 5  # alerts about what Meta reports
MOST_OF_REPORTERS = 5
"""Open incidents of account-wide codes, and of others, that the same keys alone report. The latest takes the rest."""
AGAIN_WITHIN: Mapping[str, timedelta] = {"recovered": timedelta(hours=2), "quiet": timedelta(hours=26)}
"""For how long the same cause opens an ended incident again, by how it ended."""
_HELD_SHARE = 0.5
_SHARED = 0.9  # of the failing messages have a template or campaign for it to be what they have in common

DELIVERY_DOMAIN = "delivery"
"""What alerts about missing delivery reports and slow deliveries are about, in place of a code's fault domain."""

_REPORTED_KINDS = ("health", "tier")

ACCOUNT_WIDE_DOMAINS = ("auth", "account", "registration")
"""Fault domains that affect every message of the account or number."""
ACCOUNT_WIDE_CODES = (131031, 368)
"""Account locked; blocked for policy: domain policy, but no message is sent."""


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


class FiringAlert(Struct, frozen=True, kw_only=True, dict=True):
    """The part of a firing alert that decides where it belongs."""

    rule: str
    kind: str
    group: Group
    codes: tuple[int, ...] = ()
    """Most failures first."""
    failing: Mapping[tuple[int, SeriesKey], int] = {}
    """Distinct failed messages of its window, by code and series."""
    subject: Group = {}
    """What a health signal is about; part of what the alert names."""
    domain: str = ""
    """The fault domain where no code says it."""
    account_wide: bool = False
    """Whether the cause affects every message of the account or number, where no code says it."""
    webhook_codes: tuple[int, ...] | None = None
    """As store/incidents/alerts.py has them: empty while only reports of senders show the alert."""
    reporters: frozenset[str] = frozenset()
    """The API keys whose reports alone show the alert; empty if more does."""
    accepted: int = 0
    """The sends that Meta accepted in the window, where webhooks are silent."""
    fired_at: datetime

    @cached_property
    def total(self) -> int:
        """How many messages fail."""
        return sum(self.failing.values())

    @cached_property
    def named(self) -> dict[str, frozenset[str]]:
        """What the alert names: its group and subject, and what its failing messages have in common.

        Of accounts and numbers all that fail, of templates and campaigns one that nearly all failing messages have.
        """
        found = _named({**self.group, **self.subject})
        for name in ("waba_id", "phone_number_id", "template", "campaign"):
            if name in found or not self.total:
                continue
            messages: Counter[str] = Counter()
            for (_, series), count in self.failing.items():
                messages[getattr(series, name)] += count
            value, most = messages.most_common(1)[0]
            if name in ("waba_id", "phone_number_id"):
                found[name] = frozenset(messages.keys() - {""})
            elif value and most >= _SHARED * self.total:
                found[name] = frozenset((value,))
        return found


class KnownIncident(Struct, frozen=True, kw_only=True):
    """The part of an incident that decides which alerts join it. `groups`: those of its alerts."""

    id: int
    codes: tuple[int, ...]
    domain: str
    account_wide: bool
    names: Names
    groups: HeldGroups
    origins: frozenset[tuple[str, str]]
    """Rule and group of each alert in it, the group as text."""
    is_reported: bool = False
    """Whether only reports of senders show the codes by which it goes on: they may be made up."""
    reporters: frozenset[str] = frozenset()
    """The API keys whose reports alone have shown it so far; empty if more has."""
    is_merged: bool = False
    """Whether it gathers what these keys report of several places."""
    began_at: datetime
    ended_at: datetime | None = None
    ended_how: EndedHow = ""


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
    3. The one whose cause explains it, if both name the same account, number or template.
    4. The one with the same named template, campaign or number and the same fault domain, begun within 24 hours.
    5. The one with the same code of the fault domain `platform`, or the same code in the same account or number, begun
       within 30 minutes. What falls silent within an hour is silent for one reason, as is what is no longer delivered,
       and unreachable people on the numbers of an outage at Meta belong to the outage.
    6. The one about other templates, numbers or accounts of which Meta reports the same, begun within 30 seconds, or
       within 30 minutes if it has five alerts.
    7. The one with the same code that the same API keys alone report. If five incidents are open that only these keys
       report, of account-wide codes or of others as the alert's, the latest of them.
    An incident that has recovered within two hours, or went quiet within 26, is asked after the open ones.
    What more than reports of senders shows joins no incident that only reports show, which may be made up, except by 1;
    only the silence that follows when nothing can be sent does. An incident that gathers what some keys report is
    joined by nothing else, so that it hides no outage of one of its places.
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
        alike = [each for each in asked if each.account_wide is is_account_wide(alert)]
        own = [incident.id for incident in alike if _has_same_reporters(alert, incident)]
        if len(own) >= MOST_OF_REPORTERS and not again:
            return Membership(max(own), Joined.SAME_REPORTER)
    return Membership(None, Joined.NEW)


def _may_be_joined(incident: KnownIncident, now: datetime) -> bool:
    if incident.ended_at is None:
        return True
    return now - incident.ended_at <= AGAIN_WITHIN.get(incident.ended_how, timedelta(0))


def _may_be_hidden(alert: FiringAlert, incident: KnownIncident, reason: Joined) -> bool:
    """Whether the alert is shown by more than reports of senders, or of the same senders, and the incident is not."""
    if incident.is_merged:
        return is_shown(alert.webhook_codes) or not alert.reporters <= incident.reporters
    if not incident.is_reported or not is_shown(alert.webhook_codes) or reason is Joined.SAME_GROUP:
        return False
    return alert.kind != "silence" or reason is not Joined.EXPLAINED or alert.accepted > 0


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
        if own.get(dimension, frozenset()) & incident.names.get(dimension, frozenset())
    }
    if not common:
        return False
    if domain_of(alert) == incident.domain == "template" and not (alert.codes and incident.codes):
        return "template" in common
    wide = incident.account_wide, is_account_wide(alert)
    return (
        any(wide)
        and bool(common - {"template"})
        and (all(wide) or _is_effect(alert, incident, cause_is_new=wide[1]))
    )


def _is_effect(alert: FiringAlert, incident: KnownIncident, *, cause_is_new: bool) -> bool:
    """Whether what fails can follow from an account-wide cause: its own codes, or silence."""
    codes = incident.codes if cause_is_new else alert.codes
    if not codes:
        return cause_is_new or alert.kind == "silence"
    return is_account_wide_code(codes[0])


def _shares_name(alert: FiringAlert, incident: KnownIncident, origin: tuple[str, str]) -> bool:
    """Whether both name the same template or campaign or, if one names neither, the same number.

    For small senders a stop of deliveries shows in windows of days, so such an incident counts while it is open.
    """
    del origin
    goes_on = incident.domain == DELIVERY_DOMAIN and incident.ended_at is None
    is_near = goes_on or abs(alert.fired_at - incident.began_at) <= SAME_NAME_WITHIN
    if domain_of(alert) != incident.domain or not is_near:
        return False
    own = alert.named
    narrow = [name for name in ("template", "campaign") if own.get(name) and incident.names.get(name)]
    return any(
        own.get(name, frozenset()) & incident.names.get(name, frozenset())
        for name in narrow or ("phone_number_id",)
    )


def _shares_code(alert: FiringAlert, incident: KnownIncident, origin: tuple[str, str]) -> bool:
    del origin
    apart = abs(alert.fired_at - incident.began_at)
    if domain_of(alert) == incident.domain and incident.domain in ("silence", DELIVERY_DOMAIN):
        return apart <= SILENT_WITHIN
    if apart <= SAME_CODE_WITHIN and _is_unreachable_in_outage(alert, incident):
        return True
    if apart > SAME_CODE_WITHIN or not alert.codes or alert.codes[0] not in incident.codes:
        return False
    if explain(alert.codes[0]).domain == "platform":
        return True
    return any(  # the account of a number that only senders name is unknown
        alert.named.get(name, frozenset()) & incident.names.get(name, frozenset())
        for name in ("waba_id", "phone_number_id")
    )


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


def _named(group: Group) -> dict[str, frozenset[str]]:
    return {name: frozenset((str(value),)) for name, value in group.items() if name != "code" and str(value)}


def domain_of(alert: FiringAlert) -> str:
    """The fault domain of its leading code, or of what it is about."""
    return explain(alert.codes[0]).domain if alert.codes else alert.domain or alert.kind


def is_account_wide(alert: FiringAlert) -> bool:
    """Whether its cause affects every message of the account or number."""
    if alert.kind == "attention" and alert.codes:
        return is_account_wide_code(alert.codes[0])
    return alert.account_wide


def is_account_wide_code(code: int) -> bool:
    """Whether the code says that no message of the account or number is sent."""
    return explain(code).domain in ACCOUNT_WIDE_DOMAINS or code in ACCOUNT_WIDE_CODES


def merge_names(one: Names, other: Names) -> dict[str, frozenset[str]]:
    """The names of an incident after an alert has joined it."""
    return {
        name: one.get(name, frozenset()) | other.get(name, frozenset())
        for name in sorted(one.keys() | other.keys())
    }


def leading_codes(failing: Mapping[tuple[int, SeriesKey], int]) -> tuple[int, ...]:
    """The codes of an incident: those with at least a tenth of the failures of the first, most failures first.

    A code that fails elsewhere than the first one is another cause, unless the first one is the platform's.
    """
    counts = _by_code(failing)
    ordered = sorted(counts, key=lambda code: (-counts[code], code))
    if not ordered:
        return ()
    first = ordered[0]
    places = {series for code, series in failing if code == first}
    beside: Counter[int] = Counter()
    for (code, series), messages in failing.items():
        if series in places or explain(first).domain == "platform":
            beside[code] += messages
    return tuple(
        code for code in ordered if beside[code] * 10 >= counts[first] and 2 * beside[code] >= counts[code]
    )


def has_several_causes(failing: Mapping[tuple[int, SeriesKey], int]) -> bool:
    """Whether a code with a tenth of the failures of the first fails elsewhere than it."""
    counts, leading = _by_code(failing), leading_codes(failing)
    return any(count * 10 >= counts[leading[0]] and code not in leading for code, count in counts.items())


def _by_code(failing: Mapping[tuple[int, SeriesKey], int]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for (code, _), messages in failing.items():
        counts[code] += messages
    return counts
