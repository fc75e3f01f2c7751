"""Turns what is told into POSTs the way Meta does: batched, out of order, some of them twice; reports go along.

Plans only, no clock and no network: `posting.py` sends what is planned here.
"""

import heapq
import json
import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.simulator.message_events import Json
from webhook_app.simulator.payloads import envelope, item_count, wire
from webhook_app.simulator.plan import Timed, Told
from webhook_app.simulator.send_calls import SimulatedCall

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
    statuses: tuple[StatusKey, ...] = ()
    calls: tuple[int, ...] = ()
    """A sender's report instead of a webhook: the codes of its send calls."""
    copy: bool = False


def posts(
    changes: Iterable[Told],
    start: datetime,
    rng: random.Random,
    *,
    batch: int = 1,
    duplicates: float = 0.0,
    reorder_s: float = 0.0,
) -> Iterator[Post]:
    """The POSTs by due time: up to `batch` updates or send calls in each, a share of them sent twice."""
    if not 1 <= batch <= BATCH_LIMIT:
        raise ValueError(f"a POST of Meta's holds 1 to {BATCH_LIMIT} updates, not {batch}")
    if not 0 <= duplicates <= 1 or reorder_s < 0:
        raise ValueError("duplicates is a share from 0 to 1, reorder a number of seconds")
    batches = batched(reordered(changes, rng, reorder_s), batch)
    planned = (_post(group, due, start) for due, group in batches)
    return _with_copies(planned, rng, duplicates)


def reordered(changes: Iterable[Told], rng: random.Random, bound_s: float) -> Iterator[Told]:
    """The changes, each up to `bound_s` late, so that those of the next seconds overtake it."""
    late: list[tuple[datetime, int, Told]] = []
    serial = count()
    for change in changes:
        at = change.at + timedelta(seconds=rng.uniform(0, bound_s))
        heapq.heappush(late, (at, next(serial), replace(change, at=at)))
        while late and late[0][0] <= change.at:
            yield heapq.heappop(late)[2]
    while late:
        yield heapq.heappop(late)[2]


def batched(changes: Iterable[Told], size: int) -> Iterator[tuple[datetime, list[Told]]]:
    """Groups of up to `size` with their due time, updates and calls apart; none waits over a second for company."""
    groups: dict[type[Told], list[Told]] = {}
    for change in changes:
        for kind in [kind for kind, group in groups.items() if change.at > _closing(group)]:
            yield _closing(group := groups.pop(kind)), group
        group = groups.setdefault(type(change), [])
        group.append(change)
        if len(group) == size:
            yield change.at, groups.pop(type(change))
    for group in sorted(groups.values(), key=lambda group: group[-1].at):
        yield group[-1].at, group


def _closing(group: list[Told]) -> datetime:
    return group[0].at + timedelta(seconds=_LINGER_S)


def retry_delays(compress: float) -> Iterator[float]:
    """Seconds before each further try, `compress` times as fast as Meta; ends when Meta would give up."""
    waited = 0
    for delay in (*_RETRY_DELAYS_S, *[_LATER_RETRIES_S] * 20):
        waited += delay
        if waited > _GIVE_UP_AFTER_S:
            return
        yield delay / compress


def _post(group: list[Told], due: datetime, start: datetime) -> Post:
    due_s = (due - start).total_seconds()
    calls = [told for told in group if isinstance(told, SimulatedCall)]
    if calls:
        body = json.dumps({"sends": [call.report for call in calls]}).encode()
        return Post(due_s, body, len(calls), calls=tuple(call.code for call in calls))
    changes = [told for told in group if isinstance(told, Timed)]
    keys = tuple(
        _key(status, timed.change["value"]["metadata"]["phone_number_id"])
        for timed in changes
        for status in timed.change["value"].get("statuses", ())
    )
    items = sum(item_count(timed.change) for timed in changes)
    return Post(due_s, wire(envelope(changes)), items, keys)


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
