"""When a rule's alert begins, fires, repeats and ends: a rate and `now` in, a verdict with its reason out.

Acting on a verdict (rows, notifications, silences) is the caller's job; nothing is counted or stored here.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Literal

from msgspec import Struct

from webhook_app.rules.failure_rate import Rate, wilson
from webhook_app.whatsapp.error_codes import ErrorCode, explain

DEFAULT_CLASSES = ("broken", "unreachable")
"""What "failure rate" means when a rule names no codes, classes or domains."""

LONGEST_REPEAT_HOURS = 24.0


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[rule]] of the rules file, key for key; shares between 0 and 1. docs/rules.md explains each."""

    name: str
    kind: str = "rate"
    codes: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ("code", "phone_number_id")
    window_minutes: int = 15
    threshold: float
    min_attempts: int = 50
    min_failures: int = 10
    confidence: float = 0.999
    for_evaluations: int = 2
    resolve_below: float
    resolve_after_evaluations: int = 4
    severity: str = "warning"
    repeat_hours: float = 4.0
    channels: tuple[str, ...] = ("slack",)
    runbook: str = ""


class AlertState(Struct, frozen=True, kw_only=True):
    """What is remembered of an open alert between two evaluations."""

    state: Literal["pending", "firing"]
    evaluations_above: int = 0
    evaluations_below: int = 0
    fired_at: datetime | None = None
    notified_at: datetime | None = None
    acknowledged: bool = False
    snoozed_until: datetime | None = None
    repeats: int = 0
    """How many reminders have gone out since it fired."""


class Transition(StrEnum):
    NONE = auto()
    PEND = auto()
    FIRE = auto()
    CLEAR = auto()
    RESOLVE = auto()
    REPEAT = auto()


class Verdict(Struct, frozen=True):
    """What is to happen to the alert, the counters to remember, and why in one sentence."""

    transition: Transition
    evaluations_above: int
    evaluations_below: int
    reason: str


class _Reading(Enum):
    NO_DATA = auto()
    ABOVE = auto()
    BETWEEN = auto()
    BELOW = auto()


def selects(rule: Rule, entry: ErrorCode, code: int | None = None) -> bool:
    """Whether the rule counts these failures: by code, class or domain, and one of them is enough.

    An entry may stand for a range: `code` says which of its codes is meant; without it any of them will do.
    """
    if not (rule.codes or rule.classes or rule.domains):
        return entry.failure_class in DEFAULT_CLASSES
    first, last = (entry.code, entry.code_to) if code is None else (code, code)
    return (
        any(first <= wanted <= last for wanted in rule.codes)
        or entry.failure_class in rule.classes
        or entry.domain in rule.domains
    )


def covers(
    rule: Rule,
    group: Mapping[str, str],
    code: int,
    phone_number_id: str,
    template: str = "",
    campaign: str = "",
    country: str = "",
    waba_id: str = "",
) -> bool:
    """Whether an alert of this rule and group explains such a failure: then no contact is blamed for it."""
    facts = {
        "code": str(code),
        "phone_number_id": phone_number_id,
        "waba_id": waba_id,
        "template": template,
        "campaign": campaign,
        "country": country,
    }
    return selects(rule, explain(code), code) and all(
        facts.get(key) == str(value) for key, value in group.items()
    )


def decide(rule: Rule, rate: Rate | None, state: AlertState | None, now: datetime) -> Verdict:
    """What one evaluation of one group changes. `rate` counts what the rule selects, None without messages.

    1. Above: enough attempts, enough failures, and the Wilson lower bound over the threshold.
    2. Above `for_evaluations` times in a row: pending, then firing. Anything else clears a pending alert.
    3. Firing, and under `resolve_below` with enough attempts `resolve_after_evaluations` times: resolved.
    4. Too few attempts say nothing: a firing alert keeps firing and keeps its counters.
    5. Firing still, and nobody has acknowledged or snoozed it: repeated, at growing intervals.
    """
    if state is not None and state.state == "firing":
        return _decide_firing(rule, rate, state, now)
    if rate is not None and _read(rule, rate) is _Reading.ABOVE:
        return _rise(rule, rate, state)
    seen = _describe(rule, rate)
    if state is None:
        return Verdict(Transition.NONE, 0, 0, f"Not above the threshold: {seen}.")
    return Verdict(Transition.CLEAR, 0, 0, f"No longer above the threshold before it fired: {seen}.")


