"""Windows joined from parts have the same sums as one window of everything."""

import pytest

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.store.counts.window_counts import FailedMessages, Mark, WindowCounts

A, B = SeriesKey("n1", "w", "order", "", "DE"), SeriesKey("n2", "w", "order", "", "FR")
OLDER = WindowCounts({A: 10}, [FailedMessages((Mark(1, A),), 2), FailedMessages((Mark(1, A), Mark(2, A)), 1)])
RECENT = WindowCounts({A: 5, B: 7}, [FailedMessages((Mark(1, A),), 1), FailedMessages((Mark(2, B),), 4)])


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [
        ((), {(): Counts(22, 8)}),
        (("phone_number_id",), {("n1",): Counts(15, 4), ("n2",): Counts(7, 4)}),
        (("template",), {("order",): Counts(22, 8)}),
        (
            ("code", "phone_number_id"),
            {(1, "n1"): Counts(15, 4), (2, "n1"): Counts(15, 1), (2, "n2"): Counts(7, 4)},
        ),
    ],
)
def test_a_joined_window_sums_the_groups_of_its_parts(group_by, groups):
    joined = WindowCounts.joined(OLDER, RECENT)
    assert joined.by_group(group_by, lambda _: True) == groups
    assert OLDER.plus(RECENT).by_group(group_by, lambda _: True) == groups


def test_single_and_several_messages_of_a_series_add_up_by_code_and_dimension():
    failed = [
        FailedMessages((Mark(1, series),), messages) for series, messages in ((A, 1), (B, 1), (A, 5), (A, 1))
    ]
    failed += [FailedMessages((Mark(2, B),), 3), FailedMessages((Mark(1, A), Mark(2, B)), 9)]
    window = WindowCounts({}, failed)
    assert window.failed_once_by(("phone_number_id",)) == {1: {("n1",): 7, ("n2",): 1}, 2: {("n2",): 3}}
    assert window.failed_once_by(("template",)) == {1: {("order",): 8}, 2: {("order",): 3}}


def test_a_joined_window_counts_chosen_codes_and_what_lies_within_a_group():
    joined = WindowCounts.joined(OLDER, RECENT)
    assert joined.by_group(("phone_number_id",), lambda code: code == 2)[("n1",)] == Counts(15, 1)
    within = joined.failed_within({"phone_number_id": "n1"})
    assert sum(failed.messages for failed in within) == 4
    assert joined.failed_within({"phone_number_id": "n1", "code": 2}) == [FailedMessages((Mark(2, A),), 1)]
    assert joined.failed_within({"phone_number_id": "n3"}) == []
    assert joined.failures_by_class() == OLDER.plus(RECENT).failures_by_class()
