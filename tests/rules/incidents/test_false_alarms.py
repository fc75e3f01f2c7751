"""What the default rules do to healthy and to failing traffic, minute by minute, with seeded draws.

Windows overlap as they do in service: each look counts the last 15 minutes, the next one is a minute later. Time is an
argument. `pytest -s tests/rules/incidents/test_false_alarms.py` prints the figures.
"""

from bisect import bisect_left
from collections import deque
from itertools import accumulate
from math import comb, sqrt
from random import Random

import pytest
from msgspec.structs import replace

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import AlertState, Transition, advance, judge_rate
from webhook_app.rules.incidents.anomalies import judge_spike
from webhook_app.rules.incidents.rules_file import default_rules_text, parse_rules

DEFAULTS = tuple(rule for rule in parse_rules(default_rules_text()) if rule.kind in ("rate", "spike"))
"""Those that judge how much fails; a healthy series has no code that is new or needs attention."""
RULE = DEFAULTS[0]
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


def judge(rule, counts, usual):
    return judge_spike(rule, counts, usual) if rule.kind == "spike" else judge_rate(rule, counts)


def first_fire(draws, evaluations, rules=(RULE,), usual=NOTHING_KNOWN):
    """How many looks at full windows it takes until one of the rules fires, None if none ever does."""
    window = deque([next(draws) for _ in range(WINDOW)])
    attempts, failures = (sum(column) for column in zip(*window, strict=True))
    states = dict.fromkeys(range(len(rules)))
    for evaluation in range(1, evaluations + 1):
        counts = Counts(attempts, failures)
        for place, rule in enumerate(rules):
            verdict = advance(rule, judge(rule, counts, usual), states[place])
            if verdict.transition is Transition.FIRE:
                return evaluation
            above = verdict.evaluations_above
            states[place] = AlertState(state="pending", evaluations_above=above) if above else None
        window.append(next(draws))
        gone = window.popleft()
        attempts += window[-1][0] - gone[0]
        failures += window[-1][1] - gone[1]
    return None


def false_alarms(rules, seed, series=200):
    random = Random(seed)
    sizes = [
        20 * 250 ** (index / (series - 1)) for index in range(series)
    ]  # 20 to 5 000, evenly in magnitude
    fired = (
        first_fire(minutes(random, size, 0.01), DAY_MINUTES, rules, week_before(random, size))
        for size in sizes
    )
    return sum(evaluation is not None for evaluation in fired)


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
    raw = replace(RULE, confidence=0.0, min_failures=1)
    fired = false_alarms((raw,), seed=1, series=50)
    print(f"\n50 of the same under a rule on the raw rate: {fired} fire falsely")
    assert fired >= 15


@pytest.mark.parametrize("rules", [(RULE,), DEFAULTS], ids=["the rate rule alone", "all of them"])
def test_one_in_ten_failing_fires_at_the_second_evaluation(rules):
    caught = share_caught(rules, 0.10, evaluations=2, seed=2)
    print(f"\na true 10 % at 500 messages per window, by the second look: {100 * caught:.1f} %")
    assert caught >= 0.99


@pytest.mark.parametrize("rules", [(RULE,), DEFAULTS], ids=["the rate rule alone", "all of them"])
def test_one_in_twenty_failing_is_nearly_always_seen_within_15_minutes(rules):
    caught = share_caught(rules, 0.05, evaluations=15, seed=3)
    print(f"\na true 5 % at 500 messages per window, within 15 minutes: {100 * caught:.1f} %")
    assert caught >= 0.95


def share_caught(rules, share, evaluations, seed, runs=2000):
    random = Random(seed)
    fired = [
        first_fire(minutes(random, 500, share), evaluations, rules, week_before(random, 500))
        for _ in range(runs)
    ]
    return sum(evaluation is not None for evaluation in fired) / runs


@pytest.mark.parametrize("share", [0.01, 0.10])
def test_the_draws_have_the_share_and_the_volume_that_they_claim(share):
    draws = minutes(Random(4), 500, share)
    attempts, failures = (sum(column) for column in zip(*(next(draws) for _ in range(6000)), strict=True))
    assert attempts == pytest.approx(200_000, rel=0.001)
    assert failures / attempts == pytest.approx(share, rel=0.08)
