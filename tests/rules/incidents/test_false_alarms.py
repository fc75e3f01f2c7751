"""What the default rules do to healthy and to failing traffic, minute by minute, with seeded draws.

Windows overlap as they do in service: each look counts the last minutes up to a week, the next one is a minute later.
Time is an argument. `pytest -s tests/rules/incidents/test_false_alarms.py` prints the figures.
"""

from bisect import bisect_left
from collections import deque
from itertools import accumulate
from math import comb, sqrt
from random import Random

import pytest
from msgspec.structs import replace

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import AlertState, Judgement, Reading, Transition, advance
from webhook_app.rules.incidents.anomalies import judge_spike
from webhook_app.rules.incidents.rates import judge_rate
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

_JUDGING = [rule for rule in parse_rules(default_rules_text()) if rule.kind in ("rate", "spike")]
DEFAULTS = tuple({(rule.kind, rule.threshold, rule.windows): rule for rule in reversed(_JUDGING)}.values())
"""Those that judge how much fails, one of each kind of judgement: a single series is the same group to every level."""
RULE = _JUDGING[0]
CALM = Judgement(reading=Reading.BELOW, description="")
WINDOW = RULE.window_minutes
DAY_MINUTES = 24 * 60
NOTHING_KNOWN = Counts(0, 0)


def minutes(random, attempts_per_window, share):
    """Endless (attempts, failures) of one minute each, in binomial draws."""
    per_minute = attempts_per_window / WINDOW
    table = {}
    for size in (int(per_minute), int(per_minute) + 1):
        mass = [comb(size, k) * share**k * (1 - share) ** (size - k) for k in range(size + 1)]
        table[size] = list(accumulate(mass))[:-1]
    owed = random.random()
    while True:
        owed += per_minute
        size = int(owed)
        owed -= size
        yield size, bisect_left(table[size], random.random())


class Windows:
    """The counts of several windows that end at the same minute; each minute they move on by one."""

    def __init__(self, lengths, earlier):
        self._minutes = deque(earlier, maxlen=max(lengths))
        self.counts = {}
        for length in lengths:
            held = list(self._minutes)[-length:]
            self.counts[length] = [sum(column) for column in zip(*held, strict=True)]

    def add(self, minute):
        for length, sums in self.counts.items():
            gone = self._minutes[-length] if len(self._minutes) >= length else (0, 0)
            sums[:] = [old + new - lost for old, new, lost in zip(sums, minute, gone, strict=True)]
        self._minutes.append(minute)


def judge(rule, windows, usual):
    """The reading of the first window above, as in service; below the threshold the exact bound needs no look."""
    for length in rule.windows or (rule.window_minutes,):
        counts = Counts(*windows.counts[length])
        if rule.kind == "spike":
            return judge_spike(rule, counts, usual)
        judgement = judge_rate(rule, counts) if counts.failures > rule.threshold * counts.attempts else CALM
        if judgement.reading is Reading.ABOVE:
            return judgement
    return CALM


def first_fire(draws, evaluations, rules=(RULE,), usual=NOTHING_KNOWN, earlier=()):
    """How many looks at full windows it takes until one of the rules fires, None if none ever does."""
    lengths = {length for rule in rules for length in rule.windows or (rule.window_minutes,)}
    windows = Windows(lengths, [*earlier, *(next(draws) for _ in range(WINDOW))])
    states = dict.fromkeys(range(len(rules)))
    for evaluation in range(1, evaluations + 1):
        for place, rule in enumerate(rules):
            verdict = advance(rule, judge(rule, windows, usual), states[place])
            if verdict.transition is Transition.FIRE:
                return evaluation
            above = verdict.evaluations_above
            states[place] = AlertState(state="pending", evaluations_above=above) if above else None
        windows.add(next(draws))
    return None


def false_alarms(rules, seed, series=200):
    random = Random(seed)
    sizes = [
        20 * 250 ** (index / (series - 1)) for index in range(series)
    ]  # 20 to 5 000, evenly in magnitude
    longest = max(max(rule.windows, default=rule.window_minutes) for rule in rules)

    def fires(size):
        draws, usual = minutes(random, size, 0.01), week_before(random, size)
        return first_fire(draws, DAY_MINUTES, rules, usual, [next(draws) for _ in range(longest)]) is not None

    return sum(map(fires, sizes))


def week_before(random, size):
    """What the same healthy series had in the 168 hours that are usual, as a draw."""
    attempts = round(size * 4 * 168)
    return Counts(attempts, max(0, round(random.gauss(0.01 * attempts, sqrt(0.0099 * attempts)))))


def test_of_200_healthy_series_at_most_one_fires_within_a_day():
    fired = false_alarms(DEFAULTS, seed=1)
    print(
        f"\n200 series at a true 1 %, 20 to 5 000 messages per window, a look a minute for 24 h: {fired} fire falsely"
    )
    assert fired <= 1


def test_the_same_traffic_sets_off_a_rule_on_the_raw_rate_again_and_again():
    raw = replace(RULE, windows=(), min_attempts=50, min_failures=1, confidence=0.0)
    fired = false_alarms((raw,), seed=1, series=50)
    print(f"\n50 of the same under a rule on the raw rate: {fired} fire falsely")
    assert fired >= 15


@pytest.mark.parametrize("rules", [(RULE,), DEFAULTS], ids=["the rate rule alone", "all of them"])
def test_one_in_ten_failing_fires_at_the_second_evaluation(rules):
    caught = share_caught(rules, 0.10, evaluations=2, seed=2)
    print(f"\na true 10 % at 500 messages per window, by the second look: {100 * caught:.1f} %")
    assert caught >= 0.99


@pytest.mark.parametrize(
    ("rules", "evaluations"), [((RULE,), 30), (DEFAULTS, 15)], ids=["the rate rule alone", "all of them"]
)
def test_one_in_twenty_failing_is_nearly_always_seen_within_15_minutes_or_by_one_rule_within_30(
    rules, evaluations
):
    caught = share_caught(rules, 0.05, evaluations, seed=3)
    print(f"\na true 5 % at 500 messages per window, within {evaluations} minutes: {100 * caught:.1f} %")
    assert caught >= 0.95


def share_caught(rules, share, evaluations, seed, runs=1000):
    """The share of runs that fire, after a healthy hour; longer windows than that could only fire sooner."""
    random = Random(seed)
    short = [up_to_an_hour(rule) for rule in rules]

    def fires():
        healthy, failing = minutes(random, 500, 0.01), minutes(random, 500, share)
        earlier = [next(healthy) for _ in range(60)]
        return first_fire(failing, evaluations, short, week_before(random, 500), earlier) is not None

    return sum(fires() for _ in range(runs)) / runs


def up_to_an_hour(rule):
    """The rule with its short windows, each with the same allowed error as before."""
    windows = tuple(length for length in rule.windows if length <= 60)
    confidence = 1 - rule.window_error * max(len(windows), 1)
    return replace(rule, windows=windows, confidence=confidence)


@pytest.mark.parametrize("share", [0.01, 0.10])
def test_the_draws_have_the_share_and_the_volume_that_they_claim(share):
    draws = minutes(Random(4), 500, share)
    attempts, failures = (sum(column) for column in zip(*(next(draws) for _ in range(6000)), strict=True))
    assert attempts == pytest.approx(200_000, rel=0.001)
    assert failures / attempts == pytest.approx(share, rel=0.08)
