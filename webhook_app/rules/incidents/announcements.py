"""Whether people are told of an alert, why, and where: facts and `now` in, a reason and channels out.

An alert is what is; an announcement is what is said about it. Nothing is sent here.
"""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.incidents.rule_keys import SEVERITIES

LONGEST_REPEAT_HOURS = 24.0


class NotifiedState(Struct, frozen=True, kw_only=True):
    """What is remembered of an alert's announcements, and what people have said about them."""

    severity: str
    """As it is now."""
    notified_severity: str = ""
    """As it was last told; empty: nobody has been told."""
    notified_at: datetime | None = None
    repeats: int = 0
    acknowledged: bool = False
    snoozed_until: datetime | None = None
    muted: bool = False
    """By a silence, or because another alert tells of the same cause."""


def reason_to_tell(
    rule: Rule, told: NotifiedState, now: datetime
) -> Literal["fired", "escalated", "repeated"] | None:
    """Why a firing alert is to be told now.

    1. Muted: not at all; what was never told is told when nothing mutes it any more.
    2. It got worse: told to everybody, also to who has acknowledged or snoozed it.
    3. It goes on and nobody takes care of it: repeated at growing intervals.
    """
    if told.muted:
        return None
    if told.notified_at is None:
        return "fired"
    if told.notified_severity and rank(told.severity) > rank(told.notified_severity):
        return "escalated"
    resting = told.acknowledged or (told.snoozed_until is not None and now < told.snoozed_until)
    due = now - told.notified_at >= repeat_after(rule, told.repeats)
    return "repeated" if due and not resting else None


def repeat_after(rule: Rule, repeats: int) -> timedelta:
    """How long after the last notification a reminder is due: doubling, at most a day or the rule's own."""
    longest = max(LONGEST_REPEAT_HOURS, rule.repeat_hours)
    return timedelta(hours=min(rule.repeat_hours * 2.0 ** min(repeats, 16), longest))


def rank(severity: str) -> int:
    """How serious: 0 is info; what nobody knows ranks below."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1


def channels_for(rule: Rule, severity: str) -> tuple[str, ...]:
    """Where an alert of this rule goes: its own channels, or those of the first route that fits it.

    A route that says go_on adds its channels and lets the next ones be asked. Without a fitting one: the rule's.
    """
    chosen: list[str] = []
    fitted = False
    for route in rule.routes:
        fits = (
            (not route.severities or severity in route.severities)
            and (not route.kinds or rule.kind in route.kinds)
            and (not route.rules or rule.name in route.rules)
            and all(rule.labels.get(name) == value for name, value in route.labels.items())
        )
        if fits:
            fitted = True
            chosen += route.channels
            if not route.go_on:
                break
    return tuple(dict.fromkeys(chosen)) if fitted else rule.channels
