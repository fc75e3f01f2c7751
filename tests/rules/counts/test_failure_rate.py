"""Rates and their intervals, against published values and against the binomial distribution itself.

The figures that docs/rules.md quotes are proved here, without draws.
"""

import re
from math import comb, isclose

import pytest

from tests.support.folders import DOCS
from webhook_app.rules.counts.failure_rate import Interval, Rate, measure, wilson

RULES_PAGE = DOCS / "rules.md"


def binomial(failures, attempts, share):
    return comb(attempts, failures) * share**failures * (1 - share) ** (attempts - failures)


def test_40_of_1040_is_3_8_percent_and_between_2_8_and_5_2():
    found = measure(1040, 40)
    assert (found.attempts, found.failures) == (1040, 40)
    assert found.rate == pytest.approx(0.0384615, abs=1e-7)
    # By the formula in 30 decimal digits.
    assert (found.low, found.high) == pytest.approx((0.028370908154428713, 0.05194919995414948), rel=1e-12)


@pytest.mark.parametrize(
    ("failures", "attempts", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: Wilson's score interval.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0000),
    ],
)
def test_intervals_agree_with_published_ones(failures, attempts, low, high):
    found = wilson(failures, attempts, 0.95)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999, 0.999999, 1 - 1e-16])
@pytest.mark.parametrize(("failures", "attempts"), [(0, 1), (1, 1), (0, 5000), (1, 5000), (37, 50), (50, 50)])
def test_the_raw_rate_lies_inside_its_interval_and_both_inside_0_to_1(failures, attempts, confidence):
    found = wilson(failures, attempts, confidence)
    assert 0 <= found.low <= failures / attempts <= found.high <= 1


def test_more_confidence_and_fewer_attempts_make_the_interval_wider():
    lows = [wilson(40, 1040, confidence).low for confidence in (0, 0.5, 0.95, 0.99, 0.999)]
    assert lows == sorted(lows, reverse=True)
    assert len(set(lows)) == 5
    assert wilson(4, 104, 0.95).low < wilson(40, 1040, 0.95).low


@pytest.mark.parametrize(("failures", "attempts"), [(0, 7), (1, 50), (3, 7), (7, 7)])
def test_confidence_0_leaves_the_raw_rate(failures, attempts):
    found = wilson(failures, attempts, 0)
    assert isclose(found.low, failures / attempts)
    assert isclose(found.high, failures / attempts)


def test_without_attempts_nothing_is_known():
    assert measure(0, 0) == Rate(0, 0, 0.0, 0.0, 1.0)
    assert measure(0, 3) == Rate(0, 3, 0.0, 0.0, 1.0)
    assert wilson(0, 0, 0.999) == Interval(0.0, 1.0)


def test_more_failures_than_attempts_count_as_all_failed():
    found = measure(10, 12)
    assert (found.attempts, found.failures, found.rate, found.high) == (10, 12, 1.0, 1.0)
    assert found.low == measure(10, 10).low


def test_one_healthy_window_in_eleven_of_50_messages_is_over_a_raw_2_percent():
    # docs/rules.md quotes this: true rate 1 %, and 2 failures of 50 are 4 %.
    over = sum(binomial(failures, 50, 0.01) for failures in range(51) if measure(50, failures).rate > 0.02)
    assert over == pytest.approx(1 - 0.99**50 - 50 * 0.01 * 0.99**49)
    assert over == pytest.approx(0.0894, abs=0.00005)


def test_the_lower_bound_makes_such_a_misfire_rarer_than_once_in_a_million_windows():
    over = sum(
        binomial(failures, 50, 0.01) for failures in range(10, 51) if wilson(failures, 50, 0.999).low > 0.02
    )
    assert over < 1e-6


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    # Exact, no draws: the probability of all outcomes whose interval holds the true share. Wilson's is right
    # on average and may be some percent off at single points (Brown, Cai, DasGupta 2001).
    def covered(share, attempts):
        intervals = [wilson(failures, attempts, 0.95) for failures in range(attempts + 1)]
        return sum(binomial(k, attempts, share) for k, i in enumerate(intervals) if i.low <= share <= i.high)

    found = [covered(share, n) for share in (0.01, 0.02, 0.05, 0.1, 0.3, 0.5) for n in (50, 200)]
    assert min(found) > 0.9
    assert sum(found) / len(found) == pytest.approx(0.95, abs=0.015)


def test_the_table_of_the_page_has_the_right_figures():
    row = r"^\| (\d+) of (\d+) \| ([\d.]+) % \| ([\d.]+)-([\d.]+) % \| ([\d.]+) % \| (\w+) \|$"
    rows = re.findall(row, RULES_PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == 4
    for failures, attempts, *told, verdict in rows:
        shown, sure = measure(int(attempts), int(failures)), wilson(int(failures), int(attempts), 0.999).low
        assert told == [f"{100 * share:.2f}" for share in (shown.rate, shown.low, shown.high, sure)]
        assert verdict == ("fires" if sure > 0.02 else "quiet")
