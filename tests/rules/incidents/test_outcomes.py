"""A share of messages without a report, or slow ones, counts as above only if it is more than is usual there."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Reading
from webhook_app.rules.incidents.outcomes import judge_outcomes, usual_hours, usual_outcome_share
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def rule(kind="undelivered", more=""):
    return parse_rules(f'[[rule]]\nname = "r"\nkind = "{kind}"\n{more}')[0]


@pytest.mark.parametrize("kind", ["undelivered", "slow"])
@pytest.mark.parametrize(
    ("messages", "counted", "usual", "reading"),
    [
        (5, 5, 0.05, Reading.ABOVE),  # five messages a day
        (4, 4, 0.05, Reading.BETWEEN),
        (6, 5, 0.05, Reading.BETWEEN),
        (5_000_000, 1_300_000, 0.05, Reading.ABOVE),
        (5_000_000, 1_200_000, 0.05, Reading.BETWEEN),
        (300, 120, 0.30, Reading.BETWEEN),  # 1.5 times the usual share
        (300, 200, 0.30, Reading.ABOVE),
        (5_000, 5_000, 0.99, Reading.BETWEEN),  # whose messages never have reports
        (300, 12, 0.05, Reading.BELOW),
    ],
)
def test_a_share_is_above_if_it_is_over_the_floor_and_over_the_usual_share_by_more_than_chance(
    kind, messages, counted, usual, reading
):
    assert judge_outcomes(rule(kind), Counts(messages, counted), usual).reading is reading


def test_nothing_is_judged_before_it_is_known_what_is_usual():
    judgement = judge_outcomes(rule(), Counts(50, 50), None)
    assert judgement.reading is Reading.NO_DATA
    assert judgement.text == (
        "50 of 50 messages sent in 15 min have no delivery report 15 min later, 100 %;"
        " too few earlier messages are known to say what is usual"
    )


@pytest.mark.parametrize(
    ("own", "low", "high"),
    [
        (Counts(0, 0), None, None),
        (Counts(19, 19), None, None),
        (Counts(20, 0), 0.1, 0.25),  # chance may have hidden some
        (Counts(20, 20), 1.0, 1.0),
        (Counts(50, 2), 0.04, 0.17),
        (Counts(10_000, 9_900), 0.98, 0.999),
        (Counts(10_000, 100), 0.01, 0.03),
    ],
)
def test_the_usual_share_is_that_of_the_group_and_what_chance_may_have_hidden(own, low, high):
    share = usual_outcome_share(own)
    assert share is None if low is None else low <= share <= high


def test_usual_are_the_hours_of_seven_days_and_of_the_same_weekday_of_four_weeks():
    start = datetime(2026, 3, 30, 9, 50, tzinfo=UTC)
    hours = usual_hours(start, start + timedelta(minutes=15))
    assert len(hours) == 20
    assert {(start - hour).days + 1 for hour in hours if hour.hour == 10} == {1, 2, 3, 4, 5, 6, 7, 14, 21, 28}
    assert {hour.hour for hour in hours} == {9, 10}


def test_no_hour_of_the_window_is_usual():
    end = datetime(2026, 3, 30, 9, 50, tzinfo=UTC)
    start = end - 2 * DAY
    hours = usual_hours(start, end)
    assert max(hours) == start.replace(minute=0) - HOUR
    assert len(hours) == len(set(hours))


def test_the_sentence_says_what_was_counted():
    text = judge_outcomes(rule("slow", "slow_seconds = 120\n"), Counts(100, 80), 0.05).text
    assert text.startswith("80 of 100 messages delivered in 15 min took longer than 120 s, 80 %, at least")
    few = judge_outcomes(rule(), Counts(100, 4), 0.05).text
    assert few.endswith("4 %; at least 5 such messages are needed to fire")
