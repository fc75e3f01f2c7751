"""What is odd without any share being too high: new codes, spikes, silence. Counts in, a look with its words out.

No windows, clocks or queries: whoever counts hands over numbers.
"""

from collections.abc import Sequence
from math import exp, lgamma, log

from msgspec import Struct

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Judgement, Reading, Rule, count, percent

CALM_SHARE = 0.75
"""A spike is over under this share of what made it one."""

USUAL_DAYS = 7
"""Silence is judged by the same hours of so many days before."""

_LEARNT = 4.0
"""A baseline of fewer attempts than so many smallest windows says nothing."""


def judge_attention(rule: Rule, counts: Counts) -> Judgement:
    """Above from `min_failures` on; over once messages go through again. No messages say nothing."""
    if counts.failures >= rule.min_failures:
        reading = Reading.ABOVE
    elif counts.failures:
        reading = Reading.BETWEEN
    else:
        reading = Reading.BELOW if counts.attempts > 0 else Reading.NO_DATA
    return Judgement(
        reading=reading,
        seen=_failed(rule, counts),
        calm="Messages go through again",
        closeness=counts.failures / rule.min_failures,
    )


def judge_new_code(rule: Rule, counts: Counts, *, is_new: bool) -> Judgement:
    """Above while a code that was new when it came goes on; `is_new`: not met before, or its alert is open."""
    look = judge_attention(rule, counts)
    seen = f"{look.words}, for the first time in {rule.quiet_days} days"
    if not is_new:
        return Judgement(reading=Reading.BELOW, seen=f"{look.words}, and it was met before")
    return Judgement(reading=look.reading, seen=seen, calm="It has not come again", closeness=look.closeness)


def judge_spike(rule: Rule, counts: Counts, usual: Counts, standing_limit: float | None = None) -> Judgement:
    """Above: a share `factor` times the usual one and over the floor, and no whim of chance (Poisson's upper tail).

    `usual`: the same group over the baseline. `standing_limit`: that of the open alert, which a baseline that
    has meanwhile swallowed the spike must not raise.
    """
    share = counts.failures / counts.attempts if counts.attempts > 0 else 0.0
    normal = usual.failures / usual.attempts if usual.attempts > 0 else 0.0
    limit = standing_limit or max(rule.factor * normal, rule.threshold)
    seen = f"{_failed(rule, counts)}, {percent(share)}; usual are {percent(normal)}"
    learnt = usual.attempts >= _LEARNT * rule.min_attempts or standing_limit is not None
    if counts.attempts < rule.min_attempts or not learnt:
        return Judgement(reading=Reading.NO_DATA, seen=f"{seen}; too few messages to judge", limit=limit)
    close = min(share / limit, counts.failures / rule.min_failures)
    expected = max(normal, rule.threshold / rule.factor) * counts.attempts
    odd = close >= 1 and (
        standing_limit is not None or poisson_tail(counts.failures, expected) < 1 - rule.confidence
    )
    calm = Reading.BELOW if share < CALM_SHARE * limit else Reading.BETWEEN
    return Judgement(
        reading=Reading.ABOVE if odd else calm,
        seen=seen,
        calm=f"Below {percent(CALM_SHARE * limit)}",
        closeness=close if odd else min(close, 0.99),
        limit=limit,
    )


class TrafficFlow(Struct, frozen=True):
    """Webhooks of one group: in the window, in the same time of each day before, and sends reported meanwhile."""

    events: int
    usual: Sequence[float] = ()
    sends: int = 0


def judge_silence(rule: Rule, flow: TrafficFlow) -> Judgement:
    """Above: no webhook, although enough messages were sent or this time of day is hardly ever without.

    Hardly ever: of the days before, the second poorest had `min_usual` webhooks, and there were at least three.
    """
    if flow.events:
        seen = f"{count(flow.events)} webhooks in {rule.window_minutes} min"
        return Judgement(reading=Reading.BELOW, seen=seen, calm="Webhooks come again")
    known = sorted(flow.usual)
    expected = known[1] if len(known) >= 3 else 0.0
    close = max(expected / rule.min_usual, flow.sends / rule.min_sends)
    seen = f"no webhooks in {rule.window_minutes} min"
    if flow.sends >= rule.min_sends:
        seen += f" although {count(flow.sends)} messages were sent"
    elif expected >= rule.min_usual:
        seen += f", usual are {count(round(expected))} or more"
    reading = Reading.ABOVE if close >= 1 else Reading.NO_DATA
    return Judgement(reading=reading, seen=seen, calm="Webhooks come again", closeness=close)


def judge_count(rule: Rule, found: int, seen: str, *, alive: bool = True) -> Judgement:
    """Above from `min_count` on; over under half of that, if anything at all happens (`alive`)."""
    close = found / rule.min_count
    if close >= 1:
        reading = Reading.ABOVE
    elif not alive:
        reading = Reading.NO_DATA
    else:
        reading = Reading.BELOW if 2 * found < rule.min_count else Reading.BETWEEN
    return Judgement(reading=reading, seen=seen, closeness=close)


def judge_fact(*, bad: bool | None, seen: str) -> Judgement:
    """Something that is so or not; None: it cannot be told."""
    if bad is None:
        return Judgement(reading=Reading.NO_DATA, seen=seen)
    return Judgement(reading=Reading.ABOVE if bad else Reading.BELOW, seen=seen, closeness=float(bad))


def judge_limit(rule: Rule, used: int, limit: int) -> Judgement:
    """How much of a limit is used up."""
    share = used / limit
    if share >= rule.threshold:
        reading = Reading.ABOVE
    else:
        reading = Reading.BELOW if share < rule.resolve_below else Reading.BETWEEN
    seen = f"{count(used)} of {count(limit)} contacts in 24 h, {percent(share)}"
    calm = f"Below {percent(rule.resolve_below)}"
    return Judgement(
        reading=reading, seen=seen, calm=calm, closeness=share / rule.threshold, limit=rule.threshold
    )


def poisson_tail(least: int, expected: float) -> float:
    """How likely `least` or more are when `expected` are usual. Exact to many digits where it is small."""
    if least <= 0:
        return 1.0
    if expected <= 0:
        return 0.0
    if least <= expected:
        return 1.0  # at least about a half: never the answer to "is this odd?"
    term = exp(least * log(expected) - expected - lgamma(least + 1))
    total, at = term, least
    while term > total * 1e-12:
        at += 1
        term *= expected / at
        total += term
    return min(total, 1.0)


def _failed(rule: Rule, counts: Counts) -> str:
    if counts.attempts <= 0 and counts.failures <= 0:
        return f"no messages in {rule.window_minutes} min"
    return (
        f"{count(counts.failures)} of {count(counts.attempts)} messages failed in {rule.window_minutes} min"
    )
