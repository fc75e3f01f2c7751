"""At most so many bytes at a time, in the order of arrival."""

import threading
from collections.abc import Callable

import pytest

from tests.support.waiting import wait_for
from webhook_app.pipeline.receiving.byte_limit import ByteLimit


class Worker:
    """Holds so many bytes in a thread until `go_on`."""

    def __init__(self, limit: ByteLimit, size: int) -> None:
        self.works, self.go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(limit, size))
        self._thread.start()

    def _run(self, limit: ByteLimit, size: int) -> None:
        with limit.hold(size):
            self.works.set()
            self.go_on.wait(10)

    def end(self) -> None:
        self.go_on.set()
        self._thread.join(10)


def waits(limit: ByteLimit) -> Callable[[], bool]:
    return limit._first.locked


def test_as_many_work_at_once_as_there_is_room_for() -> None:
    limit = ByteLimit(10)
    first, second = Worker(limit, 6), Worker(limit, 4)
    assert first.works.wait(10)
    assert second.works.wait(10)
    third = Worker(limit, 5)
    wait_for(waits(limit))
    second.end()
    assert not third.works.is_set(), "4 of 10 are free"
    first.end()
    assert third.works.wait(10)
    third.end()


def test_a_large_one_that_waits_is_not_overtaken_by_small_ones() -> None:
    limit = ByteLimit(10)
    first = Worker(limit, 6)
    assert first.works.wait(10)
    large = Worker(limit, 8)
    wait_for(waits(limit))
    small = Worker(limit, 1)
    assert not small.works.wait(0.05)
    first.end()
    assert large.works.wait(10)
    assert small.works.wait(10)
    for each in (large, small):
        each.end()


def test_one_larger_than_the_limit_works_alone() -> None:
    limit = ByteLimit(10)
    with limit.hold(1000):
        other = Worker(limit, 1)
        wait_for(waits(limit))
        assert not other.works.is_set()
    assert other.works.wait(10)
    other.end()


def test_what_fails_releases_its_room() -> None:
    limit = ByteLimit(10)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"), limit.hold(10):
            raise ValueError("broken")
    with limit.hold(10):
        pass
