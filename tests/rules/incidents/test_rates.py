"""When a failure rate is above the limit, and when it is low enough for a recovery."""

import pytest

from webhook_app.rules.counts.failure_rate import Counts, measure
from webhook_app.rules.incidents.alerts import Reading
from webhook_app.rules.incidents.rates import judge_rate
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.suppressions.explained_periods import is_rate_high

RULE = Rule(name="a", threshold=0.02, resolve_below=0.015)


def rule(**changes):
    return Rule(**({"name": "a", "threshold": 0.02, "resolve_below": 0.015} | changes))


@pytest.mark.parametrize(
    ("changes", "attempts", "failures", "is_above"),
    [
        ({}, 1040, 40, True),  # 3.8 %, at least 2.3 %
        ({}, 1000, 30, False),  # 3 %, but only at least 1.7 %
        ({"confidence": 0.95}, 1000, 30, True),
        ({"confidence": 0}, 1000, 30, True),
        ({"confidence": 0}, 1000, 20, False),  # 2 % is not above 2 %
        ({"confidence": 0}, 1000, 21, True),
        ({}, 49, 49, False),
        ({}, 50, 50, True),
        ({"min_attempts": 51}, 50, 50, False),
        ({}, 50, 9, False),
        ({}, 50, 10, True),
        ({"min_failures": 11}, 50, 10, False),
        ({}, 60, 75, True),  # more failures than attempts: all failed
    ],
)
def test_it_is_above_with_enough_attempts_enough_failures_and_certainty(
    changes, attempts, failures, is_above
):
    judgement = judge_rate(rule(**changes), measure(attempts, failures))
    assert (judgement.reading is Reading.ABOVE) is is_above


def test_the_rules_confidence_decides_whatever_interval_the_rate_shows():
    wide, narrow = measure(1000, 30, 0.999999), measure(1000, 30, 0.5)
    first, second = judge_rate(RULE, wide), judge_rate(RULE, narrow)
    assert (first.reading, first.text) == (second.reading, second.text)


def test_the_raw_rate_recovers_at_exactly_the_limit_not_yet():
    assert judge_rate(RULE, measure(1000, 15)).reading is Reading.BETWEEN
    assert judge_rate(RULE, measure(1000, 14)).reading is Reading.BELOW


def test_few_failures_at_a_high_rate_neither_raise_nor_recover():
    assert judge_rate(RULE, measure(60, 5)).reading is Reading.BETWEEN


def test_a_rule_with_a_second_threshold_says_when_the_lower_bound_exceeds_that_too():
    second = rule(escalate_above=0.2)
    assert judge_rate(second, measure(1000, 300)).escalates
    assert not judge_rate(second, measure(1000, 210)).escalates, "2.1 in 10 may still be less than 2"
    assert not judge_rate(RULE, measure(1000, 900)).escalates


@pytest.mark.parametrize(
    ("rate", "closeness"),
    [(measure(1000, 10), 0.2), (measure(1000, 200), 8.2), (measure(25, 20), 0.5), (None, 0.0)],
)
def test_a_judgement_has_the_distance_to_firing(rate, closeness):
    assert judge_rate(RULE, rate).closeness == pytest.approx(closeness, abs=0.15)


def test_a_rule_on_the_raw_rate_claims_no_certainty():
    assert "confidence" not in judge_rate(rule(confidence=0), measure(1000, 60)).text


LIST = rule(windows=(15, 60, 360, 1440, 10_080), min_attempts=0, min_failures=3)


@pytest.mark.parametrize(("failures", "attempts"), [(3, 3), (3, 5), (5, 20), (9, 100), (17, 300), (44, 1200)])
def test_with_a_list_of_windows_the_exact_bound_alone_says_what_is_enough(failures, attempts):
    assert judge_rate(LIST, Counts(attempts, failures)).reading is Reading.ABOVE
    assert judge_rate(LIST, Counts(attempts, failures - 1)).reading is not Reading.ABOVE


def test_with_a_list_of_windows_the_allowed_error_is_shared_between_them():
    one, five = (rule(windows=windows, min_attempts=0, min_failures=3) for windows in ((15,), LIST.windows))
    assert one.window_error == pytest.approx(0.001)
    assert five.window_error == pytest.approx(0.0002)
    enough_for_one = Counts(1200, 41)
    assert judge_rate(one, enough_for_one).reading is Reading.ABOVE
    assert judge_rate(five, enough_for_one).reading is not Reading.ABOVE


def test_a_usual_share_raises_the_limit_by_half_of_it_and_recovery_is_the_usual_share():
    usual = judge_rate(LIST, Counts(2000, 100), 0.05)
    assert (usual.reading, usual.limit) == (Reading.BETWEEN, pytest.approx(0.075))
    assert judge_rate(LIST, Counts(2000, 80), 0.05).reading is Reading.BELOW
    assert judge_rate(LIST, Counts(2000, 240), 0.05).reading is Reading.ABOVE
    assert "the limit, 1.5 times the usual share, is 7.5 %" in usual.text


def test_no_past_makes_it_usual_that_more_than_half_fails():
    outage = judge_rate(LIST, Counts(100, 70), 0.7)
    assert (outage.reading, outage.limit) == (Reading.ABOVE, 0.5)
    assert "the highest limit that a usual share sets is 50 %" in outage.text
    assert judge_rate(LIST, Counts(100, 51), 0.7).reading is Reading.BETWEEN
    assert judge_rate(LIST, Counts(100, 49), 0.7).reading is Reading.BELOW
    assert is_rate_high(LIST, Counts(100, 60), 0.7)