def _rise(rule: Rule, rate: Rate, state: AlertState | None) -> Verdict:
    above = 1 + (state.evaluations_above if state else 0)
    seen = _describe(rule, rate)
    if above >= rule.for_evaluations:
        return Verdict(Transition.FIRE, above, 0, f"Above the threshold: {seen}.")
    step = Transition.NONE if state else Transition.PEND
    asked = _evaluations(rule.for_evaluations)
    return Verdict(step, above, 0, f"Above the threshold for {above} of the {asked} it takes: {seen}.")


def _decide_firing(rule: Rule, rate: Rate | None, state: AlertState, now: datetime) -> Verdict:
    reading = _read(rule, rate)
    above, below = state.evaluations_above, state.evaluations_below
    if reading is not _Reading.NO_DATA:
        above = above + 1 if reading is _Reading.ABOVE else 0
        below = below + 1 if reading is _Reading.BELOW else 0
    seen = _describe(rule, rate)
    if reading is _Reading.BELOW and below >= rule.resolve_after_evaluations:
        calm = f"Below {_percent(rule.resolve_below)} for {_evaluations(below)}"
        return Verdict(Transition.RESOLVE, above, below, f"{calm}: {seen}.")
    still = "Still firing, without enough data to say more" if reading is _Reading.NO_DATA else "Still firing"
    step = Transition.REPEAT if _is_repeat_due(rule, state, now) else Transition.NONE
    return Verdict(step, above, below, f"{still}: {seen}.")


def _read(rule: Rule, rate: Rate | None) -> _Reading:
    if rate is None or rate.attempts < rule.min_attempts:
        return _Reading.NO_DATA
    enough = rate.failures >= rule.min_failures
    if enough and wilson(rate.failures, rate.attempts, rule.confidence).low > rule.threshold:
        return _Reading.ABOVE
    return _Reading.BELOW if rate.rate < rule.resolve_below else _Reading.BETWEEN


def _is_repeat_due(rule: Rule, state: AlertState, now: datetime) -> bool:
    if state.acknowledged or (state.snoozed_until is not None and now < state.snoozed_until):
        return False
    told_at = state.notified_at or state.fired_at
    return told_at is None or now - told_at >= repeat_after(rule, state.repeats)


def repeat_after(rule: Rule, repeats: int) -> timedelta:
    """How long after the last notification a reminder is due: doubling, at most a day or the rule's own."""
    longest = max(LONGEST_REPEAT_HOURS, rule.repeat_hours)
    return timedelta(hours=min(rule.repeat_hours * 2.0 ** min(repeats, 16), longest))


def _describe(rule: Rule, rate: Rate | None) -> str:
    if rate is None or rate.attempts <= 0:
        return f"no messages in {rule.window_minutes} min"
    seen = (
        f"{_count(rate.failures)} of {_count(rate.attempts)} messages failed in {rule.window_minutes} min, "
        f"{_percent(rate.rate)}"
    )
    if rate.attempts < rule.min_attempts:
        return f"{seen}; at least {_count(rule.min_attempts)} messages are needed to judge"
    if rate.failures < rule.min_failures:
        return f"{seen}; fires from {_count(rule.min_failures)} failures on"
    lower = wilson(rate.failures, rate.attempts, rule.confidence).low
    sure = f", surely over {_percent(lower)}" if rule.confidence else ""
    return f"{seen}{sure}; the threshold is {_percent(rule.threshold)}"


def _count(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _evaluations(number: int) -> str:
    return "1 evaluation" if number == 1 else f"{number} evaluations"
