"""Turns timed changes into POSTs the way Meta does: batched, out of order, some of them twice.

Plans only, no clock and no network: `posting.py` sends what is planned here.
"""

import heapq
import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.simulator.lives import Json
from webhook_app.simulator.plan import Timed
from webhook_app.simulator.wire import envelope, item_count, wire

BATCH_LIMIT = 1000
"""Meta puts at most this many updates into one POST."""

_LINGER_S = 1.0
_COPY_DELAY_S = 2.0

# Seconds between the tries of one POST. Meta says only: at once, then ever more rarely, for up to seven days.
_RETRY_DELAYS_S = (0, 10, 30, 60, 300, 900, 3600, 3 * 3600, 6 * 3600)
_LATER_RETRIES_S = 12 * 3600
_GIVE_UP_AFTER_S = 7 * 24 * 3600


class StatusKey(NamedTuple):
    """What makes a status event one and the same, however often it is delivered; -1 is no error code."""

    phone_number_id: str
    message_id: str
    status: str
    timestamp: int
    error_code: int


class Post(Struct, frozen=True):
    """One POST: when it is due (seconds after the start), its bytes, and what they hold."""

    due_s: float
    body: bytes
    items: int
    statuses: tuple[StatusKey, ...]
    copy: bool = False


def posts(
    changes: Iterable[Timed],
    start: datetime,
    rng: random.Random,
    *,
    batch: int = 1,
    duplicates: float = 0.0,
    reorder_s: float = 0.0,
) -> Iterator[Post]:
    """The POSTs for these changes by due time: up to `batch` updates in each, a share of them sent twice."""
    if not 1 <= batch <= BATCH_LIMIT:
        raise ValueError(f"a POST of Meta's holds 1 to {BATCH_LIMIT} updates, not {batch}")
    if not 0 <= duplicates <= 1 or reorder_s < 0:
        raise ValueError("duplicates is a share from 0 to 1, reorder a number of seconds")
    batches = batched(reordered(changes, rng, reorder_s), batch)
    planned = (_post(group, due, start) for due, group in batches)
    return _with_copies(planned, rng, duplicates)


def reordered(changes: Iterable[Timed], rng: random.Random, bound_s: float) -> Iterator[Timed]:
    """The changes, each up to `bound_s` late, so that those of the next seconds overtake it."""
    late: list[tuple[datetime, int, Timed]] = []
    serial = count()
    for change in changes:
        at = change.at + timedelta(seconds=rng.uniform(0, bound_s))
        heapq.heappush(late, (at, next(serial), replace(change, at=at)))
        while late and late[0][0] <= change.at:
            yield heapq.heappop(late)[2]
    while late:
        yield heapq.heappop(late)[2]


def batched(changes: Iterable[Timed], size: int) -> Iterator[tuple[datetime, list[Timed]]]:
    """Groups of up to `size` updates with their due time; none waits longer than a second for company."""
    group: list[Timed] = []
    for change in changes:
        if group and change.at > (closing := group[0].at + timedelta(seconds=_LINGER_S)):
            yield closing, group
            group = []
        group.append(change)
        if len(group) == size:
            yield change.at, group
            group = []
    if group:
        yield group[-1].at, group


def retry_delays(compress: float) -> Iterator[float]:
    """Seconds before each further try, `compress` times as fast as Meta; ends when Meta would give up."""
    waited = 0
    for delay in (*_RETRY_DELAYS_S, *[_LATER_RETRIES_S] * 20):
        waited += delay
        if waited > _GIVE_UP_AFTER_S:
            return
        yield delay / compress


def _post(group: list[Timed], due: datetime, start: datetime) -> Post:
    keys = tuple(
        _key(status, timed.change["value"]["metadata"]["phone_number_id"])
        for timed in group
        for status in timed.change["value"].get("statuses", ())
    )
    items = sum(item_count(timed.change) for timed in group)
    return Post((due - start).total_seconds(), wire(envelope(group)), items, keys)


def _key(status: Json, phone_number_id: str) -> StatusKey:
    code = status["errors"][0]["code"] if "errors" in status else -1
    return StatusKey(phone_number_id, status["id"], status["status"], int(status["timestamp"]), code)


def _with_copies(planned: Iterable[Post], rng: random.Random, share: float) -> Iterator[Post]:
    copies: list[tuple[float, int, Post]] = []
    serial = count()
    for post in planned:
        while copies and copies[0][0] <= post.due_s:
            yield heapq.heappop(copies)[2]
        yield post
        if rng.random() < share:
            due_s = post.due_s + rng.uniform(0, _COPY_DELAY_S)
            heapq.heappush(copies, (due_s, next(serial), replace(post, due_s=due_s, copy=True)))
    while copies:
        yield heapq.heappop(copies)[2]
