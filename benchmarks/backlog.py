"""A backlog after an outage: its events, the POSTs that contain them, and an independent count of the expected rates.

The model counts its messages one by one and shares no counting code with the service.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Self

from sqlalchemy import Engine, text

from benchmarks.payloads import BUSINESS_NUMBERS, ENVELOPE
from webhook_app.store.counts.rates import rates
from webhook_app.whatsapp.errors.catalogue import explain

OUTAGE = timedelta(hours=36)
QUIET = timedelta(minutes=20)  # between the last event of the backlog and now: longer than any default window
STATUSES_PER_POST = 100
REPEATED = 0.05  # share of the POSTs that come twice, as Meta's retries do
WORST_FROM = timedelta(hours=9)  # before now: the start of an hour in which half of all messages failed
WORST_SHARE = 0.3  # share of all messages in that hour
CODES = (131026, 131053, 131049)


@dataclass
class BacklogMessage:
    """One message of the model; times in Unix seconds, None for an event that did not occur."""

    number: int
    sent: int | None
    failed: int | None
    code: int
    later: tuple[int, ...] = ()
    """Times of delivered and read."""


@dataclass
class Backlog:
    """Messages of the outage and healthy ones of the last minutes, and their POSTs."""

    now: datetime
    messages: list[BacklogMessage] = field(default_factory=list)
    events: int = 0

    @classmethod
    def make(cls, now: datetime, events: int, seed: int) -> Self:
        made, random = cls(now), Random(seed)
        end = int((now - QUIET).timestamp())
        start = end - int((OUTAGE - QUIET).total_seconds())
        worst = int((now - WORST_FROM).timestamp())
        while made.events < events:
            in_worst = random.random() < WORST_SHARE
            at = worst + random.randrange(3600) if in_worst else random.randrange(start, end)
            share = 0.5 if worst <= at < worst + 3600 else 0.04
            made._add(random, at, end, share)
        live = int(now.timestamp())
        for _ in range(600):  # current messages succeed, so no rule may fire
            made._add(random, live - random.randrange(600), live, 0.0)
        return made

    def _add(self, random: Random, at: int, end: int, failing: float) -> None:
        number = random.randrange(len(BUSINESS_NUMBERS))
        if random.random() < failing:
            sent = at if random.random() < 0.5 else None
            message = BacklogMessage(number, sent, min(at + random.randrange(90), end), random.choice(CODES))
        else:
            stages = range(random.choice((0, 1, 2, 2)))
            later = tuple(min(at + 5 + 60 * stage, end) for stage in stages)
            message = BacklogMessage(number, at, None, 0, later)
        self.messages.append(message)
        self.events += (message.sent is not None) + (message.failed is not None) + len(message.later)

    def bodies(self, seed: int, statuses: int = STATUSES_PER_POST) -> Iterator[bytes]:
        """Return POSTs with every event in random order, some POSTs twice."""
        random = Random(seed)
        lists: list[list[str]] = [[] for _ in BUSINESS_NUMBERS]
        for serial, message in enumerate(self.messages):
            lists[message.number] += _statuses(serial, message)
        made = []
        for (number, display), items in zip(BUSINESS_NUMBERS, lists, strict=True):
            random.shuffle(items)
            for first in range(0, len(items), statuses):
                body = ENVELOPE % (display, number, "", ",".join(items[first : first + statuses]))
                made.append(body.encode())
        made += random.sample(made, int(REPEATED * len(made)))
        random.shuffle(made)
        yield from made

    def recount(self, start: datetime, end: datetime) -> tuple[int, int, dict[int, int]]:
        """Count attempts, broken and unreachable failures, and failures by code between two times."""
        first, last = int(start.timestamp()), int(end.timestamp())
        attempts = failures = 0
        by_code: dict[int, int] = {}
        for message in self.messages:
            counted_at = message.failed if message.sent is None else message.sent
            attempts += counted_at is not None and first <= counted_at < last
            if message.failed is not None and first <= message.failed < last:
                failures += explain(message.code).failure_class != "withheld"
                by_code[message.code] = by_code.get(message.code, 0) + 1
        return attempts, failures, by_code

    def faults(self, engine: Engine, windows: int, seed: int) -> list[str]:
        """Return errors in the database: lost events, unbalanced books, windows that differ from the recount."""
        found = []
        with engine.connect() as connection:
            stored = connection.execute(text("SELECT count(*) FROM status_events")).scalar_one()
            if stored != self.events:
                found.append(f"{self.events} events, {stored} stored")
            received, applied, by_outcome = connection.execute(
                text(
                    "SELECT sum(received)::int, sum(applied)::int,"
                    " sum(applied + duplicate + ignored + quarantined)::int FROM books"
                )
            ).one()
            if applied != self.events or received != by_outcome:
                found.append(f"books: received {received}, sum of outcomes {by_outcome}, applied {applied}")
            for start, end in self._windows(windows, seed):
                table = rates(connection, start, end, ["code"])
                counted = (
                    table.attempts,
                    table.failures,
                    {group["code"]: group["failures"] for group in table.groups if group["failures"]},
                )
                if counted != (expected := self.recount(start, end)):
                    found.append(f"{start:%d %H:%M} to {end:%d %H:%M}: {counted} instead of {expected}")
        return found

    def _windows(self, count: int, seed: int) -> Iterator[tuple[datetime, datetime]]:
        random, minute = Random(seed), self.now.replace(second=0, microsecond=0)
        yield minute - OUTAGE - timedelta(hours=1), minute + timedelta(minutes=1)
        for _ in range(count):
            start = minute - timedelta(minutes=random.randrange(int(OUTAGE.total_seconds() / 60)))
            yield start, start + timedelta(minutes=random.choice((1, 15, 60)))

    @property
    def worst_hour(self) -> datetime:
        """A time at which the default rules would have fired."""
        return self.now - WORST_FROM + timedelta(minutes=40)


def _statuses(serial: int, message: BacklogMessage) -> Iterator[str]:
    events = [("sent", message.sent), ("failed", message.failed)]
    events += list(zip(("delivered", "read"), message.later, strict=False))
    for kind, at in events:
        if at is not None:
            item: dict[str, object] = {"id": f"wamid.backlog.{serial}", "status": kind, "timestamp": str(at)}
            item["recipient_id"] = f"1202{serial % 10_000_000:07}"
            if kind == "failed":
                item["errors"] = [{"code": message.code, "title": "x"}]
            yield json.dumps(item, separators=(",", ":"))
