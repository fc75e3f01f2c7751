"""The states of an alert as tables of readings."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.counts.failure_rate import measure
from webhook_app.rules.incidents.alerts import AlertState, Transition, advance, end_without_recovery
from webhook_app.rules.incidents.rates import judge_rate
from webhook_app.rules.incidents.rules_file.rule import Rule

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


def decide(a_rule, rate, state):
    """The verdict of one evaluation on a failure rate."""
    return advance(a_rule, judge_rate(a_rule, rate), state)


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


def test_no_data_leaves_the_counters_of_a_firing_alert_alone():
    for rate in (None, measure(0, 0), FEW):
        verdict = decide(RULE, rate, firing(evaluations_above=7, evaluations_below=3))
        assert (verdict.evaluations_above, verdict.evaluations_below) == (7, 3)


def test_a_firing_alert_counts_evaluations_above_and_restarts_after_any_other():
    seen = [decide(RULE, rate, firing(evaluations_above=7)).evaluations_above for rate in (HIGH, MIDDLE, LOW)]
    assert seen == [8, 0, 0]


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
