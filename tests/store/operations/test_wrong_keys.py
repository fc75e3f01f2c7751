"""Wrong keys are counted per caller and window, in a table that stays small."""

from datetime import timedelta

import pytest

from webhook_app.store.operations import wrong_keys
from webhook_app.store.operations.wrong_keys import WINDOW, Attempts


@pytest.fixture
def add(engine):
    def add(now, *callers, max_rows=100):
        with engine.begin() as connection:
            return wrong_keys.add(connection, callers, now, max_rows=max_rows)

    return add


def test_each_caller_is_counted_apart(add, now):
    assert add(now, b"a") == {b"a": Attempts(1, now + WINDOW)}
    found = add(now + timedelta(seconds=5), b"a", b"b")
    assert found == {b"a": Attempts(2, now + WINDOW), b"b": Attempts(1, now + timedelta(seconds=5) + WINDOW)}


def test_a_new_window_starts_at_one(add, now):
    add(now, b"a")
    assert add(now + WINDOW, b"a") == {b"a": Attempts(1, now + 2 * WINDOW)}


def test_a_successful_attempt_does_not_count(add, engine, now):
    add(now, b"a", b"b")
    add(now, b"a", b"b")
    with engine.begin() as connection:
        wrong_keys.subtract(connection, [b"a"], now)
    assert [each.count for each in add(now, b"a", b"b").values()] == [2, 3]


def test_the_table_does_not_grow_beyond_its_limit(add, now):
    for number in range(5):
        add(now, bytes([number]), max_rows=3)
    assert add(now, b"\x04", max_rows=3) == {}, "a caller that the full table does not hold is not counted"
    assert add(now, b"\x00", max_rows=3) == {b"\x00": Attempts(2, now + WINDOW)}
    later = now + WINDOW
    assert add(later, b"\x04", max_rows=3) != {}, "windows that are over make room"
