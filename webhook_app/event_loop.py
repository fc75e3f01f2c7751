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
_next = Semaphore()
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


def await_turn() -> None:
    """Return at once, or after the event loop's next poll if it has not polled for WORK_S; waiting callers one by one.

    For work that takes long: of many that could begin at once, one runs between two polls.
    """
    if not is_module_patched("threading") or not (_next.locked() or _is_due(WORK_S)):
        return
    with _next:
        if _is_due(WORK_S):
            sleep(_NEXT_POLL_S)


def _is_due(seconds: float) -> bool:
    return bool(time() - get_hub().loop.now() > seconds)
