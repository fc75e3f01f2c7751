"""Ingest, counts and books: any order, repetition and batching of webhooks gives the same tables as a simple model.

The model shares no code with the store: it reads the items in Meta's shape.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.support.factories import body, handed_over, handover, message, status
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.counts.rates import Filters, rates
from webhook_app.store.postgres.engine import connect
from webhook_app.whatsapp.errors.catalogue import explain

START = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
NUMBERS = ("590238114470021", "590238114470038")
CODES = (131026, 131049, 132015, 999999)
TABLES = (
    *("status_events", "failures", "messages", "minute_counts", "inbound_messages", "deliveries", "books"),
    *("failed_messages", "failure_counts"),
    *("contact_links", "clock_repairs", "quarantine", "successes", "service_windows", "handovers"),
)

Item = tuple[str, dict[str, Any]]
"""The business number, and a status, an inbound message or a handover."""


@st.composite
def items(draw: st.DrawFn) -> Item:
    number = draw(st.sampled_from(NUMBERS))
    serial = draw(st.integers(0, 4))
    at = START + timedelta(seconds=draw(st.integers(0, 29)) * 60 + draw(st.sampled_from((0, 1, 59))))
    recipient = f"1202555010{serial}"
    if draw(st.integers(0, 9)) == 0:
        return number, message(f"wamid.IN{serial}", at, sender=recipient)
    if draw(st.integers(0, 9)) == 0:
        took = draw(st.sampled_from(("control_passed", "control_taken")))
        role = draw(st.sampled_from(("ai_agent", "escalation")))
        return number, handover(took, at, sender=recipient, number=number, role=role)
    kind = draw(st.sampled_from(("sent", "sent", "delivered", "read", "failed", "failed")))
    code = draw(st.sampled_from(CODES)) if kind == "failed" else None
    callback = f"template=t{serial % 2}"
    return number, status(
        f"wamid.{serial}", kind, at, recipient=recipient, code=code, biz_opaque_callback_data=callback
    )


def posts(part: Sequence[Item]) -> list[bytes]:
    """One body for statuses and messages of each number, and one for all handovers."""
    found = []
    for number in NUMBERS:
        statuses = [item for of, item in part if of == number and "status" in item]
        messages = [item for of, item in part if of == number and "from" in item]
        if statuses or messages:
            found.append(body(*statuses, number=number, **({"messages": messages} if messages else {})))
    handovers = [item for _, item in part if "sender" in item]
    return found + ([handed_over(*handovers)] if handovers else [])


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Item], list[bytes]]:
    """A set of items, and one way Meta could deliver it: shuffled, repeated, split into POSTs."""
    whole = draw(st.lists(items(), min_size=1, max_size=25))
    repeated = draw(st.permutations(whole + draw(st.lists(st.sampled_from(whole), max_size=8))))
    bodies: list[bytes] = []
    rest = list(repeated)
    while rest:
        size = draw(st.integers(1, 6))
        part, rest = rest[:size], rest[size:]
        bodies += posts(part)
    return whole, bodies


@pytest.fixture
def clean(engine: Engine) -> Any:
    def wipe() -> None:
        with engine.begin() as connection:
            for table in TABLES:
                connection.execute(text(f"DELETE FROM {table}"))

    return wipe


def occurred(item: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(int(item["timestamp"]), UTC)


def code_of(item: dict[str, Any]) -> int:
    return item["errors"][0]["code"] if "errors" in item else -1


class Model:
    """What the tables must say, by counting the distinct items one by one."""

    def __init__(self, whole: Sequence[Item]) -> None:
        self.statuses = {
            (item["id"], number, item["status"], occurred(item), code_of(item)): item
            for number, item in whole
            if "status" in item
        }
        self.inbound = {(item["id"], number, occurred(item)) for number, item in whole if "from" in item}
        self.handovers = {
            (
                item["sender"]["phone_number"],
                number,
                occurred(item),
                item["type"] == "control_passed",
                item[item["type"]]["new_owner_role"],
            )
            for number, item in whole
            if "sender" in item
        }

    def window(self, start: datetime, end: datetime) -> tuple[int, int, dict[int, int]]:
        sent: dict[tuple[str, str], list[datetime]] = defaultdict(list)
        failed: dict[tuple[str, str], list[tuple[datetime, int]]] = defaultdict(list)
        for message_id, number, kind, at, code in self.statuses:
            if kind == "sent":
                sent[message_id, number].append(at)
            if kind == "failed":
                failed[message_id, number].append((at, code))
        inside = lambda at: start <= at < end  # noqa: E731
        counted_at = [min(times) for times in sent.values()]
        counted_at += [min(at for at, _ in times) for key, times in failed.items() if key not in sent]
        attempts = sum(map(inside, counted_at))
        per_code = Counter(code for times in failed.values() for code in {c for at, c in times if inside(at)})
        counts = lambda code: explain(code).failure_class != "withheld"  # noqa: E731
        failures = sum(any(inside(at) and counts(c) for at, c in times) for times in failed.values())
        return attempts, failures, dict(per_code)


def check(engine: Engine, whole: Sequence[Item], bodies: Sequence[bytes]) -> None:
    model = Model(whole)
    with engine.connect() as connection:
        stored = connection.execute(
            text("SELECT message_id, phone_number_id, status, occurred_at, error_code FROM status_events")
        )
        assert {tuple(row) for row in stored} == set(model.statuses)
        inbound = connection.execute(
            text("SELECT message_id, phone_number_id, occurred_at FROM inbound_messages")
        )
        assert {tuple(row) for row in inbound} == model.inbound
        handovers = connection.execute(
            text("SELECT contact, phone_number_id, occurred_at, is_ours, owner FROM handovers")
        )
        assert {tuple(row) for row in handovers} == model.handovers
        windows = connection.execute(text("SELECT contact, phone_number_id, opened_at FROM service_windows"))
        latest: dict[tuple[str, str], datetime] = {}
        for message_id, number, at in model.inbound:
            key = message_id.replace("wamid.IN", "1202555010"), number
            latest[key] = max(latest.get(key, at), at)
        assert {tuple(row) for row in windows} == {(*key, at) for key, at in latest.items()}
        failures = connection.execute(
            text("SELECT message_id, phone_number_id, 'failed', occurred_at, error_code FROM failures")
        )
        assert {tuple(row) for row in failures} == {key for key in model.statuses if key[2] == "failed"}
        raw = connection.execute(
            text(
                "SELECT date_trunc('minute', occurred_at), status, count(*) FROM status_events GROUP BY 1, 2"
            )
        )
        counted = {
            (row.minute, kind): getattr(row, kind)
            for row in connection.execute(
                text(
                    "SELECT minute, sum(sent) AS sent, sum(delivered) AS delivered, sum(read) AS read,"
                    " sum(failed) AS failed FROM minute_counts GROUP BY minute"
                )
            )
            for kind in ("sent", "delivered", "read", "failed")
            if getattr(row, kind)
        }
        assert counted == {(minute, kind): count for minute, kind, count in raw}
        for first, last in ((0, 30), (3, 9), (15, 16)):
            start, end = START + timedelta(minutes=first), START + timedelta(minutes=last)
            table = rates(connection, start, end, ["code"], Filters())
            attempts, failed, per_code = model.window(start, end)
            assert (table.attempts, table.failures) == (attempts, failed)
            assert {group["code"]: group["failures"] for group in table.groups} == per_code
        books = connection.execute(
            text(
                "SELECT sum(received), sum(applied), sum(duplicate), sum(ignored), sum(quarantined) FROM books"
            )
        ).one()
    received, applied, duplicate, ignored, quarantined = books
    delivered_items = sum(Delivery(each).parsed.received for each in bodies)
    assert received == delivered_items == applied + duplicate + ignored + quarantined
    assert applied == len(model.statuses) + len(model.inbound) + len(model.handovers)


quiet = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quiet
@given(stream=streams(), per_commit=st.integers(1, 5))
def test_any_delivery_of_the_same_items_gives_the_model_s_tables(
    engine, database_url, clean, stream, per_commit
):
    clean()
    whole, bodies = stream
    writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
    for first in range(0, len(bodies), per_commit):
        writer.store([Delivery(each) for each in bodies[first : first + per_commit]], datetime.now(UTC))
    writer.close()
    check(engine, whole, bodies)


@settings(quiet, max_examples=25)
@given(stream=streams(), seed=st.randoms(use_true_random=False))
def test_two_writers_at_once_that_each_get_everything_count_it_once(
    engine, database_url, clean, stream, seed
):
    clean()
    whole, bodies = stream
    orders = [seed.sample(bodies, len(bodies)) for _ in range(2)]
    faults: list[BaseException] = []

    def deliver(slot: int) -> None:
        writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=slot)
        try:
            for each in orders[slot]:
                writer.store([Delivery(each)], datetime.now(UTC))
        except BaseException as fault:  # noqa: BLE001  shown by the main thread
            faults.append(fault)
        finally:
            writer.close()

    threads = [threading.Thread(target=deliver, args=(slot,)) for slot in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    check(engine, whole, bodies * 2)
