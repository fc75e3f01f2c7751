"""When a rule's alert begins, fires and ends: one look in, a verdict with its reason out.

Acting on a verdict is the caller's job, and who hears of it is decided in announcing.py; nothing is counted here.
"""

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum, auto
from functools import partial
from typing import Literal, Protocol

from msgspec import Struct

from webhook_app.rules.counts.failure_rate import Rate, wilson
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain

DEFAULT_CLASSES = ("broken", "unreachable")
"""What "failure rate" means when a rule names no codes, classes or domains."""


COUNTING_KINDS = ("rate", "new_code", "spike", "attention")
"""Kinds that count failed messages; the others have no selectors."""


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[route]] of the rules file: which alerts go to which channels. An empty condition holds for all."""

    severities: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    channels: tuple[str, ...]
    go_on: bool = False
    """Whether the routes after it are asked too."""


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[rule]] of the rules file, key for key; shares between 0 and 1. docs/rules.md explains each.

    Which of the keys a kind uses, and with what default, stands in rule_kinds.py.
    """

    name: str
    kind: str = "rate"
    codes: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ("code", "phone_number_id")
    window_minutes: int = 15
    threshold: float = 0.0
    min_attempts: int = 50
    min_failures: int = 10
    confidence: float = 0.999
    factor: float = 3.0
    baseline_hours: int = 168
    quiet_days: int = 30
    min_usual: int = 20
    min_sends: int = 20
    min_count: int = 10
    max_minutes: int = 5
    checks: tuple[str, ...] = ()
    for_evaluations: int = 2
    resolve_below: float = 0.0
    resolve_after_evaluations: int = 4
    severity: str = "warning"
    escalate_above: float = 0.0
    escalate_to: str = "critical"
    repeat_hours: float = 4.0
    channels: tuple[str, ...] = ("slack",)
    labels: dict[str, str] = {}
    runbook: str = ""
    routes: tuple[Route, ...] = ()
    """Those of the file, for a rule that names no channels of its own; no key of a [[rule]]."""


class AlertState(Struct, frozen=True, kw_only=True):
    """What is remembered of an open alert between two evaluations."""

    state: Literal["pending", "firing"]
    evaluations_above: int = 0
    evaluations_below: int = 0


class Transition(StrEnum):
    NONE = auto()
    PEND = auto()
    FIRE = auto()
    CLEAR = auto()
    RESOLVE = auto()


class AlertVerdict(Struct, frozen=True):
    """What is to happen to the alert, the counters to remember, and why in one sentence."""

    transition: Transition
    evaluations_above: int
    evaluations_below: int
    reason: str


class Reading(Enum):
    """What one look at one group says; between the two limits, it speaks neither for nor against an end."""

    NO_DATA = auto()
    ABOVE = auto()
    BETWEEN = auto()
    BELOW = auto()


class Judgement(Struct, frozen=True, kw_only=True):
    """One look at one group, whatever the kind of its rule."""

    reading: Reading
    seen: str | Callable[[], str]
    """In words, as the middle of a sentence; most looks are never told, so the words may come when asked for."""
    calm: str = "Calm"
    """What it is called that lets the alert end, as the beginning of a sentence."""
    closeness: float = 0.0
    """How near it is to firing: at 1 it is above, at 0.5 half way."""
    limit: float = 0.0
    """The share above which it would be, as far as there is one; kept with the alert."""
    escalates: bool = False
    """Above the rule's second threshold too."""

    @property
    def words(self) -> str:
        return self.seen if isinstance(self.seen, str) else self.seen()


def selects(rule: Rule, entry: ErrorCode, code: int | None = None) -> bool:
    """Whether the rule counts these failures: by code, class or domain, and one of them is enough.

    An entry may stand for a range: `code` says which of its codes is meant; without it any of them will do.
    """
    if not (rule.codes or rule.classes or rule.domains):
        return (
            entry.attention == "page" if rule.kind == "attention" else entry.failure_class in DEFAULT_CLASSES
        )
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


def decide(rule: Rule, rate: Rate | None, state: AlertState | None) -> AlertVerdict:
    """What one evaluation of one group of a rate rule changes; None: no messages."""
    return advance(rule, judge_rate(rule, rate), state)


