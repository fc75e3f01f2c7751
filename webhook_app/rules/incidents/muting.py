"""Decides which alerts are muted because another alert already reports the same cause.

1. An account-wide cause (token, payment, lock) mutes its effects: failures with such codes, and silence.
2. Of alerts with one cause the most severe mutes the others; of equals, the one that was already notified.
3. Alerts on the same code that fired together have one cause, whichever numbers, templates or countries they name.
Muted alerts are still evaluated. One that outlasts the alert that muted it is notified then.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from webhook_app.rules.counts.dimensions import DIMENSIONS
from webhook_app.rules.incidents.announcements import rank
from webhook_app.whatsapp.errors.catalogue import explain

SAME_CAUSE_WITHIN = timedelta(minutes=30)
"""Alerts on one code that fired within this time have one cause."""

MUTES_AFTER_END = timedelta(minutes=10)
"""How long an alert still mutes others after its end, since they take a while to resolve too."""

ACCOUNT_WIDE = ("auth", "account", "registration")
"""Fault domains that affect every message of the account or number."""

_ACCOUNT_WIDE_CODES = (
    131031,
    368,
)  # account locked; blocked for policy: domain policy, but no message is sent
_COUNTING = ("rate", "spike", "new_code", "attention")

MuteReason = Literal["cause", "incident"]


class OpenAlert(Struct, frozen=True, kw_only=True):
    """The part of a firing or just resolved alert that muting needs."""

    id: int
    rule: str
    kind: str
    severity: str
    group: Mapping[str, str | int]
    code: int | None
    """The code of the group, or else the code with the most failures."""
    fired_at: datetime
    resolved_at: datetime | None = None
    notified: bool = False
    failures: int = 0
    account_wide: bool = False
    """For kind health: the problem affects the whole account."""


class Mute(Struct, frozen=True):
    """The alert that reports the cause instead, and why."""

    by: int
    why: MuteReason


def find_mutes(alerts: Sequence[OpenAlert], now: datetime) -> dict[int, Mute]:
    """For each firing alert that is muted: the alert that mutes it."""
    current = [a for a in alerts if a.resolved_at is None or now - a.resolved_at < MUTES_AFTER_END]
    leaders = sorted(current, key=_precedence, reverse=True)
    by_code: dict[int | None, list[OpenAlert]] = {}
    for leader in leaders:
        by_code.setdefault(leader.code, []).append(leader)
    account_wide_leaders = [leader for leader in leaders if is_account_wide(leader)]
    found: dict[int, Mute] = {}
    for alert in current:
        if alert.resolved_at is not None:
            continue
        cause = next(
            (each for each in account_wide_leaders if _outranks(each, alert) and _causes(each, alert)), None
        )
        leading = cause or next(
            (each for each in by_code[alert.code] if _outranks(each, alert) and _shares_cause(each, alert)),
            None,
        )
        if leading is not None:
            found[alert.id] = Mute(leading.id, "cause" if cause else "incident")
    return found


def is_account_wide(alert: OpenAlert) -> bool:
    """Whether its cause affects every message of the account or number."""
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
        alert.notified,
        alert.resolved_at is None,
        alert.failures,
        -alert.id,
    )


def _outranks(leader: OpenAlert, alert: OpenAlert) -> bool:
    """A strict order, so that two alerts never mute each other. A resolved alert mutes only if it was notified."""
    if leader.id == alert.id or (leader.resolved_at is not None and not leader.notified):
        return False
    return _precedence(leader) > _precedence(alert)


def _causes(cause: OpenAlert, alert: OpenAlert) -> bool:
    if not _overlaps(cause, alert):
        return False
    if alert.kind == "silence":
        return True
    return alert.kind in _COUNTING and alert.code is not None and _is_account_wide_code(alert.code)


def _shares_cause(leader: OpenAlert, alert: OpenAlert) -> bool:
    fired_together = abs(leader.fired_at - alert.fired_at) <= SAME_CAUSE_WITHIN
    if alert.kind == leader.kind == "silence":
        return fired_together and leader.rule == alert.rule
    if alert.code is None or alert.kind not in _COUNTING or leader.kind not in _COUNTING:
        return False
    return fired_together or _overlaps(leader, alert, DIMENSIONS)


def _overlaps(
    one: OpenAlert, other: OpenAlert, dimensions: Sequence[str] = ("phone_number_id", "waba_id")
) -> bool:
    """Whether both may cover the same messages: every dimension that both name has the same value."""
    return all(
        one.group[name] == other.group[name]
        for name in dimensions
        if name in one.group and name in other.group
    )
