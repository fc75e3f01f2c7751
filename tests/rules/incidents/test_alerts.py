"""The states of an alert as tables of readings, and which failures an alert explains."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.counts.failure_rate import Counts, measure
from webhook_app.rules.incidents.alerts import (
    AlertState,
    Reading,
    Rule,
    Transition,
    covers,
    decide,
    end_without_recovery,
    judge_rate,
    selects,
)
from webhook_app.rules.suppressions.explained_periods import is_rate_high
from webhook_app.whatsapp.errors.catalogue import explain

NONE, PEND, FIRE, CLEAR, RESOLVE = Transition

RULE = Rule(name="a", threshold=0.02, resolve_below=0.015)

HIGH = measure(1000, 60)
MIDDLE = measure(1000, 18)  # 1.8 %: under the threshold, not under resolve_below
LOW = measure(1000, 3)
FEW = measure(49, 0)


def rule(**changes):
    return Rule(**({"name": "a", "threshold": 0.02, "resolve_below": 0.015} | changes))


def firing(**changes):
    return AlertState(state="firing", **({"evaluations_above": 2} | changes))


def pending(above=1):
    return AlertState(state="pending", evaluations_above=above)


def run(a_rule, rates):
    """The transitions of an alert over successive evaluations."""
    state, seen = None, []
    for rate in rates:
        verdict = decide(a_rule, rate, state)
        seen.append(verdict.transition)
        if verdict.transition in (CLEAR, RESOLVE):
            state = None
        elif verdict.transition is not NONE or state:
            was_firing = state is not None and state.state == "firing"
            is_firing = was_firing or verdict.transition is FIRE
            state = AlertState(
                state="firing" if is_firing else "pending",
                evaluations_above=verdict.evaluations_above,
                evaluations_below=verdict.evaluations_below,
            )
    return seen


@pytest.mark.parametrize(
    ("rates", "transitions"),
    [
        ([HIGH, HIGH], [PEND, FIRE]),
        ([HIGH, HIGH, HIGH], [PEND, FIRE, NONE]),
        ([HIGH, LOW, HIGH, HIGH], [PEND, CLEAR, PEND, FIRE]),
        ([HIGH, MIDDLE, HIGH], [PEND, CLEAR, PEND]),
        ([HIGH, None, HIGH], [PEND, CLEAR, PEND]),
        ([HIGH, FEW, HIGH], [PEND, CLEAR, PEND]),
        ([HIGH, HIGH, LOW, LOW, LOW, LOW, LOW], [PEND, FIRE, NONE, NONE, NONE, RESOLVE, NONE]),
        ([HIGH, HIGH, LOW, LOW, LOW, HIGH, LOW, LOW], [PEND, FIRE, *[NONE] * 6]),
        ([HIGH, HIGH, LOW, LOW, LOW, MIDDLE, LOW, LOW, LOW, LOW], [PEND, FIRE, *[NONE] * 7, RESOLVE]),
        ([HIGH, HIGH, LOW, LOW, LOW, None, FEW, LOW], [PEND, FIRE, *[NONE] * 5, RESOLVE]),
        ([HIGH, HIGH, *[None] * 60], [PEND, FIRE, *[NONE] * 60]),
        ([HIGH, HIGH, *[FEW] * 60], [PEND, FIRE, *[NONE] * 60]),
        ([HIGH, HIGH, *[MIDDLE] * 60], [PEND, FIRE, *[NONE] * 60]),
        ([None, FEW, LOW, MIDDLE], [NONE] * 4),
    ],
)
def test_an_alert_goes_from_pending_to_firing_to_resolved(rates, transitions):
    assert run(RULE, rates) == transitions


def test_with_one_evaluation_it_fires_at_once_and_with_three_it_waits():
    assert run(rule(for_evaluations=1), [HIGH, HIGH]) == [FIRE, NONE]
    assert run(rule(for_evaluations=3), [HIGH, HIGH, HIGH]) == [PEND, NONE, FIRE]


def test_a_rule_that_now_asks_for_fewer_evaluations_fires_what_was_pending():
    verdict = decide(rule(for_evaluations=1), HIGH, pending(4))
    assert (verdict.transition, verdict.evaluations_above) == (FIRE, 5)


@pytest.mark.parametrize(
    ("changes", "attempts", "failures", "fires"),
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
def test_it_fires_with_enough_attempts_enough_failures_and_certainty(changes, attempts, failures, fires):
    verdict = decide(rule(for_evaluations=1, **changes), measure(attempts, failures), None)
    assert (verdict.transition is FIRE) is fires


def test_the_rules_confidence_decides_whatever_interval_the_rate_shows():
    wide, narrow = measure(1000, 30, 0.999999), measure(1000, 30, 0.5)
    once = rule(for_evaluations=1)
    assert decide(once, wide, None) == decide(once, narrow, None)


def test_the_raw_rate_resolves_at_exactly_the_limit_not_yet():
    once = rule(resolve_after_evaluations=1)
    assert decide(once, measure(1000, 15), firing()).transition is NONE
    assert decide(once, measure(1000, 14), firing()).transition is RESOLVE


def test_no_data_leaves_the_counters_of_a_firing_alert_alone():
    for rate in (None, measure(0, 0), FEW):
        verdict = decide(RULE, rate, firing(evaluations_above=7, evaluations_below=3))
        assert (verdict.evaluations_above, verdict.evaluations_below) == (7, 3)


def test_a_firing_alert_counts_evaluations_above_and_restarts_after_any_other():
    seen = [decide(RULE, rate, firing(evaluations_above=7)).evaluations_above for rate in (HIGH, MIDDLE, LOW)]
    assert seen == [8, 0, 0]


def test_few_failures_at_a_high_rate_neither_raise_nor_recover():
    odd = measure(60, 5)
    assert decide(RULE, odd, None).transition is NONE
    assert decide(RULE, odd, firing(evaluations_below=3)).evaluations_below == 0


OF_1040 = "40 of 1 040 messages failed in 15 min, 3.85 %, at least 2.31 % (99.9 % confidence); the threshold is 2 %."
OF_1000 = (
    "12 of 1 000 messages failed in 15 min, 1.2 %, at least 0.48 % (99.9 % confidence); the threshold is 2 %."
)
OF_49 = "0 of 49 messages failed in 15 min, 0 %; at least 50 messages are needed to judge."
OF_60 = "5 of 60 messages failed in 15 min, 8.33 %; at least 10 failures are needed to fire."


@pytest.mark.parametrize(
    ("rate", "state", "reason"),
    [
        (measure(1040, 40), pending(), f"Above the threshold: {OF_1040}"),
        (measure(1040, 40), None, f"Above the threshold for 1 of 2 evaluations: {OF_1040}"),
        (FEW, None, f"Not above the threshold: {OF_49}"),
        (measure(60, 5), pending(), f"No longer above the threshold before it fired: {OF_60}"),
        (None, firing(), "Still firing, without enough data to say more: no messages in 15 min."),
        (measure(1000, 12), firing(evaluations_below=3), f"Below 1.5 % for 4 evaluations: {OF_1000}"),
    ],
)
def test_the_reason_is_a_sentence_with_the_figures(rate, state, reason):
    assert decide(RULE, rate, state).reason == reason


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
    assert "confidence" not in decide(rule(confidence=0), HIGH, None).reason


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


NOW = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
MINUTES, DAYS = timedelta(minutes=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("attempt", "failure", "fired", "how", "why"),
    [
        (29 * MINUTES, 29 * MINUTES, 29 * MINUTES, "", ""),
        (
            30 * MINUTES,
            30 * MINUTES,
            DAYS,
            "quiet",
            "No messages since 11:30 UTC, so whether the cause is fixed is unknown.",
        ),
        (MINUTES, DAYS, DAYS, "faded", "No failure for 24 h."),
        (
            30 * MINUTES,
            DAYS,
            7 * DAYS,
            "quiet",
            "No messages since 11:30 UTC, so whether the cause is fixed is unknown.",
        ),
        (
            MINUTES,
            MINUTES,
            7 * DAYS,
            "chronic",
            "It has fired for seven days, so it is the usual state by now.",
        ),
        (MINUTES, MINUTES, 6.9 * DAYS, "", ""),
    ],
)
def test_an_alert_ends_without_recovery_when_nobody_can_know_or_it_is_usual(
    attempt, failure, fired, how, why
):
    assert end_without_recovery(NOW - attempt, NOW - failure, NOW - fired, NOW) == (how, why)


@pytest.mark.parametrize(
    ("selectors", "selected", "left"),
    [
        ({}, [131026, 190, 424242, -1], [131049]),
        ({"codes": (131026,)}, [131026], [131053, 131049]),
        ({"classes": ("withheld",)}, [131049, 131050, 130472], [131026, 190]),
        ({"domains": ("template",)}, [132015], [131026]),
        ({"codes": (131049,), "domains": ("template",)}, [131049, 132015], [131026, 130472]),
        ({"domains": ("other",)}, [424242], [131026]),  # what nobody knows yet
    ],
)
def test_a_rule_selects_by_code_or_class_or_domain(selectors, selected, left):
    for code in selected:
        assert selects(rule(**selectors), explain(code), code), code
    for code in left:
        assert not selects(rule(**selectors), explain(code), code), code


def test_one_code_of_a_range_is_distinguished_from_its_neighbours():
    one = rule(codes=(250,))
    assert selects(one, explain(250), 250)
    assert not selects(one, explain(251), 251)
    assert selects(one, explain(251))  # which of the range is not said


FACTS = {
    "code": 131026,
    "phone_number_id": "1066",
    "template": "spring",
    "campaign": "c1",
    "country": "DE",
    "waba_id": "77",
}


@pytest.mark.parametrize(
    ("group", "explained"),
    [
        ({}, True),
        ({"code": "131026", "phone_number_id": "1066"}, True),
        ({"code": "131053", "phone_number_id": "1066"}, False),
        ({"code": "131026", "phone_number_id": "1067"}, False),
        ({"template": "spring", "campaign": "c1", "country": "DE", "waba_id": "77"}, True),
        ({"template": "autumn"}, False),
        ({"campaign": ""}, False),
        ({"country": "FR"}, False),
        ({"waba_id": "78"}, False),
    ],
)
def test_an_alert_explains_the_failures_of_its_own_group(group, explained):
    assert covers(RULE, group, **FACTS) is explained


def test_an_alert_does_not_explain_what_its_rule_does_not_count():
    group = {"phone_number_id": "1066"}
    assert covers(rule(classes=("broken",)), group, 131053, "1066")
    assert not covers(rule(classes=("broken",)), group, 131026, "1066")


def test_a_group_of_messages_without_template_explains_only_those():
    assert covers(RULE, {"template": ""}, 131026, "1066")
    assert not covers(RULE, {"template": ""}, 131026, "1066", template="spring")
