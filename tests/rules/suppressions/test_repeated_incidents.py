"""Which failures count although incidents excused them: those of a person who fails alone in a third incident."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Struct

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.suppressions.repeated_incidents import are_in_several_incidents, no_longer_excused

NOON, DAY, MINUTE = datetime(2026, 11, 20, 12, tzinfo=UTC), timedelta(days=1), timedelta(minutes=1)
NUMBER, ACCOUNT, ALL = ("phone_number_id",), ("waba_id",), ()
TEMPLATE, COUNTRY = ("phone_number_id", "template"), ("phone_number_id", "country")
BAD_LIST, OUTAGE = Counts(40, 12), Counts(40, 40)


class Failed(Struct, frozen=True):
    message_id: str
    occurred_at: datetime
    error_code: int = 131026
    phone_number_id: str = "1"
    waba_id: str = "9"
    template: str = "hello"
    country: str = "DE"


def failed_before(*days):
    """A failure so many days ago, each with messages to others around it."""
    return [Failed(f"m{place}", NOON - day * DAY) for place, day in enumerate(days)]


def counting(failures, counts, in_a_row=()):
    """The failures that count, when the same counts by dimensions surround each."""

    def count_between(start, end, slice_of):
        assert any(start <= each.occurred_at - 30 * MINUTE for each in failures)
        assert end - start == 70 * MINUTE
        return counts.get(tuple(slice_of), Counts(0, 0))

    return no_longer_excused(failures, in_a_row or failures, count_between)


@pytest.mark.parametrize(
    ("days", "several"),
    [
        ((), False),
        ((14, 7), False),
        ((14, 7, 0), True),
        ((60, 30, 0), True),
        ((6, 3, 0), True),
        ((5, 4, 3, 2, 1, 0), False),  # two outages of three days
        ((6, 5, 4, 3, 2, 1, 0), True),
        ((7, 7, 0, 0), False),
    ],
)
def test_incidents_begin_three_days_apart(days, several):
    assert are_in_several_incidents(failed_before(*days)) is several
    assert are_in_several_incidents(reversed(failed_before(*days))) is several


def test_whoever_fails_in_a_third_incident_while_most_others_are_reached_is_no_longer_excused():
    assert counting(failed_before(14, 7), {NUMBER: BAD_LIST}) == []
    assert counting(failed_before(14, 7, 0), {NUMBER: BAD_LIST}) == failed_before(14, 7, 0)


@pytest.mark.parametrize("place", [NUMBER, ACCOUNT, ALL, TEMPLATE, COUNTRY])
def test_an_outage_of_a_number_account_template_or_country_or_everywhere_stays_excused(place):
    others = {NUMBER: Counts(1, 1), ALL: BAD_LIST}
    assert len(counting(failed_before(14, 7, 0), others)) == 3
    assert counting(failed_before(14, 7, 0), others | {place: OUTAGE}) == []


@pytest.mark.parametrize(
    ("place", "failures", "excused"),
    [(NUMBER, 20, False), (NUMBER, 21, True), (COUNTRY, 32, False), (COUNTRY, 33, True)],
)
def test_half_of_the_messages_to_others_must_have_failed_and_in_a_small_slice_four_of_five(
    place, failures, excused
):
    # One of the 41 is the person's own.
    found = counting(failed_before(14, 7, 0), {place: Counts(41, failures)})
    assert (found == []) is excused


@pytest.mark.parametrize(
    ("place", "failures", "counts"), [(COUNTRY, 41, True), (NUMBER, 32, True), (NUMBER, 33, False)]
)
def test_after_three_days_of_failures_nearly_all_messages_of_the_number_must_have_failed(
    place, failures, counts
):
    row = failed_before(42, 35, 28, 21, 14, 7)
    assert counting(row, {place: Counts(41, failures)}) == (row[3:] if counts else [])


def test_messages_without_a_template_or_country_have_no_slice():
    row = [Failed(f"m{day}", NOON - day * DAY, template="", country="") for day in (14, 7, 0)]
    assert counting(row, {TEMPLATE: OUTAGE, COUNTRY: OUTAGE, NUMBER: BAD_LIST}) == row


def test_when_nobody_else_was_written_to_the_own_failures_decide():
    assert len(counting(failed_before(14, 7, 0), {NUMBER: Counts(1, 1), ALL: Counts(1, 1)})) == 3
