"""Judges groups by a share of messages that fail: against a threshold, or against what is usual if that is higher.

anomalies.py judges by the kinds that need no fixed failure rate, outcomes.py by reports of delivery.
"""

from functools import partial
from typing import Protocol

from webhook_app.rules.counts.binomial import lower_bound
from webhook_app.rules.counts.failure_rate import Counts, wilson
from webhook_app.rules.incidents.alerts import Judgement, Reading
from webhook_app.rules.incidents.formats import number, percent, window_length
from webhook_app.rules.incidents.rules_file.rule import Rule

USUAL_FACTOR = 1.5
"""A share has to exceed the usual one by this factor, since lists and campaigns differ."""

USUAL_AT_MOST = 0.5
"""A share of failures above it is never usual, whatever the past was: more messages fail than arrive."""

USUAL_KNOWN = 200
"""Messages from which on a past says what is usual."""
_USUAL_CONFIDENCE = 0.99


class WindowFigures(Protocol):
    """Anything that has the counts of a window."""

    @property
    def attempts(self) -> int: ...
    @property
    def failures(self) -> int: ...


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


def chronic_share(own: Counts) -> float:
    """The highest share that is usual for a group with a chronic finding: its own, and what chance may hide."""
    if own.attempts <= 0:
        return 0.0
    high = wilson(own.failures, own.attempts, _USUAL_CONFIDENCE).high
    return max(min(own.failures / own.attempts, 1.0), high / USUAL_FACTOR)


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
