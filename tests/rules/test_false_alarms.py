"""What the default rule does to healthy and to failing traffic, minute by minute, with seeded draws.

Windows overlap as they do in service: each look counts the last 15 minutes, the next one is a minute later.
"""

from bisect import bisect_left
from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from math import comb
from random import Random

import pytest
from msgspec.structs import replace

from webhook_app.rules.alerting import AlertState, Transition, decide
from webhook_app.rules.failure_rate import measure
from webhook_app.rules.rules_file import default_rules_text, parse_rules

RULE = parse_rules(default_rules_text())[0]
WINDOW = RULE.window_minutes
DAY_MINUTES = 24 * 60
START = datetime(2026, 3, 1, tzinfo=UTC)


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


def first_fire(draws, looks, rule=RULE):
    """How many looks at full windows it takes until the rule fires, None if it never does."""
    window = deque([next(draws) for _ in range(WINDOW)])
    attempts, failures = (sum(column) for column in zip(*window, strict=True))
    state = None
    for look in range(1, looks + 1):
        verdict = decide(rule, measure(attempts, failures), state, START + timedelta(minutes=look))
        if verdict.transition is Transition.FIRE:
            return look
        above = verdict.evaluations_above
        state = AlertState(state="pending", evaluations_above=above) if above else None
        window.append(next(draws))
        gone = window.popleft()
        attempts += window[-1][0] - gone[0]
        failures += window[-1][1] - gone[1]
    return None


def false_alarms(rule, seed, series=200):
    random = Random(seed)
    sizes = [
        20 * 250 ** (index / (series - 1)) for index in range(series)
    ]  # 20 to 5 000, evenly in magnitude
    fired = (first_fire(minutes(random, size, 0.01), DAY_MINUTES, rule) for size in sizes)
    return sum(look is not None for look in fired)


def test_of_200_healthy_series_at_most_one_fires_within_a_day():
    assert false_alarms(RULE, seed=1) <= 1


def test_the_same_traffic_sets_off_a_rule_on_the_raw_rate_again_and_again():
    raw = replace(RULE, confidence=0.0, min_failures=1)
    assert false_alarms(raw, seed=1, series=50) >= 15


def test_one_in_ten_failing_is_seen_by_the_second_look():
    random = Random(2)
    looks = [first_fire(minutes(random, 500, 0.10), looks=2) for _ in range(500)]
    assert sum(look is not None for look in looks) >= 0.99 * len(looks)


def test_one_in_twenty_failing_is_nearly_always_seen_within_15_minutes():
    random = Random(3)
    looks = [first_fire(minutes(random, 500, 0.05), looks=15) for _ in range(500)]
    assert sum(look is not None for look in looks) >= 0.94 * len(looks)


@pytest.mark.parametrize("share", [0.01, 0.10])
def test_the_draws_have_the_share_and_the_volume_that_they_claim(share):
    draws = minutes(Random(4), 500, share)
    attempts, failures = (sum(column) for column in zip(*(next(draws) for _ in range(6000)), strict=True))
    assert attempts == pytest.approx(200_000, rel=0.001)
    assert failures / attempts == pytest.approx(share, rel=0.08)
