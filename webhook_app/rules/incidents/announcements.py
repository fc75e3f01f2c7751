"""Decides whether an open incident causes another notification, why, and on which channels. Sends nothing."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rule_keys import SEVERITIES

MAX_REMINDER_HOURS = 24.0
_GROWTH_AFTER = timedelta(minutes=30)
FALLBACK_CHANNEL = "log"
"""Replaces channels that are not set up. It is always set up itself."""


class NotifiedState(Struct, frozen=True, kw_only=True):
    """The notifications of an incident so far, and what people did about them."""

    severity: str
    """The current severity."""
    notified_severity: str
    """The severity of the last notification."""
    notified_at: datetime
    """The last notification."""
    is_confirmed: bool = False
    """Whether more than reports of senders shows it, and did not at the last notification."""
    has_grown: bool = False
    """Whether it has reached further numbers or accounts since the last notification, see `notification_reason`."""
    repeats: int = 0
    acknowledged: bool = False
    snoozed_until: datetime | None = None


def notification_reason(
    rule: Rule, state: NotifiedState, now: datetime
) -> Literal["escalated", "repeated"] | None:
    """The reason for another notification of an open incident now; None for none. `rule`: of its leading alert.

    1. A higher severity is always notified, even when the incident is acknowledged or snoozed. So is the first sign
       that senders cannot make up.
    2. Further numbers that fall silent, further accounts without deliveries, and further numbers of an incident that
       gathers what some API keys report are notified in the same way, at most every half an hour.
    3. An incident that is neither acknowledged nor snoozed is repeated at growing intervals.
    """
    if state.is_confirmed or rank(state.severity) > rank(state.notified_severity):
        return "escalated"
    if state.has_grown and now - state.notified_at >= _GROWTH_AFTER:
        return "repeated"
    handled = state.acknowledged or (state.snoozed_until is not None and now < state.snoozed_until)
    due = now - state.notified_at >= reminder_interval(rule, state.repeats)
    return "repeated" if due and not handled else None


def reminder_interval(rule: Rule, repeats: int) -> timedelta:
    """The time from the last notification to the next reminder: it doubles, up to a day or the rule's own value."""
    maximum = max(MAX_REMINDER_HOURS, rule.repeat_hours)
    return timedelta(hours=min(rule.repeat_hours * 2.0 ** min(repeats, 16), maximum))


def rank(severity: str) -> int:
    """The order of a severity: 0 is info, -1 an unknown one."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1


def channels_for(rule: Rule, severity: str) -> tuple[str, ...]:
    """The channels of an alert of this rule: its own, or those of the first matching route.

    A route with go_on adds its channels and continues with the next route. Without a match: the rule's default.
    """
    if rule.own_channels:
        return rule.channels
    chosen: list[str] = []
    matched = False
    for route in rule.routes:
        matches = (
            (not route.severities or severity in route.severities)
            and (not route.kinds or rule.kind in route.kinds)
            and (not route.rules or rule.name in route.rules)
            and all(rule.labels.get(name) == value for name, value in route.labels.items())
        )
        if matches:
            matched = True
            chosen += route.channels
            if not route.go_on:
                break
    return tuple(dict.fromkeys(chosen)) if matched else rule.channels


def unnamed_channels(rules: Sequence[Rule], set_up: Collection[str]) -> tuple[str, ...]:
    """The channels that are set up but that no rule or route uses. They get every notification.

    So an installation that only sets up a channel is notified without a rules file of its own.
    """
    named = {FALLBACK_CHANNEL}
    for rule in rules:
        named.update(*(channels_for(rule, severity) for severity in _severities(rule)))
        named.update(*(route.channels for route in rule.routes))
    return tuple(name for name in set_up if name not in named)


def channels_of_incident(
    rules: Iterable[Rule], severity: str, unnamed: Sequence[str], set_up: Collection[str]
) -> list[str]:
    """The channels of an incident with alerts of these rules, each once; the log in place of one that is not set up.

    `unnamed`: the `unnamed_channels`.
    """
    named = [channel for rule in rules for channel in channels_for(rule, severity)]
    named = [*named, *unnamed] if named else []
    return list(dict.fromkeys(name if name in set_up else FALLBACK_CHANNEL for name in named))


def missing_channels(rules: Sequence[Rule], set_up: Collection[str]) -> tuple[str, ...]:
    """One sentence for each rule or route that names a channel that is not set up."""
    named = [(f"rule {rule.name!r}", rule.channels) for rule in rules if rule.own_channels]
    routes = rules[0].routes if rules else ()
    named += [(f"route {number}", route.channels) for number, route in enumerate(routes, 1)]
    return tuple(
        f"{where}: the channel {name} is not set up"
        for where, channels in named
        for name in channels
        if name not in set_up
    )


def _severities(rule: Rule) -> set[str]:
    """The severities that alerts of this rule may have."""
    escalates = rule.escalate_above > 0 or rule.kind == "health"
    return {rule.severity, rule.escalate_to} if escalates else {rule.severity}
