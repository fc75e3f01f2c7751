"""A failure says nothing about the person when hardly anything reached other people then, however few they are."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Struct

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.suppressions.explained_periods import BY_RATE
from webhook_app.rules.suppressions.failed_days import failed_days, hardly_anything_arrived

NOON, DAY = datetime(2026, 11, 20, 12, tzinfo=UTC), timedelta(days=1)
MIDNIGHT, LATER = datetime(2026, 11, 20, tzinfo=UTC), NOON + 30 * DAY
NUMBER, TEMPLATE, COUNTRY = (), ("template",), ("country",)


class Failed(Struct, frozen=True):
    message_id: str = "m"
    error_code: int = 131026
    occurred_at: datetime = NOON
    phone_number_id: str = "1"
    template: str = "hello"
    country: str = "DE"


AT_NOON = Failed()


def judged(counts, failure=AT_NOON, own=(), now=LATER, in_a_row=()):
    """The result for the counts by (days after that of the failure, dimensions); other days have no messages."""

    def count_day(day, slice_of):
        return counts.get(((day - MIDNIGHT).days, tuple(slice_of)), Counts(0, 0))

    return failed_days(failure, own, count_day, now, in_a_row)


@pytest.mark.parametrize(
    ("attempts", "failures", "own", "expected"),
    [
        (0, 0, 0, None),
        (1, 1, 1, None),  # only the person itself
        (5, 5, 5, None),
        (2, 2, 1, None),  # one other person may be unreachable as well
        (3, 3, 1, True),
        (3, 2, 1, False),
        (6, 5, 1, True),
        (6, 4, 1, False),
        (0, 3, 1, True),  # failed without a `sent`
        (1, 0, 3, None),  # counted elsewhere
        (400, 400, 3, True),
    ],
)
def test_four_of_five_messages_to_others_must_have_failed(attempts, failures, own, expected):
    assert hardly_anything_arrived(Counts(attempts, failures), own) is expected


def test_the_number_is_the_reason_when_two_others_were_not_reached_on_that_day_either():
    found = judged({(0, NUMBER): Counts(3, 3)})
    assert found is not None
    assert (found.by, found.slice) == (BY_RATE, {"phone_number_id": "1"})
    assert (found.start, found.end) == (MIDNIGHT, MIDNIGHT + DAY - timedelta(microseconds=1))
    assert found.explains(Failed())


def test_a_person_who_was_alone_for_a_week_is_judged_by_the_own_failures():
    assert judged({(0, NUMBER): Counts(1, 1)}) is None
    own = [Failed(f"m{place}", occurred_at=NOON + place * DAY) for place in (-1, 0, 1)]
    assert judged({(place, NUMBER): Counts(1, 1) for place in (-1, 0, 1)}, own[1], own) is None


def test_retries_to_the_same_person_say_nothing_about_the_sender():
    own = [Failed(f"m{place}") for place in range(5)]
    assert judged({(0, NUMBER): Counts(7, 5)}, own[0], own) is None
    assert judged({(0, NUMBER): Counts(7, 7)}, own[0], own)


@pytest.mark.parametrize(
    ("day", "explained"), [(-4, False), (-3, True), (-1, True), (1, True), (3, True), (4, False)]
)
def test_days_around_decide_when_hardly_anybody_else_was_tried_on_that_day(day, explained):
    assert bool(judged({(0, NUMBER): Counts(2, 2), (day, NUMBER): Counts(1, 1)})) is explained


def test_the_nearest_days_decide():
    few = {(0, NUMBER): Counts(1, 1)}
    assert judged(few | {(1, NUMBER): Counts(2, 2), (2, NUMBER): Counts(9, 0)})
    assert not judged(few | {(1, NUMBER): Counts(2, 1), (2, NUMBER): Counts(9, 9)})
    assert not judged({(0, NUMBER): Counts(3, 2), (1, NUMBER): Counts(9, 9)})


@pytest.mark.parametrize("slice_of", [TEMPLATE, COUNTRY])
def test_a_template_or_country_of_a_number_that_works_can_be_the_reason(slice_of):
    others = {(0, NUMBER): Counts(40, 3)}
    assert judged(others | {(0, slice_of): Counts(2, 2)}) is None
    assert judged(others | {(0, slice_of): Counts(3, 3)}).slice == {
        "phone_number_id": "1",
        slice_of[0]: getattr(Failed(), slice_of[0]),
    }
    assert judged(others | {(0, slice_of): Counts(2, 2), (1, slice_of): Counts(1, 1)})


def test_own_failures_with_another_template_are_no_messages_of_the_template():
    own = [Failed(), Failed("m2", template="bye")]
    assert judged({(0, NUMBER): Counts(9, 4), (0, TEMPLATE): Counts(3, 3)}, own[0], own)


def test_messages_without_a_template_are_no_template():
    nameless = Failed(template="")
    assert judged({(0, NUMBER): Counts(9, 4), (0, TEMPLATE): Counts(3, 3)}, nameless) is None


def test_a_day_that_is_not_over_has_no_end():
    assert judged({(0, NUMBER): Counts(3, 3)}, now=NOON).end is None
    assert judged({(0, NUMBER): Counts(3, 3)}, now=MIDNIGHT + DAY).end is not None
    assert judged({(0, NUMBER): Counts(1, 1), (-1, NUMBER): Counts(2, 2)}, now=NOON).end is None


@pytest.mark.parametrize("code", [131049, 130472, 131050, 130403, 131000])
def test_only_codes_that_count_by_days_are_judged_by_days(code):
    assert judged({(0, NUMBER): Counts(9, 9)}, Failed(error_code=code)) is None


def failed_before(*days):
    return [Failed(f"m{day}", occurred_at=NOON - day * DAY) for day in days]


@pytest.mark.parametrize("slice_of", [TEMPLATE, COUNTRY])
@pytest.mark.parametrize(("days", "explained"), [((1, 2), True), ((1, 1, 2, 0), True), ((1, 2, 3), False)])
def test_a_template_or_country_explains_three_days_of_failures_in_a_row(slice_of, days, explained):
    counts = {(0, NUMBER): Counts(40, 3), (0, slice_of): Counts(3, 3)}
    assert bool(judged(counts, in_a_row=failed_before(*days))) is explained


@pytest.mark.parametrize(("tried", "explained"), [(Counts(41, 40), False), (Counts(41, 41), True)])
def test_after_three_days_of_failures_a_number_must_have_reached_nobody(tried, explained):
    assert judged({(0, NUMBER): tried}, in_a_row=failed_before(1, 2))
    assert bool(judged({(0, NUMBER): tried}, in_a_row=failed_before(1, 2, 3))) is explained
