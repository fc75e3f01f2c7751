"""The parts of alerts and incidents that decide which of them belong together, and what they name. Values only.

An incident holds the failed messages that have one of its leading codes and lie in the groups of its alerts.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Literal

from msgspec import Struct

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.evidence import Group, HeldGroups, Names
from webhook_app.whatsapp.errors.catalogue import explain

EndedHow = Literal["", "recovered", "quiet", "faded", "chronic", "rules", "split"]

_SHARED = 0.9  # of the failing messages have a template or campaign for it to be what they have in common

DELIVERY_DOMAIN = "delivery"
"""What alerts about missing delivery reports and slow deliveries are about, in place of a code's fault domain."""

ACCOUNT_WIDE_DOMAINS = ("auth", "account", "registration")
"""Fault domains that affect every message of the account or number."""
ACCOUNT_WIDE_CODES = (131031, 368)
"""Account locked; blocked for policy: domain policy, but no message is sent."""


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
    is_of_reports: bool = False
    """Whether nothing but reports of senders has ever shown it, so that it may be made up."""
    reporters: frozenset[str] = frozenset()
    """The API keys whose reports alone have shown it so far; empty if more has."""
    is_merged: bool = False
    """Whether it gathers what these keys report of several places."""
    began_at: datetime
    ended_at: datetime | None = None
    ended_how: EndedHow = ""


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