def advance(rule: Rule, look: Judgement, state: AlertState | None) -> AlertVerdict:
    """The life of an alert: what one look at its group changes.

    1. Above `for_evaluations` times in a row: pending, then firing. Anything else clears a pending alert.
    2. Firing, and below `resolve_after_evaluations` times, looks without data not counted: resolved.
    3. No data says nothing: a firing alert keeps firing and keeps its counters.
    """
    if state is not None and state.state == "firing":
        return _advance_firing(rule, look, state)
    if look.reading is Reading.ABOVE:
        return _rise(rule, look, state)
    if state is None:
        return AlertVerdict(Transition.NONE, 0, 0, f"Not above the threshold: {look.words}.")
    return AlertVerdict(
        Transition.CLEAR, 0, 0, f"No longer above the threshold before it fired: {look.words}."
    )


def _rise(rule: Rule, look: Judgement, state: AlertState | None) -> AlertVerdict:
    above = 1 + (state.evaluations_above if state else 0)
    if above >= rule.for_evaluations:
        return AlertVerdict(Transition.FIRE, above, 0, f"Above the threshold: {look.words}.")
    step = Transition.NONE if state else Transition.PEND
    asked = _evaluations(rule.for_evaluations)
    return AlertVerdict(
        step, above, 0, f"Above the threshold for {above} of the {asked} it takes: {look.words}."
    )


def _advance_firing(rule: Rule, look: Judgement, state: AlertState) -> AlertVerdict:
    above, below = state.evaluations_above, state.evaluations_below
    if look.reading is not Reading.NO_DATA:
        above = above + 1 if look.reading is Reading.ABOVE else 0
        below = below + 1 if look.reading is Reading.BELOW else 0
    if look.reading is Reading.BELOW and below >= rule.resolve_after_evaluations:
        reason = f"{look.calm} for {_evaluations(below)}: {look.words}."
        return AlertVerdict(Transition.RESOLVE, above, below, reason)
    without = look.reading is Reading.NO_DATA
    still = "Still firing, without enough data to say more" if without else "Still firing"
    return AlertVerdict(Transition.NONE, above, below, f"{still}: {look.words}.")


class Counted(Protocol):
    """A window's figures."""

    @property
    def attempts(self) -> int: ...
    @property
    def failures(self) -> int: ...


def judge_rate(rule: Rule, counts: Counted | None) -> Judgement:
    """Above: enough attempts, enough failures, and the Wilson lower bound over the threshold."""
    calm = f"Below {percent(rule.resolve_below)}"
    seen = partial(_describe, rule, counts)
    if counts is None or counts.attempts < rule.min_attempts:
        high = counts is not None and counts.failures > rule.threshold * counts.attempts
        close = counts.attempts / rule.min_attempts if counts is not None and high else 0.0
        return Judgement(reading=Reading.NO_DATA, seen=seen, calm=calm, closeness=close, limit=rule.threshold)
    share = min(counts.failures / counts.attempts, 1.0)
    calm_now = Reading.BELOW if share < rule.resolve_below else Reading.BETWEEN
    enough = counts.failures / rule.min_failures
    if enough < 1:
        close = min(share / rule.threshold, enough)
        return Judgement(reading=calm_now, seen=seen, calm=calm, closeness=close, limit=rule.threshold)
    low = wilson(counts.failures, counts.attempts, rule.confidence).low
    above = low > rule.threshold
    return Judgement(
        reading=Reading.ABOVE if above else calm_now,
        seen=seen,
        calm=calm,
        closeness=min(low / rule.threshold, enough),
        limit=rule.threshold,
        escalates=above and 0 < rule.escalate_above < low,
    )


def _describe(rule: Rule, counts: Counted | None) -> str:
    if counts is None or counts.attempts <= 0:
        return f"no messages in {rule.window_minutes} min"
    share = min(counts.failures / counts.attempts, 1.0)
    seen = (
        f"{count(counts.failures)} of {count(counts.attempts)} messages failed in {rule.window_minutes} min, "
        f"{percent(share)}"
    )
    if counts.attempts < rule.min_attempts:
        return f"{seen}; at least {count(rule.min_attempts)} messages are needed to judge"
    if counts.failures < rule.min_failures:
        return f"{seen}; fires from {count(rule.min_failures)} failures on"
    lower = wilson(counts.failures, counts.attempts, rule.confidence).low
    sure = f", surely over {percent(lower)}" if rule.confidence else ""
    return f"{seen}{sure}; the threshold is {percent(rule.threshold)}"


def count(number: int) -> str:
    """With thin groups of three."""
    return f"{number:,}".replace(",", " ")


def percent(share: float) -> str:
    """A share between 0 and 1 with three digits that matter."""
    return f"{100 * share:.3g} %"


def _evaluations(number: int) -> str:
    return "1 evaluation" if number == 1 else f"{number} evaluations"
