"""What took long to read is kept for a multiple of that time, and read by one caller at a time."""

import threading
import time

import pytest

from webhook_app.web import slow_reads
from webhook_app.web.slow_reads import SlowReads


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(slow_reads, "monotonic", lambda: Clock.now)
    return Clock


def reader(clock, seconds, calls):
    def read():
        calls.append(None)
        clock.now += seconds
        return len(calls)

    return read


def test_a_fast_value_is_read_each_time(clock):
    reads, calls = SlowReads(), []
    assert [reads.get("a", reader(clock, 0.1, calls)) for _ in range(3)] == [1, 2, 3]


def test_a_slow_value_is_kept_for_twenty_times_as_long_as_it_took(clock):
    reads, calls = SlowReads(), []
    assert [reads.get("a", reader(clock, 2.0, calls)) for _ in range(3)] == [1, 1, 1]
    assert reads.get("b", reader(clock, 2.0, calls)) == 2
    clock.now += 36
    assert reads.get("a", reader(clock, 2.0, calls)) == 1
    clock.now += 4
    assert reads.get("a", reader(clock, 2.0, calls)) == 3


def test_a_fast_value_is_kept_for_as_long_as_its_reader_allows(clock):
    reads, calls = SlowReads(), []
    assert [reads.get("a", reader(clock, 0.1, calls), kept_s=3.0) for _ in range(3)] == [1, 1, 1]
    clock.now += 2.9
    assert reads.get("a", reader(clock, 0.1, calls), kept_s=3.0) == 1
    clock.now += 0.1
    assert reads.get("a", reader(clock, 0.1, calls), kept_s=3.0) == 2
    with pytest.raises(ZeroDivisionError):
        reads.get("b", lambda: 1 // 0, kept_s=3.0)
    assert reads.get("b", lambda: 5, kept_s=3.0) == 5


def test_a_fault_is_kept_only_if_it_took_long(clock):
    reads = SlowReads()
    with pytest.raises(ZeroDivisionError):
        reads.get("a", lambda: 1 // 0)
    assert reads.get("a", lambda: 5) == 5

    def slow():
        clock.now += 30
        return 1 // 0

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            reads.get("b", slow)
    assert clock.now == 130
    clock.now += 600
    assert reads.get("b", lambda: 5) == 5


def test_of_callers_at_once_one_reads(monkeypatch):
    monkeypatch.setattr(slow_reads, "SLOW_S", 0.0)
    reads, calls, found = SlowReads(), [], []

    def read():
        calls.append(None)
        time.sleep(0.05)
        return 7

    callers = [threading.Thread(target=lambda: found.append(reads.get("a", read))) for _ in range(8)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert found == [7] * 8
    assert len(calls) == 1


def test_thousands_of_keys_do_not_fill_the_memory():
    reads = SlowReads()
    for key in range(3000):
        reads.get(key, lambda: None)
    assert len(reads._entries) <= 500
