"""Which alerts need not be told because another tells of the same cause: alerts in, who mutes whom out.

One cause is one incident. Who tells of it:
1. An account-wide cause (token, payment, lock) mutes what it brings about: failures with such codes, and silence.
2. Of alerts on one cause the more severe mutes the others; of equals, the one that people already know.
3. Alerts on the same code that began together are one incident, whichever numbers, templates or countries they hit.
What is muted goes on being evaluated, and is told if it outlasts what muted it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from webhook_app.rules.incidents.announcements import rank
from webhook_app.whatsapp.errors.catalogue import explain

TOGETHER = timedelta(minutes=30)
"""Alerts on one code that fired no further apart have one cause."""

LINGER = timedelta(minutes=10)
"""For so long after its end an alert still mutes others: they take a while to end too."""

ACCOUNT_WIDE = ("auth", "account", "registration")
"""Fault domains of which no message of the account or number is spared."""

_ACCOUNT_WIDE_CODES = (
    131031,
    368,
)  # locked; blocked for policy: of the domain policy, and they stop everything
_COUNTING = ("rate", "spike", "new_code", "attention")

Why = Literal["cause", "incident"]


class OpenAlert(Struct, frozen=True, kw_only=True):
    """A firing alert, or one that ended a moment ago, as far as muting asks."""

    id: int
    rule: str
    kind: str
    severity: str
    group: Mapping[str, str | int]
    code: int | None
    """The code of its group, or the one with the most failures."""
    fired_at: datetime
    resolved_at: datetime | None = None
    told: bool = False
    failures: int = 0
    account_wide: bool = False
    """Of kind health: the account as a whole is in trouble."""


class Mute(Struct, frozen=True):
    """Who tells of it instead."""

    by: int
    why: Why


def muted(alerts: Sequence[OpenAlert], now: datetime) -> dict[int, Mute]:
    """For each firing alert that need not be told: the alert that tells of its cause."""
    standing = [a for a in alerts if a.resolved_at is None or now - a.resolved_at < LINGER]
    leaders = sorted(standing, key=_precedence, reverse=True)
    by_code: dict[int | None, list[OpenAlert]] = {}
    for leader in leaders:
        by_code.setdefault(leader.code, []).append(leader)
    wide = [leader for leader in leaders if is_account_wide(leader)]
    found: dict[int, Mute] = {}
    for alert in standing:
        if alert.resolved_at is not None:
            continue
        cause = next((each for each in wide if _outranks(each, alert) and _brings_about(each, alert)), None)
        same = cause or next(
            (each for each in by_code[alert.code] if _outranks(each, alert) and _is_same(each, alert)), None
        )
        if same is not None:
            found[alert.id] = Mute(same.id, "cause" if cause else "incident")
    return found


def is_account_wide(alert: OpenAlert) -> bool:
    """Whether its cause spares no message of the account or number."""
    if alert.kind == "health":
        return alert.account_wide
    if alert.kind != "attention" or alert.code is None:
        return False
    return _is_account_wide_code(alert.code)


def _is_account_wide_code(code: int) -> bool:
    return explain(code).domain in ACCOUNT_WIDE or code in _ACCOUNT_WIDE_CODES


def _precedence(alert: OpenAlert) -> tuple[bool, int, bool, bool, int, int]:
    return (
        is_account_wide(alert),
        rank(alert.severity),
        alert.told,
        alert.resolved_at is None,
        alert.failures,
        -alert.id,
    )


def _outranks(leader: OpenAlert, alert: OpenAlert) -> bool:
    """A strict order, so that two alerts never mute each other. What has ended only mutes if people know of it."""
    if leader.id == alert.id or (leader.resolved_at is not None and not leader.told):
        return False
    return _precedence(leader) > _precedence(alert)


def _brings_about(cause: OpenAlert, alert: OpenAlert) -> bool:
    if not _is_nearby(cause, alert):
        return False
    if alert.kind == "silence":
        return True
    return alert.kind in _COUNTING and alert.code is not None and _is_account_wide_code(alert.code)


def _is_same(leader: OpenAlert, alert: OpenAlert) -> bool:
    together = abs(leader.fired_at - alert.fired_at) <= TOGETHER
    if alert.kind == leader.kind == "silence":
        return together and leader.rule == alert.rule
    if alert.code is None or alert.kind not in _COUNTING or leader.kind not in _COUNTING:
        return False
    return together or _is_nearby(
        leader, alert, ("phone_number_id", "waba_id", "template", "campaign", "country")
    )


def _is_nearby(
    one: OpenAlert, other: OpenAlert, dimensions: Sequence[str] = ("phone_number_id", "waba_id")
) -> bool:
    """Whether both may be about the same messages: no dimension that both name differs."""
    return all(
        one.group[name] == other.group[name]
        for name in dimensions
        if name in one.group and name in other.group
    )
