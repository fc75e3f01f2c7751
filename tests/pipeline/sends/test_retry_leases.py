"""Eight senders claim, report, are late and crash at random: no message is leased twice at a time, and none is lost."""

import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

from msgspec import Struct
from sqlalchemy import Engine, text

from tests.support.factories import status
from tests.support.traffic import Traffic
from webhook_app.pipeline.sends.retries import LeasedRetry, LeaseLostError, RetryClaim, claim, report
from webhook_app.rules.sends.retries import MAX_ATTEMPTS, Permission
from webhook_app.store.sends import retries as store
from webhook_app.store.sends.retries import RetryFilters
from webhook_app.whatsapp.sends.graph_errors import read_graph_error

RATE_LIMIT, MISSING_PARAMETER = 130429, 131008
WORKERS, TURNS, MESSAGES = 8, 14, 16
KEYS = ("shop", "support", "billing")
LEASE = timedelta(seconds=20)


class Held(Struct):
    """A lease, by simulated time: from when, and until when it holds unless it is reported before."""

    since: datetime
    until: datetime


class World:
    """The simulated time, what Meta reports, and every lease that was given."""

    def __init__(self, engine: Engine, traffic: Traffic, now: datetime) -> None:
        self.engine, self._traffic = engine, traffic
        self._now, self._lock = now, threading.Lock()
        self.held: dict[str, list[Held]] = defaultdict(list)
        self.failed: set[str] = set()
        self.delivered: set[str] = set()

    def later(self, seconds: float) -> datetime:
        with self._lock:
            self._now += timedelta(seconds=seconds)
            return self._now

    def claim(self, at: datetime, key: str, limit: int) -> list[tuple[LeasedRetry, Held]]:
        asked = RetryClaim(limit=limit, lease=LEASE)
        with self.engine.begin() as connection:
            found = claim(
                connection,
                asked,
                RetryFilters(key=key),
                lambda due: [Permission(allowed=True)] * len(due),
                at,
            )
        assert all(each.retry.attempts <= MAX_ATTEMPTS for each in found)
        made = [(each, Held(at, at + LEASE)) for each in found]
        with self._lock:
            for each, held in made:
                self.held[each.retry.message_id].append(held)
        return made

    def report(self, at: datetime, leased: LeasedRetry, held: Held, outcome: str, *, code: int = 0) -> None:
        retry = leased.retry
        sent = f"{retry.message_id}+{retry.attempts}" if outcome == "sent" else ""
        error = read_graph_error({"code": code, "message": "no"}) if outcome == "failed" else None
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            try:
                report(connection, retry, retry.lease, outcome, at, reported_by=retry.leased_by, sent_message_id=sent,
                       error=error)  # fmt: skip
            except LeaseLostError:
                return
        held.until = min(held.until, at)

    def reported_by_meta(self, leased: LeasedRetry, outcome: str) -> None:
        message_id = f"{leased.retry.message_id}+{leased.retry.attempts}"
        code = RATE_LIMIT if outcome == "failed" else None
        with self._lock:
            item = status(message_id, outcome, self._now, recipient=leased.retry.contact, code=code)
            self._traffic.store(item, at=self._now)
            (self.failed if code else self.delivered).add(message_id)


def work(world: World, random: Random, key: str) -> None:
    """A sender that sends, fails, gives up, reports late or crashes."""
    for _ in range(TURNS):
        for leased, held in world.claim(world.later(random.uniform(0, 20)), key, random.randint(1, 3)):
            what = random.choice(
                ("sent", "sent", "lost again", "failed", "refused", "gave_up", "late", "crash")
            )
            at = world.later(random.uniform(0, 3) if what != "late" else 150)
            if what in ("sent", "lost again", "late"):
                is_told_first = random.random() < 0.5
                if is_told_first:
                    world.report(at, leased, held, "sent")
                world.reported_by_meta(leased, "failed" if what == "lost again" else "delivered")
                if not is_told_first:
                    world.report(at, leased, held, "sent")
            elif what == "failed":
                world.report(at, leased, held, "failed", code=RATE_LIMIT)
            elif what == "refused":
                world.report(at, leased, held, "failed", code=MISSING_PARAMETER)
            elif what == "gave_up":
                world.report(at, leased, held, "gave_up")


def drain(world: World, key: str) -> bool:
    """Send everything that is due for the key, long after the last lease; returns whether there was anything."""
    found = world.claim(world.later(150), key, 100)
    for leased, held in found:
        world.report(world.later(1), leased, held, "sent")
        world.reported_by_meta(leased, "delivered")
    return bool(found)


def test_eight_senders_never_hold_a_message_twice_and_lose_none(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    start = now - timedelta(hours=4)
    world = World(engine, traffic, start)
    world.failed |= set(traffic.failed(MESSAGES, start, RATE_LIMIT))
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda place: work(world, Random(place), KEYS[place % 3]), range(WORKERS)))
    while any(drain(world, key) for key in KEYS):
        pass
    assert sum(map(len, world.held.values())) > MESSAGES, "some were leased again"
    for leases in world.held.values():
        ordered = sorted(leases, key=lambda each: each.since)
        for earlier, following in pairwise(ordered):
            assert earlier.until <= following.since
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT id FROM retries")).scalars().all()
        retries = [found for each in rows if (found := store.get(connection, each))]
    assert {each.message_id for each in retries} == world.failed
    assert {each.state for each in retries} <= {"sent", "done", "dead"}
    sent = {each.sent_message_id for each in retries if each.state == "sent"}
    assert sent <= world.delivered | world.failed
