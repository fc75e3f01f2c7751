"""Judges groups by the kinds that need no fixed failure rate: new codes, spikes, silence, counts and limits.

Takes numbers only: no windows, clocks or queries.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import exp, lgamma, log

from msgspec import Struct

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Judgement, Reading
from webhook_app.rules.incidents.formats import number, percent, window_length
from webhook_app.rules.incidents.rules_file.rule import Rule

RESOLVE_SHARE_OF_LIMIT = 0.75
"""A spike resolves below this share of its limit."""

USUAL_DAYS = (1, 2, 3, 4, 5, 6, 7, 14, 21, 28)
"""Silence is judged against the same hour of this many days before: the last week, and the same day of four weeks."""

_MIN_BASELINE_WINDOWS = 4.0
"""A baseline needs at least this many times `min_attempts` messages."""


def judge_attention(rule: Rule, counts: Counts) -> Judgement:
    """Above from `min_failures` failures on; below once messages are sent without any. No messages: no data."""
    if counts.failures >= rule.min_failures:
        reading = Reading.ABOVE
    elif counts.failures:
        reading = Reading.BETWEEN
    else:
        reading = Reading.BELOW if counts.attempts > 0 else Reading.NO_DATA
    return Judgement(
        reading=reading,
        description=_describe_failures(rule, counts),
        recovery="Messages are delivered again",
        closeness=counts.failures / rule.min_failures,
    )


def judge_new_code(rule: Rule, counts: Counts, *, is_new: bool) -> Judgement:
    """Above while failures with a new code continue; `is_new`: not seen before, or its alert is open."""
    judgement = judge_attention(rule, counts)
    description = f"{judgement.text}, for the first time in {rule.quiet_days} days"
    if not is_new:
        return Judgement(reading=Reading.BELOW, description=f"{judgement.text}, and the code is not new")
    return Judgement(
        reading=judgement.reading,
        description=description,
        recovery="The code has not occurred again",
        closeness=judgement.closeness,
    )


def judge_spike(rule: Rule, counts: Counts, usual: Counts, open_limit: float | None = None) -> Judgement:
    """Above: a share over `factor` times the usual one and over the floor, and improbable (Poisson's upper tail).

    `usual`: the same group over the baseline. `open_limit`: the limit of the open alert. It stays in force, since the
    baseline comes to contain the spike.
    """
    share = counts.failures / counts.attempts if counts.attempts > 0 else 0.0
    usual_share = usual.failures / usual.attempts if usual.attempts > 0 else 0.0
    limit = open_limit or max(rule.factor * usual_share, rule.threshold)
    description = (
        f"{_describe_failures(rule, counts)}, {percent(share)}; the usual share is {percent(usual_share)}"
    )
    has_baseline = usual.attempts >= _MIN_BASELINE_WINDOWS * rule.min_attempts or open_limit is not None
    if counts.attempts < rule.min_attempts or not has_baseline:
        return Judgement(
            reading=Reading.NO_DATA, description=f"{description}; too few messages to judge", limit=limit
        )
    closeness = min(share / limit, counts.failures / rule.min_failures)
    expected = max(usual_share, rule.threshold / rule.factor) * counts.attempts
    is_above = closeness >= 1 and (
        open_limit is not None or poisson_tail(counts.failures, expected) < 1 - rule.confidence
    )
    not_above = Reading.BELOW if share < RESOLVE_SHARE_OF_LIMIT * limit else Reading.BETWEEN
    return Judgement(
        reading=Reading.ABOVE if is_above else not_above,
        description=description,
        recovery=f"Below {percent(RESOLVE_SHARE_OF_LIMIT * limit)}",
        closeness=closeness if is_above else min(closeness, 0.99),
        limit=limit,
    )


def hours_to_compare(hour: datetime) -> dict[int, tuple[datetime, ...]]:
    """The hours whose webhooks say what is usual in this one, by number of days before.

    The neighbours of the hour count too: a summer time change moves daily jobs by an hour.
    """
    return {
        back: tuple(hour - timedelta(days=back, hours=shift) for shift in (1, 0, -1)) for back in USUAL_DAYS
    }


def usual_webhooks(
    hour: datetime, webhooks: Mapping[datetime, Mapping[SeriesKey, int]], minutes: int
) -> dict[int, dict[SeriesKey, float]]:
    """Webhooks of a window of this length at this hour, by number of days before, of days that are known.

    `webhooks`: those of the `hours_to_compare` that are known. The poorest of the three hours of a day counts.
    """
    found: dict[int, dict[SeriesKey, float]] = {}
    for back, hours in hours_to_compare(hour).items():
        known = [webhooks[at] for at in hours if at in webhooks]
        if len(known) == len(hours):
            least = {key: min(each.get(key, 0) for each in known) for key in known[0]}
            found[back] = {key: count * minutes / 60 for key, count in least.items() if count}
    return found


class TrafficFlow(Struct, frozen=True):
    """Webhooks of one group in the window, at the same time of known days before, and the sends in the window.

    `usual`: webhooks by number of days before, of `USUAL_DAYS`.
    """

    events: int
    usual: Mapping[int, float] = {}
    sends: int = 0

    @property
    def expected(self) -> float:
        """Webhooks that this time of day has at least. 0: it may have none, or too few days are known.

        Where two or more weeks are known, the same day of the week counts, so that free days are free; otherwise the
        last seven days. One poor day of three or more is taken for an outage. After a week without any, none are usual.
        """
        last_week = [count for day, count in self.usual.items() if day <= 7]
        same_weekday = sorted(count for day, count in self.usual.items() if day % 7 == 0)
        if not any(last_week):
            return 0.0
        if len(same_weekday) >= 2:
            return same_weekday[1 if len(same_weekday) >= 3 else 0]
        return sorted(last_week)[1] if len(last_week) >= 3 else 0.0


def is_unusual_silence(rule: Rule, flow: TrafficFlow) -> bool:
    """Whether no webhook arrives although enough are usual: accepted sends alone may be made up."""
    return not flow.events and flow.expected >= rule.min_usual


def judge_silence(rule: Rule, flow: TrafficFlow) -> Judgement:
    """Above: no webhook, although enough messages were sent or `min_usual` webhooks are usual at this time."""
    if flow.events:
        description = f"{number(flow.events)} webhooks in {window_length(rule.window_minutes)}"
        return Judgement(reading=Reading.BELOW, description=description, recovery="Webhooks arrive again")
    expected = flow.expected
    closeness = max(expected / rule.min_usual, flow.sends / rule.min_sends)
    description = f"no webhooks in {window_length(rule.window_minutes)}"
    if flow.sends >= rule.min_sends:
        description += f" although {number(flow.sends)} messages were sent"
    elif expected >= rule.min_usual:
        description += f", {number(round(expected))} or more are usual"
    reading = Reading.ABOVE if closeness >= 1 else Reading.NO_DATA
    return Judgement(
        reading=reading,
        description=description,
        trigger="Webhooks have stopped",
        recovery="Webhooks arrive again",
        closeness=closeness,
    )


def judge_count(rule: Rule, found: int, description: str, *, alive: bool = True) -> Judgement:
    """Above from `min_count` on; below under half of that, if there is any traffic (`alive`)."""
    closeness = found / rule.min_count
    if closeness >= 1:
        reading = Reading.ABOVE
    elif not alive:
        reading = Reading.NO_DATA
    else:
        reading = Reading.BELOW if 2 * found < rule.min_count else Reading.BETWEEN
    return Judgement(reading=reading, description=description, closeness=closeness)


def judge_fact(*, bad: bool | None, description: str) -> Judgement:
    """Judge a yes-or-no question; None when the answer is unknown."""
    if bad is None:
        return Judgement(reading=Reading.NO_DATA, description=description)
    return Judgement(
        reading=Reading.ABOVE if bad else Reading.BELOW, description=description, closeness=float(bad)
    )


def judge_limit(rule: Rule, used: int, limit: int) -> Judgement:
    """Judge how much of a limit is used."""
    share = used / limit
    if share >= rule.threshold:
        reading = Reading.ABOVE
    else:
        reading = Reading.BELOW if share < rule.resolve_below else Reading.BETWEEN
    description = f"{number(used)} of {number(limit)} contacts in 24 h, {percent(share)}"
    recovery = f"Below {percent(rule.resolve_below)}"
    return Judgement(
        reading=reading,
        description=description,
        recovery=recovery,
        closeness=share / rule.threshold,
        limit=rule.threshold,
    )


def poisson_tail(least: int, expected: float) -> float:
    """The probability of `least` or more events when `expected` are usual. Accurate where it is small."""
    if least <= 0:
        return 1.0
    if expected <= 0:
        return 0.0
    if least <= expected:
        return 1.0  # the true value is about a half or more, far above any limit
    term = exp(least * log(expected) - expected - lgamma(least + 1))
    total, at = term, least
    while term > total * 1e-12:
        at += 1
        term *= expected / at
        total += term
    return min(total, 1.0)


def _describe_failures(rule: Rule, counts: Counts) -> str:
    length = window_length(rule.window_minutes)
    if counts.attempts <= 0 and counts.failures <= 0:
        return f"no messages in {length}"
    return f"{number(counts.failures)} of {number(counts.attempts)} messages failed in {length}"
