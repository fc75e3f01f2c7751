"""Decides when a rule's alert opens, fires and resolves: one judgement in, a verdict with its reason out.

The caller acts on the verdict and counts the messages. announcements.py decides about notifications.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Literal

from msgspec import Struct

from webhook_app.rules.incidents.rules_file.rule import Rule

QUIET_AFTER = timedelta(minutes=30)
QUIET_GAPS = 3
FADED_AFTER = timedelta(hours=24)
CHRONIC_AFTER = timedelta(days=7)


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


def _evaluations(count: int) -> str:
    return "1 evaluation" if count == 1 else f"{count} evaluations"
