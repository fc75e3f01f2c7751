"""A share that is above the rules' threshold for a week is chronic; an outage, a healthy share or a new one is not."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.findings.chronic import (
    ChronicState,
    ChronicStates,
    chronic_incident,
    find_chronic,
    is_known,
    last_above,
)
from webhook_app.rules.incidents.findings.finding import CountedDays
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

RULES = parse_rules(default_rules_text())
DAY = timedelta(days=1)
FIRST = datetime(2026, 3, 9, tzinfo=UTC)
UNREACHABLE, BROKEN = 131026, 131053
NUMBER = SeriesKey("n0", "A", "order", "", "DE")


def counted(*rows: tuple[SeriesKey, int, Sequence[int], Sequence[int]]) -> CountedDays:
    """Days of series: series, code, messages of each day, failures of each day."""
    days = CountedDays(FIRST, max(len(attempts) for _, _, attempts, _ in rows))
    for series, code, attempts, failures in rows:
        for place, count in enumerate(attempts):
            days.add_attempts(place, series, count)
        for place, count in enumerate(failures):
            if count:
                days.add_failures(place, code, series, count)
    return days


def state(**more: object) -> ChronicState:
    plain = {"codes": (UNREACHABLE,), "slice": {"phone_number_id": ["n0"]}, "waba_id": "A", "since": FIRST}
    return ChronicState(**(plain | more))


@pytest.mark.parametrize(
    ("attempts", "failures"),
    [
        ([300] * 7, [12] * 7),
        ([5] * 7, [5] * 7),
        ([300, 300, 300, 300, 300, 0, 0], [12, 12, 12, 12, 12, 0, 0]),
        ([300] * 7, [12, 12, 5, 12, 12, 14, 13]),
    ],
    ids=["4 % of 300 a day", "5 of 5 a day", "weekdays only", "one day below the threshold"],
)
def test_a_week_above_the_threshold_is_chronic(attempts: list[int], failures: list[int]) -> None:
    [found] = find_chronic(counted((NUMBER, UNREACHABLE, attempts, failures)), RULES)
    assert (found.kind, found.codes, found.slice) == ("chronic", (UNREACHABLE,), {"phone_number_id": ["n0"]})
    assert found.waba_id == "A"
    assert found.impact["failures"] == sum(failures)
    assert found.since == FIRST


@pytest.mark.parametrize(
    ("attempts", "failures"),
    [
        ([300] * 7, [3] * 7),
        ([300] * 6, [12] * 6),
        ([300] * 7, [0, 12, 12, 12, 12, 12, 12]),
        ([300] * 7, [2, 2, 290, 2, 2, 2, 2]),
        ([300] * 7, [12, 12, 12, 12, 12, 12, 0]),
        ([5] * 7, [1, 1, 0, 1, 1, 1, 1]),
        ([100] * 7, [2] * 7),
    ],
    ids=[
        "healthy",
        "six days",
        "since yesterday a week ago",
        "an outage of a day",
        "over",
        "not every day",
        "at the threshold",
    ],
)
def test_what_is_healthy_or_short_is_not_chronic(attempts: list[int], failures: list[int]) -> None:
    assert find_chronic(counted((NUMBER, UNREACHABLE, attempts, failures)), RULES) == []


def test_it_is_so_since_the_first_day_in_a_row() -> None:
    days = counted((NUMBER, UNREACHABLE, [300] * 12, [0, 2, 14, 12, 11, 12, 12, 12, 12, 12, 12, 12]))
    [found] = find_chronic(days, RULES)
    assert found.since == FIRST + 2 * DAY


def test_the_template_with_nearly_all_failures_is_named_instead_of_its_number() -> None:
    bad = NUMBER._replace(template="invoice")
    days = counted((NUMBER, BROKEN, [300] * 7, [1] * 7), (bad, BROKEN, [60] * 7, [40] * 7))
    [found] = find_chronic(days, RULES)
    assert found.slice == {"template": ["invoice"]}


def test_a_template_that_all_messages_have_is_not_named() -> None:
    days = counted((NUMBER, BROKEN, [300] * 7, [12] * 7))
    [found] = find_chronic(days, RULES)
    assert found.slice == {"phone_number_id": ["n0"]}


def test_a_campaign_that_fails_inside_a_healthy_number_is_found() -> None:
    bad = NUMBER._replace(campaign="blast", template="")
    days = counted((NUMBER, BROKEN, [9_000] * 7, [10] * 7), (bad, BROKEN, [50] * 7, [45] * 7))
    [found] = find_chronic(days, RULES)
    assert found.slice == {"campaign": ["blast"]}


def test_each_number_is_a_finding_of_its_own() -> None:
    days = counted(
        (NUMBER, UNREACHABLE, [300] * 7, [12] * 7),
        (NUMBER._replace(phone_number_id="n1"), UNREACHABLE, [300] * 7, [12] * 7),
    )
    found = find_chronic(days, RULES)
    assert [each.slice for each in found] == [{"phone_number_id": ["n0"]}, {"phone_number_id": ["n1"]}]
    assert len({each.key for each in found}) == 2


def test_what_lies_in_a_larger_open_finding_is_not_found_again() -> None:
    days = counted((NUMBER, UNREACHABLE, [300] * 7, [12] * 7))
    assert find_chronic(days, RULES, [state(slice=None)]) == []
    assert find_chronic(days, RULES, [state(slice={"waba_id": ["A"]})]) == []
    assert len(find_chronic(days, RULES, [state()])) == 1, "its own finding is updated"
    assert len(find_chronic(days, RULES, [state(slice=None, codes=(BROKEN,))])) == 1
    assert len(find_chronic(days, RULES, [state(slice=None, waba_id="B")])) == 1


def test_an_open_incident_about_the_code_is_known_until_it_has_lasted_seven_days() -> None:
    [found] = find_chronic(counted((NUMBER, UNREACHABLE, [300] * 7, [12] * 7)), RULES)
    assert is_known(found, [state(slice={"phone_number_id": ["n0", "n1"]})])
    assert not is_known(found, [state(slice={"phone_number_id": ["n1"]})])
    assert not is_known(found, [state(codes=(BROKEN, UNREACHABLE))])


def test_an_incident_of_seven_days_keeps_its_slice_and_codes() -> None:
    found = chronic_incident(
        incident_id=7,
        title="131053 Media, business number n0",
        codes=[BROKEN, UNREACHABLE],
        part={"phone_number_id": ["n0"]},
        waba_ids=["A"],
        failures=700,
        share=0.5,
        threshold=0.02,
        advice="Fix it.",
        since=FIRST,
    )
    assert (found.kind, found.codes) == ("chronic", (BROKEN, UNREACHABLE))
    assert found.slice == {"phone_number_id": ["n0"]}
    assert found.evidence["incident_id"] == 7


def test_it_was_above_until_the_last_day_on_which_it_was() -> None:
    days = counted((NUMBER, UNREACHABLE, [300] * 9, [12, 12, 12, 12, 3, 2, 0, 1, 2]))
    latest, week = last_above(state(), 0.02, days)
    assert latest == FIRST + 4 * DAY
    assert (week.attempts, week.failures) == (2_100, 32)
    cured = counted((NUMBER, UNREACHABLE, [300] * 7, [1] * 7))
    assert last_above(state(), 0.02, cured)[0] is None


@pytest.mark.parametrize(
    ("group", "hours"),
    [
        ({"code": UNREACHABLE, "phone_number_id": "n0"}, 168),
        ({"phone_number_id": "n0"}, 168),
        ({"waba_id": "A"}, 168),
        ({}, 168),
        ({"template": "order"}, 168),
        ({"code": UNREACHABLE, "phone_number_id": "n1"}, 0),
        ({"code": BROKEN, "phone_number_id": "n0"}, 0),
        ({"waba_id": "B"}, 0),
    ],
)
def test_groups_with_chronic_failures_have_a_usual_share(group: dict[str, str | int], hours: int) -> None:
    states = ChronicStates([state()], FIRST + 8 * DAY)
    assert states.usual_hours(group, lambda _: True) == hours
    assert states.usual_hours(group, lambda code: code != UNREACHABLE) == 0


@pytest.mark.parametrize(("age", "hours"), [(8, 168), (14, 336), (27, 336), (28, 672), (400, 672)])
def test_the_usual_share_goes_back_as_far_as_the_state_up_to_28_days(age: int, hours: int) -> None:
    states = ChronicStates([state()], FIRST + age * DAY)
    assert states.usual_hours({"phone_number_id": "n0"}, lambda _: True) == hours
