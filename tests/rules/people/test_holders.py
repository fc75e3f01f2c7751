"""Who held a key when, from links and changes of number in any order."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

from webhook_app.rules.people.holders import Holders, KeyChange, KeyLink

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
A, B, C = "12025550110", "12025550111", "12025550112"


def moved(old, new, hours=0):
    return KeyChange(NOON + hours * HOUR, old, new)


def linked(user, contact, hours=0):
    return KeyLink(user, contact, NOON + hours * HOUR)


def test_a_number_belongs_to_somebody_else_after_its_holder_left_it():
    known = Holders([linked("US.1", A, -1), linked("US.2", A, 1)], [moved(A, B)])
    assert known.holder(A, NOON).keys == known.present(B).keys == (B, "US.1")
    assert known.holder(A, NOON + SECOND).keys == known.present(A).keys == (A, "US.2")
    assert known.present("US.1").main == B


def test_who_had_the_number_before_somebody_moved_to_it_has_none_now():
    known = Holders([], [moved(A, B)])
    assert known.holder(B, NOON - SECOND).main == ""
    assert known.holder(B, NOON) == known.holder(A, NOON)


def test_a_return_to_the_old_number_is_the_same_person():
    known = Holders([], [moved(A, B), moved(B, A, 5)])
    assert known.holder(A, NOON) == known.present(A)
    assert known.holder(A, NOON + HOUR).main == ""
    assert known.present(A).keys == (A,)


def test_reports_of_one_change_to_several_business_numbers_are_one():
    twice = [moved(A, B), KeyChange(NOON + 9 * SECOND, A, B)]
    for changes in permutations([*twice, moved(B, C, 2)]):
        known = Holders([], changes)
        assert known.holder(A, NOON).main == C
        assert known.holder(A, NOON + 5 * SECOND).main == A


def test_the_same_change_after_somebody_else_took_the_number_is_another():
    known = Holders([], [moved(A, B), moved(C, A, 1), moved(B, C, 2), moved(A, B, 3)])
    assert known.holder(A, NOON).main == C
    assert known.holder(C, NOON).main == B


def test_what_an_operator_decided_before_the_change_was_known_is_about_who_left():
    change = KeyChange(NOON, A, B, NOON + 2 * HOUR)
    known = Holders([], [change])
    assert known.meant(A, NOON + HOUR).main == B
    assert known.meant(A, NOON + 3 * HOUR).main == A


def test_a_renumbered_line_keeps_its_holder_and_what_was_stored_under_both_spellings():
    old, new = "22507123456", "2250707123456"
    renumbered = KeyChange(NOON, old, new, NOON, is_renumbering=True)
    known = Holders([linked("CI.1", old, -9)], [renumbered, moved(old, A, 2)])
    assert known.holder(old, NOON - HOUR) == known.holder(new, NOON + HOUR) == known.present("CI.1")
    assert known.present("CI.1").main == A
    assert known.present(old).keys == (new, old)
    before = Holders([linked("CI.1", old, -9)], [renumbered])
    assert before.present(old).keys == (new, old, "CI.1")
