"""Turns events into POSTs as Meta does: batched, out of order, some of them twice. Senders' reports too.

It only plans, without clock and network; `sending.py` sends the POSTs.
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

from webhook_app.simulator.messages import Json
from webhook_app.simulator.payloads import TimedChange, envelope, item_count, wire
from webhook_app.simulator.plan import PlannedEvent
from webhook_app.simulator.send_calls import SimulatedCall

BATCH_LIMIT = 1000
"""Largest number of updates in one POST of Meta's."""

_BATCH_WAIT_S = 1.0
_COPY_DELAY_S = 2.0

# Seconds between the attempts of one POST. Meta says only: at once, then less and less often, for up to seven days.
_RETRY_DELAYS_S = (0, 10, 30, 60, 300, 900, 3600, 3 * 3600, 6 * 3600)
_LATER_RETRIES_S = 12 * 3600
_GIVE_UP_AFTER_S = 7 * 24 * 3600


class StatusKey(NamedTuple):
    """The identity of a status event, the same in every delivery of it. Error code -1 means none."""

    phone_number_id: str
    message_id: str
    status: str
    timestamp: int
    error_code: int


class Post(Struct, frozen=True):
    """One POST: its due time (seconds after the start), its bytes and what they contain."""

    due_s: float
    body: bytes
    items: int
    statuses: tuple[StatusKey, ...] = ()
    calls: tuple[int, ...] = ()
    """The codes of the send calls, if this is a sender's report and not a webhook."""
    copy: bool = False


def plan_posts(
    events: Iterable[PlannedEvent],
    start: datetime,
    rng: random.Random,
    *,
    batch: int = 1,
    duplicates: float = 0.0,
    reorder_s: float = 0.0,
) -> Iterator[Post]:
    """Return the POSTs by due time, with up to `batch` updates or send calls each; some are sent twice."""
    if not 1 <= batch <= BATCH_LIMIT:
        raise ValueError(f"a POST from Meta contains 1 to {BATCH_LIMIT} updates, not {batch}")
    if not 0 <= duplicates <= 1 or reorder_s < 0:
        raise ValueError("duplicates must be a share from 0 to 1, reorder a number of seconds")
    batches = batched(reordered(events, rng, reorder_s), batch)
    planned = (_post(group, due, start) for due, group in batches)
    return _with_copies(planned, rng, duplicates)


def reordered(events: Iterable[PlannedEvent], rng: random.Random, bound_s: float) -> Iterator[PlannedEvent]:
    """Delay each event by up to `bound_s`, so that later ones overtake it."""
    late: list[tuple[datetime, int, PlannedEvent]] = []
    serial = count()
    for event in events:
        at = event.at + timedelta(seconds=rng.uniform(0, bound_s))
        heapq.heappush(late, (at, next(serial), replace(event, at=at)))
        while late and late[0][0] <= event.at:
            yield heapq.heappop(late)[2]
    while late:
        yield heapq.heappop(late)[2]


def batched(events: Iterable[PlannedEvent], size: int) -> Iterator[tuple[datetime, list[PlannedEvent]]]:
    """Group up to `size` updates, or calls, with the group's due time, at most a second after its first event."""
    groups: dict[type[PlannedEvent], list[PlannedEvent]] = {}
    for event in events:
        for kind in [kind for kind, group in groups.items() if event.at > _closes_at(group)]:
            yield _closes_at(group := groups.pop(kind)), group
        group = groups.setdefault(type(event), [])
        group.append(event)
        if len(group) == size:
            yield event.at, groups.pop(type(event))
    for group in sorted(groups.values(), key=lambda group: group[-1].at):
        yield group[-1].at, group


def _closes_at(group: list[PlannedEvent]) -> datetime:
    return group[0].at + timedelta(seconds=_BATCH_WAIT_S)


def retry_delays(compress: float) -> Iterator[float]:
    """Return the seconds before each retry, `compress` times as fast as Meta, until Meta would give up."""
    waited = 0
    for delay in (*_RETRY_DELAYS_S, *[_LATER_RETRIES_S] * 20):
        waited += delay
        if waited > _GIVE_UP_AFTER_S:
            return
        yield delay / compress


def _post(group: list[PlannedEvent], due: datetime, start: datetime) -> Post:
    due_s = (due - start).total_seconds()
    calls = [event for event in group if isinstance(event, SimulatedCall)]
    if calls:
        body = json.dumps({"sends": [call.report for call in calls]}).encode()
        return Post(due_s, body, len(calls), calls=tuple(call.code for call in calls))
    changes = [event for event in group if isinstance(event, TimedChange)]
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
