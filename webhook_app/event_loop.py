"""Shares the event loop of a gevent worker between its connections. Does nothing in other processes."""

from collections.abc import Iterable, Iterator
from time import time
from typing import TypeVar

from gevent import get_hub, sleep  # type: ignore[import-untyped]
from gevent.lock import Semaphore  # type: ignore[import-untyped]
from gevent.monkey import is_module_patched  # type: ignore[import-untyped]

TURN_S = 0.005  # since the event loop last polled; then a connection with more work lets others run
WORK_S = 0.03  # since the event loop last polled; then long work waits. Dozens of usual webhooks are parsed in less
_NEXT_POLL_S = 1e-6  # sleep(0) may return before the event loop polls
_Row = TypeVar("_Row")


def give_way() -> None:
    """Let other connections run if the event loop has not polled for TURN_S: buffered input is read without waiting."""
    if _is_due(TURN_S):
        sleep(0)


def paced(rows: Iterable[_Row], every: int = 1) -> Iterator[_Row]:
    """The rows; before each of them, or each so many, other connections may run."""
    for place, row in enumerate(rows):
        if not place % every:
            give_way()
        yield row


class Turns:
    """A queue of work of one kind that could all begin at once: other kinds do not wait for it."""

    def __init__(self, seconds: float = WORK_S) -> None:
        self._seconds = seconds
        self._next = Semaphore()

    def wait(self) -> None:
        """Return at once, or after the loop's next poll if it has not polled for `seconds`; callers one by one."""
        if not is_module_patched("threading") or not (self._next.locked() or _is_due(self._seconds)):
            return
        with self._next:
            if _is_due(self._seconds):
                sleep(_NEXT_POLL_S)


REQUEST_TURNS, PROBE_TURNS = Turns(TURN_S), Turns(TURN_S)
"""Requests that are not answered before Flask; and /healthz, whose balancer ends the process when it gets no answer."""


def _is_due(seconds: float) -> bool:
    return bool(time() - get_hub().loop.now() > seconds)
