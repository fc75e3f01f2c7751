"""Decides when a rule's alert opens, fires and resolves: one judgement in, a verdict with its reason out.

The caller acts on the verdict and counts the messages. announcements.py decides about notifications.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from functools import partial
from typing import Literal, Protocol

from msgspec import Struct

from webhook_app.rules.counts.binomial import lower_bound
from webhook_app.rules.counts.failure_rate import Counts, Rate, wilson
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.formats import number, percent, window_length
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain

DEFAULT_CLASSES = ("broken", "unreachable")
"""The classes that a rule counts if it names no codes, classes or domains."""

FAILURE_KINDS = ("rate", "new_code", "spike", "attention")
"""The kinds that count failed messages. The others have no selectors."""

OUTCOME_KINDS = ("undelivered", "slow")
"""The kinds that count messages without a delivery report, and slow ones."""

COUNTING_KINDS = (*FAILURE_KINDS, *OUTCOME_KINDS)
"""The kinds that judge a share of messages."""

SHARE_KINDS = ("rate", "spike", *OUTCOME_KINDS)
"""The kinds whose threshold is a share of messages."""


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[route]] of the rules file: which alerts go to which channels. An empty condition matches every alert."""

    severities: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    channels: tuple[str, ...]
    go_on: bool = False
    """Whether the routes after this one are evaluated too."""


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[rule]] of the rules file, key for key. Shares are between 0 and 1. docs/rules.md explains each key.

    rule_kinds.py lists the keys and defaults of each kind.
    """

    name: str
    kind: str = "rate"
    codes: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ("code", "phone_number_id")
    window_minutes: int = 15
    """The shortest window if the file gives a list."""
    windows: tuple[int, ...] = ()
    """The list of windows in minutes, shortest first. Not a key of a [[rule]]: `window_minutes` may be a list."""
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
    after_minutes: int = 15
    slow_seconds: int = 60
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
    own_channels: bool = False
    """Whether the file gives `channels` for this rule, so that routes do not apply. Not a key of a [[rule]]."""
    routes: tuple[Route, ...] = ()
    """The routes of the file. Not a key of a [[rule]]."""

    @property
    def window_error(self) -> float:
        """The allowed probability of chance in each window of a list."""
        return (1 - self.confidence) / max(len(self.windows), 1)

    @property
    def measure(self) -> OutcomeMeasure | None:
        """What an outcome kind counts; None for other kinds."""
        if self.kind == "undelivered":
            return OutcomeMeasure("undelivered", self.after_minutes)
        return OutcomeMeasure("slow", self.slow_seconds) if self.kind == "slow" else None


class AlertState(Struct, frozen=True, kw_only=True):
    """The part of an open alert that the next evaluation needs."""

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
    """The transition of the alert, its new counters, and the reason as one sentence."""

    transition: Transition
    evaluations_above: int
    evaluations_below: int
    reason: str


class Reading(Enum):
    """The result of one judgement. BETWEEN is under the threshold but not low enough to count as recovery."""

    NO_DATA = auto()
    ABOVE = auto()
    BETWEEN = auto()
    BELOW = auto()


class Judgement(Struct, frozen=True, kw_only=True):
    """The result of judging one group once, for rules of every kind."""

    reading: Reading
    description: str | Callable[[], str]
    """The middle of a sentence. A function defers the work, since most judgements are never shown."""
    trigger: str = "Above the threshold"
    """The condition that opens the alert, as the beginning of a sentence."""
    recovery: str = "Calm"
    """The condition that resolves the alert, as the beginning of a sentence."""
    closeness: float = 0.0
    """Progress towards the threshold: 1 is above it, 0.5 is half way."""
    limit: float = 0.0
    """The share that counts as above, if there is one. It is stored with the alert."""
    escalates: bool = False
    """Whether the rule's escalation threshold is exceeded too."""

    @property
    def text(self) -> str:
        """The description, built when it is a function."""
        return self.description if isinstance(self.description, str) else self.description()


