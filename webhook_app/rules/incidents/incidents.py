"""Decides which incident a firing alert belongs to: one cause is one incident. Values and `now` in, an id out.

An incident holds the failed messages that have one of its leading codes and lie in the groups of its alerts.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum, auto
from functools import cached_property
from typing import Generic, Literal, Protocol, TypeVar

from msgspec import Struct

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.whatsapp.errors.catalogue import explain

Group = Mapping[str, str | int]
Names = Mapping[str, frozenset[str]]
"""Values by dimension: the accounts, numbers, templates and campaigns that somebody is named with."""

EndedHow = Literal["", "recovered", "quiet", "faded", "chronic", "rules"]

SAME_NAME_WITHIN = timedelta(hours=24)
SAME_CODE_WITHIN = timedelta(minutes=30)
SILENT_WITHIN = timedelta(hours=1)
REPORTED_WITHIN = timedelta(seconds=30)
"""Before the incident is announced: what fires later has an announcement of its own, unless it is one of many."""
_CROWD = 5  # alerts about what Meta reports
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


class HeldGroups:
    """The groups of an incident's alerts. Looking a failed message up takes as long for thousands as for a few."""

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        self._count = 0
        self._values: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        for group in groups:
            self.add(group)

    def __len__(self) -> int:
        return self._count

    def add(self, group: Group) -> None:
        """Add the group of one more alert."""
        names = tuple(sorted(group))
        self._values.setdefault(names, set()).add(tuple(str(group[name]) for name in names))
        self._count += 1

    def hold(self, code: int, series: SeriesKey, names: Names) -> bool:
        """Whether the message lies in a group that is narrowed by the incident's names, as `holding_groups` does."""
        return any(
            tuple(_value_of(name, code, series) for name in dimensions) in values
            and _lies_within(dimensions, series, names)
            for dimensions, values in self._values.items()
        )


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
    """Return the incident that the alert belongs to, for good.

    1. The open incident in which the same rule fired for the same group.
    2. The open incident that holds at least half of its failing messages.
    3. The one whose cause explains it, if both name the same account, number or template.
    4. The one with the same named template, campaign or number and the same fault domain, begun within 24 hours.
    5. The one with the same code of the fault domain `platform`, or the same code in the same account or number, begun
       within 30 minutes. What falls silent within an hour is silent for one reason, as is what is no longer delivered,
       and unreachable people on the numbers of an outage at Meta belong to the outage.
    6. The one about other templates, numbers or accounts of which Meta reports the same, begun within 30 seconds, or
       within 30 minutes if it has five alerts.
    An incident that has recovered within two hours, or went quiet within 26, is asked after the open ones.
    """
    known = sorted(
        incidents, key=lambda incident: (incident.ended_at is not None, incident.began_at, incident.id)
    )
    candidates = [incident for incident in known if _may_be_joined(incident, now)]
    for again in (False, True):
        asked = [incident for incident in candidates if (incident.ended_at is not None) is again]
        for reason, belongs in _REASONS:
            for incident in asked:
                if belongs(alert, incident, origin):
                    return Membership(incident.id, reason, again)
    return Membership(None, Joined.NEW)


def _may_be_joined(incident: KnownIncident, now: datetime) -> bool:
    if incident.ended_at is None:
        return True
    return now - incident.ended_at <= AGAIN_WITHIN.get(incident.ended_how, timedelta(0))


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


ENOUGH_CALLS = 10
"""The failed calls with the codes of an incident by which a key that reported them says by itself that it is there. As
many failures as most rules need."""


class JudgedAlert(Protocol):
    """The part of an alert that says whether webhooks alone show it, without what senders report."""

    @property
    def webhook_codes(self) -> Sequence[int] | None: ...
    @property
    def webhooks_until(self) -> datetime | None: ...
    @property
    def resolved_at(self) -> datetime | None: ...


Judged = TypeVar("Judged", bound=JudgedAlert)


class Shown(Struct, Generic[Judged], frozen=True):
    """What webhooks alone show of an incident. `until`: since then only reports of senders do; None: still."""

    alerts: list[Judged]
    codes: list[int]
    until: datetime | None


def shown_by_webhooks(codes: Iterable[int], alerts: Iterable[Judged]) -> Shown[Judged]:
    """The alerts that webhooks alone showed, and those of the codes for which they did.

    What only senders report may be made up, so it holds back and excuses nothing of others.
    """
    shown = [alert for alert in alerts if alert.webhook_codes is None or alert.webhook_codes]
    proven = {code for alert in shown for code in alert.webhook_codes or ()}
    is_known = all(alert.webhook_codes is not None for alert in shown)
    ends = [
        None if alert.webhook_codes is None else alert.webhooks_until or alert.resolved_at for alert in shown
    ]
    past = [end for end in ends if end is not None]
    return Shown(
        alerts=shown,
        codes=[code for code in codes if not is_known or code in proven],
        until=max(past) if past and len(past) == len(ends) else None,
    )


def holding_groups(groups: Iterable[Group], names: Names) -> list[Group]:
    """The groups of an incident's alerts, none wider than what failed when they joined.

    Without this, an alert about everything would hold what later fails in another account. A template or campaign
    holds within the accounts of the incident, an even wider group within its numbers.
    """
    found: dict[tuple[tuple[str, str], ...], Group] = {}
    for group in groups:
        dimension = _narrowed_by(group)
        values = sorted(names.get(dimension, frozenset()))
        narrowed: list[Group] = [{**group, dimension: value} for value in values]
        for each in narrowed or [group]:
            found[tuple(sorted((name, str(value)) for name, value in each.items()))] = each
    return list(found.values())


def _narrowed_by(dimensions: Collection[str]) -> str:
    """The dimension whose names narrow a group of these dimensions; empty if it has an account or number itself."""
    if "waba_id" in dimensions or "phone_number_id" in dimensions:
        return ""
    return "waba_id" if "template" in dimensions or "campaign" in dimensions else "phone_number_id"


def _lies_within(dimensions: Collection[str], series: SeriesKey, names: Names) -> bool:
    narrowed_by = _narrowed_by(dimensions)
    within = names.get(narrowed_by)
    return not within or getattr(series, narrowed_by) in within


def _value_of(name: str, code: int, series: SeriesKey) -> str:
    return str(code if name == "code" else getattr(series, name, ""))


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
