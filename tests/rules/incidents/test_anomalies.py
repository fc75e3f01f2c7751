"""New codes, spikes, silence and other kinds: tables of counts and the readings they give."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Reading
from webhook_app.rules.incidents.anomalies import (
    TrafficFlow,
    hours_to_compare,
    judge_attention,
    judge_count,
    judge_fact,
    judge_limit,
    judge_new_code,
    judge_silence,
    judge_spike,
    poisson_tail,
    usual_webhooks,
)
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules

NO_DATA, ABOVE, BETWEEN, BELOW = Reading


def rule(kind: str, **changes) -> Rule:
    text = f'[[rule]]\nname = "a"\nkind = "{kind}"\n'
    return parse_rules(text + "".join(f"{key} = {value}\n" for key, value in changes.items()))[0]


@pytest.mark.parametrize(
    ("attempts", "failures", "reading"),
    [(0, 0, NO_DATA), (1, 1, ABOVE), (500, 1, ABOVE), (500, 0, BELOW), (0, 1, ABOVE)],
)
def test_the_first_failure_that_needs_attention_matters_and_silence_is_no_recovery(
    attempts, failures, reading
):
    assert judge_attention(rule("attention"), Counts(attempts, failures)).reading is reading


@pytest.mark.parametrize(
    ("failures", "is_new", "reading"),
    [(3, True, ABOVE), (2, True, BETWEEN), (0, True, BELOW), (900, False, BELOW)],
)
def test_a_new_code_needs_a_few_failures_and_no_past(failures, is_new, reading):
    judgement = judge_new_code(rule("new_code"), Counts(1000, failures), is_new=is_new)
    assert judgement.reading is reading


@pytest.mark.parametrize(
    ("counts", "usual", "reading"),
    [
        (Counts(1000, 40), Counts(100_000, 1000), ABOVE),  # 4 %, usual 1 %
        (Counts(1000, 25), Counts(100_000, 1000), BETWEEN),  # 2.5 times is under the factor
        (Counts(1000, 12), Counts(100_000, 1000), BELOW),
        (Counts(1000, 9), Counts(100_000, 0), BETWEEN),  # over the floor, too few failures
        (Counts(1000, 4), Counts(100_000, 0), BETWEEN),
        (Counts(1000, 12), Counts(100_000, 0), ABOVE),
        (
            Counts(100, 10),
            Counts(100_000, 3000),
            BETWEEN,
        ),  # ten of a hundred at 3 %: bad luck once in a thousand looks
        (Counts(100, 40), Counts(100_000, 3000), ABOVE),
        (Counts(40, 40), Counts(100_000, 0), NO_DATA),
        (Counts(1000, 400), Counts(199, 0), NO_DATA),  # nothing learnt yet
        (Counts(0, 0), Counts(100_000, 0), NO_DATA),
    ],
)
def test_a_spike_is_far_over_the_usual_over_the_floor_and_no_whim_of_chance(counts, usual, reading):
    assert judge_spike(rule("spike"), counts, usual).reading is reading


def test_a_spike_that_lasts_does_not_become_the_new_normal():
    swallowed = Counts(100_000, 20_000)
    assert judge_spike(rule("spike"), Counts(1000, 200), swallowed).reading is BELOW
    assert judge_spike(rule("spike"), Counts(1000, 200), swallowed, 0.03).reading is ABOVE
    assert judge_spike(rule("spike"), Counts(1000, 25), swallowed, 0.03).reading is BETWEEN
    assert judge_spike(rule("spike"), Counts(1000, 20), swallowed, 0.03).reading is BELOW


def days(*counts):
    """Webhooks of yesterday, of the day before, and so on."""
    return dict(enumerate(counts, 1))


@pytest.mark.parametrize(
    ("flow", "reading"),
    [
        (TrafficFlow(1), BELOW),
        (TrafficFlow(0), NO_DATA),
        (TrafficFlow(0, days(500, 400, 30)), ABOVE),
        (TrafficFlow(0, days(500, 400, 300, 0, 0)), NO_DATA),  # two poor days: a weekend
        (TrafficFlow(0, days(500, 400, 300, 0)), ABOVE),  # one poor day: the last outage
        (TrafficFlow(0, days(500, 500)), NO_DATA),  # two days are too few to know
        (TrafficFlow(0, sends=20), ABOVE),
        (TrafficFlow(0, sends=19), NO_DATA),
        (TrafficFlow(5, days(*[500] * 7), sends=500), BELOW),
    ],
)
def test_silence_is_judged_by_sends_and_by_the_days_before(flow, reading):
    assert judge_silence(rule("silence"), flow).reading is reading


WEEK_WITH_FREE_DAYS = days(0, 0, 500, 500, 500, 500)  # a Monday's last week: Sunday, Saturday, Friday …


@pytest.mark.parametrize(
    ("usual", "reading"),
    [
        (WEEK_WITH_FREE_DAYS | {7: 500, 14: 500, 21: 500, 28: 500}, ABOVE),
        (WEEK_WITH_FREE_DAYS | {7: 500}, NO_DATA),  # only a week is known: it may be free today
        (WEEK_WITH_FREE_DAYS | {7: 500, 14: 500}, ABOVE),
        (
            WEEK_WITH_FREE_DAYS | {7: 0, 14: 500, 21: 500, 28: 500},
            ABOVE,
        ),  # a holiday, or an outage, a week ago
        (WEEK_WITH_FREE_DAYS | {7: 0, 14: 0, 21: 500, 28: 500}, NO_DATA),
        (
            days(500, 500, 500, 500, 500, 500, 0) | {14: 0, 21: 0, 28: 0},
            NO_DATA,
        ),  # a Sunday that is always free
        (days(0, 0, 0, 0, 0, 0, 0) | {14: 500, 21: 500, 28: 500}, NO_DATA),  # silent for a week: nobody sends
    ],
)
def test_silence_knows_the_free_days_of_a_week(usual, reading):
    assert judge_silence(rule("silence"), TrafficFlow(0, usual)).reading is reading


def test_usual_is_the_poorest_of_three_neighbouring_hours_on_days_that_are_known_whole():
    hour = datetime(2026, 3, 30, 8, tzinfo=UTC)
    hours = hours_to_compare(hour)
    webhooks = {at: {"a": 60, "b": 60} for at in (*hours[1], *hours[7])}
    webhooks[hour - timedelta(days=7, hours=1)] = {"a": 20}
    webhooks |= {hour - timedelta(days=2): {"a": 60}}
    assert usual_webhooks(hour, webhooks, 30) == {1: {"a": 30.0, "b": 30.0}, 7: {"a": 10.0}}


@pytest.mark.parametrize(
    ("found", "alive", "reading"),
    [(10, True, ABOVE), (9, True, BETWEEN), (5, True, BETWEEN), (4, True, BELOW), (0, False, NO_DATA)],
)
def test_a_count_is_calm_below_half_of_its_limit(found, alive, reading):
    assert judge_count(rule("signature"), found, "x", alive=alive).reading is reading


def test_an_unknown_fact_is_no_data():
    readings = [judge_fact(bad=bad, description="x").reading for bad in (True, False, None)]
    assert readings == [ABOVE, BELOW, NO_DATA]


@pytest.mark.parametrize(("used", "reading"), [(800, ABOVE), (799, BETWEEN), (601, BETWEEN), (599, BELOW)])
def test_a_limit_is_near_within_a_fifth(used, reading):
    assert judge_limit(rule("tier"), used, 1000).reading is reading


@pytest.mark.parametrize(
    ("least", "expected", "chance"),
    [
        (0, 5.0, 1.0),
        (1, 0.0, 0.0),
        (10, 1.0, 1.1142547833872071e-07),
        (40, 10.0, 7.6e-13),
        (1500, 1000.0, 1.7e-47),
    ],
)
def test_poisson_s_upper_tail(least, expected, chance):
    assert poisson_tail(least, expected) == pytest.approx(chance, rel=0.2)