def selects(rule: Rule, entry: ErrorCode, code: int | None = None) -> bool:
    """Whether the rule counts these failures. A matching code, class or domain is enough.

    For an entry that covers a range, `code` is the code in question; without it any code of the range matches.
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
    """Whether an alert of this rule and group explains such a failure, so that it does not count against a contact."""
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
    """The verdict of one evaluation of a rate rule on one group. `rate` is None when there are no messages."""
    return advance(rule, judge_rate(rule, rate), state)


def advance(rule: Rule, judgement: Judgement, state: AlertState | None) -> AlertVerdict:
    """The transition that one judgement causes.

    1. Above the threshold: pending, and firing after `for_evaluations` in a row. Anything else clears a pending alert.
    2. A firing alert resolves after `resolve_after_evaluations` calm judgements; those without data do not count.
    3. Without data a firing alert keeps firing and keeps its counters.
    """
    if state is not None and state.state == "firing":
        return _advance_firing(rule, judgement, state)
    if judgement.reading is Reading.ABOVE:
        return _advance_pending(rule, judgement, state)
    if state is None:
        return AlertVerdict(Transition.NONE, 0, 0, f"Not above the threshold: {judgement.text}.")
    return AlertVerdict(
        Transition.CLEAR, 0, 0, f"No longer above the threshold before it fired: {judgement.text}."
    )


def _advance_pending(rule: Rule, judgement: Judgement, state: AlertState | None) -> AlertVerdict:
    above = 1 + (state.evaluations_above if state else 0)
    if above >= rule.for_evaluations:
        return AlertVerdict(Transition.FIRE, above, 0, f"{judgement.trigger}: {judgement.text}.")
    transition = Transition.NONE if state else Transition.PEND
    required = _evaluations(rule.for_evaluations)
    return AlertVerdict(
        transition, above, 0, f"{judgement.trigger} for {above} of {required}: {judgement.text}."
    )


def _advance_firing(rule: Rule, judgement: Judgement, state: AlertState) -> AlertVerdict:
    above, below = state.evaluations_above, state.evaluations_below
    if judgement.reading is not Reading.NO_DATA:
        above = above + 1 if judgement.reading is Reading.ABOVE else 0
        below = below + 1 if judgement.reading is Reading.BELOW else 0
    if judgement.reading is Reading.BELOW and below >= rule.resolve_after_evaluations:
        reason = f"{judgement.recovery} for {_evaluations(below)}: {judgement.text}."
        return AlertVerdict(Transition.RESOLVE, above, below, reason)
    without = judgement.reading is Reading.NO_DATA
    still = "Still firing, without enough data to say more" if without else "Still firing"
    return AlertVerdict(Transition.NONE, above, below, f"{still}: {judgement.text}.")


USUAL_FACTOR = 1.5
"""A share has to exceed the usual one by this factor, since lists and campaigns differ."""

USUAL_AT_MOST = 0.5
"""A share of failures above it is never usual, whatever the past was: more messages fail than arrive."""

QUIET_AFTER = timedelta(minutes=30)
QUIET_GAPS = 3
FADED_AFTER = timedelta(hours=24)
CHRONIC_AFTER = timedelta(days=7)


def end_without_recovery(
    last_attempt_at: datetime,
    last_failure_at: datetime,
    fired_at: datetime,
    now: datetime,
    usual_gap: timedelta = timedelta(0),
) -> tuple[Literal["", "quiet", "faded", "chronic"], str]:
    """Whether a firing alert that counts messages ends although nothing recovered, and why as one sentence.

    quiet: no messages for 30 minutes, or for three times the usual gap between two messages if that is longer.
    faded: no failure for 24 hours. chronic: it has fired for seven days.
    """
    if now - last_attempt_at >= min(max(QUIET_AFTER, QUIET_GAPS * usual_gap), FADED_AFTER):
        return (
            "quiet",
            f"No messages since {last_attempt_at:%H:%M} UTC, so whether the cause is fixed is unknown.",
        )
    if now - last_failure_at >= FADED_AFTER:
        return "faded", "No failure for 24 h."
    if now - fired_at >= CHRONIC_AFTER:
        return "chronic", "It has fired for seven days, so it is the usual state by now."
    return "", ""


def usual_share(own: Counts, overall: Counts) -> float:
    """The highest share of failures that is usual for a group with this past, 0 where nothing is known.

    A short past is completed with messages that fail as often as `overall`; chance may then have hidden more.
    """
    if overall.attempts < USUAL_KNOWN:
        return 0.0
    share = overall.failures / overall.attempts
    attempts = own.attempts + USUAL_KNOWN
    failures = own.failures + share * USUAL_KNOWN
    return max(failures / attempts, wilson(round(failures), attempts, _USUAL_CONFIDENCE).high / USUAL_FACTOR)


USUAL_KNOWN = 200
"""Messages from which on a past says what is usual."""
_USUAL_CONFIDENCE = 0.99


def chronic_share(own: Counts) -> float:
    """The highest share that is usual for a group with a chronic finding: its own, and what chance may hide."""
    if own.attempts <= 0:
        return 0.0
    high = wilson(own.failures, own.attempts, _USUAL_CONFIDENCE).high
    return max(min(own.failures / own.attempts, 1.0), high / USUAL_FACTOR)


class WindowFigures(Protocol):
    """Anything that has the counts of a window."""

    @property
    def attempts(self) -> int: ...
    @property
    def failures(self) -> int: ...


def limit_of(rule: Rule, usual: float) -> float:
    """The share above which an alert starts: the threshold, or a multiple of the usual share if that is higher.

    The usual share raises the limit of failures to USUAL_AT_MOST and not further, that of outcomes without end.
    """
    raised = USUAL_FACTOR * usual
    return max(rule.threshold, raised if rule.measure else min(raised, USUAL_AT_MOST))


def judge_rate(rule: Rule, counts: WindowFigures | None, usual: float = 0.0) -> Judgement:
    """Judge a failure rate: above with enough attempts, enough failures and a lower bound over the limit.

    The limit is the threshold, or a multiple of the `usual` share of the group if that is higher. The bound is Wilson's
    for a single window. For a list of windows it is the exact binomial one, with the error shared between the windows,
    so that no smallest number of messages is needed.
    """
    recovery = f"Below {percent(rule.resolve_below)}"
    limit = limit_of(rule, usual)
    description = partial(_describe, rule, counts, limit)
    judged = partial(Judgement, description=description, recovery=recovery, limit=limit)
    if counts is None or counts.attempts < max(rule.min_attempts, 1):
        high = counts is not None and counts.failures > limit * counts.attempts
        close = (
            counts.attempts / rule.min_attempts if counts is not None and high and rule.min_attempts else 0.0
        )
        return judged(reading=Reading.NO_DATA, closeness=close)
    share = min(counts.failures / counts.attempts, 1.0)
    calm_now = Reading.BELOW if share < max(rule.resolve_below, min(usual, limit)) else Reading.BETWEEN
    enough = counts.failures / rule.min_failures
    if enough < 1:
        return judged(reading=calm_now, closeness=min(share / limit, enough))
    low = _lower(rule, counts)
    above = low > limit
    return judged(
        reading=Reading.ABOVE if above else calm_now,
        closeness=min(low / limit, enough),
        escalates=above and 0 < rule.escalate_above < low,
    )


def _lower(rule: Rule, counts: WindowFigures) -> float:
    if not rule.windows:
        return wilson(counts.failures, counts.attempts, rule.confidence).low
    return lower_bound(counts.failures, max(counts.attempts, counts.failures), rule.window_error)


def describe_share(rule: Rule, counts: WindowFigures | None) -> str:
    """What was counted in the window, as the middle of a sentence."""
    length, measure = window_length(rule.window_minutes), rule.measure
    if counts is None or counts.attempts <= 0:
        return f"no messages in {length}"
    messages = f"{number(counts.failures)} of {number(counts.attempts)} messages"
    counted = measure.describe(messages, length) if measure else f"{messages} failed in {length}"
    return f"{counted}, {percent(min(counts.failures / counts.attempts, 1.0))}"


def _describe(rule: Rule, counts: WindowFigures | None, limit: float) -> str:
    description = describe_share(rule, counts)
    if counts is None or counts.attempts <= 0:
        return description
    if counts.attempts < rule.min_attempts:
        return f"{description}; at least {number(rule.min_attempts)} messages are needed to judge"
    if not counts.failures:
        return description
    if counts.failures < rule.min_failures:
        which = "such messages" if rule.measure else "failures"
        return f"{description}; at least {number(rule.min_failures)} {which} are needed to fire"
    lower = _lower(rule, counts)
    bound = f", at least {percent(lower)} ({100 * rule.confidence:g} % confidence)" if rule.confidence else ""
    named = "threshold" if limit <= rule.threshold else f"limit, {USUAL_FACTOR:g} times the usual share,"
    if rule.threshold < limit == USUAL_AT_MOST and not rule.measure:
        named = "highest limit that a usual share sets"
    return f"{description}{bound}; the {named} is {percent(limit)}"


def _evaluations(count: int) -> str:
    return "1 evaluation" if count == 1 else f"{count} evaluations"
