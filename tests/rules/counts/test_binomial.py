"""The exact binomial bound: against sums written out, and against the sample sizes that the specification names."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.rules.counts.binomial import fewest_failures, lower_bound, upper_tail

ERROR = 0.001 / 5  # 99.9 % confidence, shared by five windows


def by_hand(failures: int, attempts: int, share: Fraction) -> float:
    terms = (
        comb(attempts, k) * share**k * (1 - share) ** (attempts - k) for k in range(failures, attempts + 1)
    )
    return float(sum(terms))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 99))
def test_the_tail_is_the_sum_of_its_terms(failures, attempts, percent):
    exact = by_hand(failures, attempts, Fraction(percent, 100))
    found = upper_tail(failures, attempts, percent / 100)
    if failures <= attempts * percent / 100:
        assert found == 1.0
        assert exact > 0.3
    else:
        assert found == pytest.approx(exact, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("failures", "attempts"), [(3, 3), (3, 5), (5, 20), (9, 100), (17, 300), (44, 1200)])
def test_two_percent_are_surely_exceeded_by_these_failures_and_by_none_fewer(failures, attempts):
    assert fewest_failures(attempts, 0.02, ERROR) == failures
    assert lower_bound(failures, attempts, ERROR) > 0.02 >= lower_bound(failures - 1, attempts, ERROR)


@given(st.integers(0, 3_000), st.integers(1, 3_000), st.sampled_from([0.01, 0.001, ERROR]))
def test_the_bound_is_where_the_tail_is_the_error(failures, attempts, error):
    low = lower_bound(failures, attempts, error)
    assert 0 <= low <= min(failures / attempts, 1)
    if failures:
        assert upper_tail(min(failures, attempts), attempts, low * 1.0001 + 1e-12) >= error * 0.999
        assert upper_tail(min(failures, attempts), attempts, low * 0.999) < error or low < 1e-9


def test_millions_of_messages_are_judged_too():
    assert fewest_failures(5_000_000, 0.02, ERROR) == pytest.approx(100_000 * (1 + 0.0111), rel=0.002)
    assert lower_bound(101_200, 5_000_000, ERROR) > 0.02
    assert upper_tail(5_000_000, 5_000_000, 0.02) == 0.0


@pytest.mark.parametrize("attempts", [0, 1, 2])
def test_too_few_messages_never_exceed(attempts):
    assert fewest_failures(attempts, 0.02, ERROR) == attempts + 1


def test_nothing_failed_says_nothing():
    assert lower_bound(0, 1_000, ERROR) == 0.0
    assert upper_tail(0, 10, 0.5) == 1.0
    assert upper_tail(11, 10, 0.5) == 0.0
