"""Any order and batching of the same webhooks gives the same tables, also when events differ where they seldom do.

Participants of a group in one second, tags on some events of a message only, and timestamps nobody can read, in one
commit or in several.
"""

from collections.abc import Iterator, Sequence
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
from webhook_app.store.postgres.engine import DriverConnection, connect

START = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
RECEIVED = START + timedelta(minutes=20)
"""Commits are seconds apart within this minute, in which nothing else happens."""
EMPTIED = (
    *("status_events", "failures", "messages", "failed_messages", "minute_counts", "failure_counts", "books"),
    *("inbound_messages", "service_windows", "clock_repairs", "deliveries", "contact_links", "successes"),
    "handovers",
)
MEMBERS = ("12025550117", "491711234567", "5511961234567", "2250707123456")
OLD_SPELLINGS = {"5511961234567": "551161234567", "2250707123456": "22507123456"}
MESSAGES = 5
UNREADABLE = ("soon", "later", "", str(int((RECEIVED + timedelta(days=9)).timestamp())))

Item = dict[str, Any]

times = st.one_of(
    st.sampled_from((0, 0, 1, 61)).map(lambda seconds: START + timedelta(seconds=seconds)),
    st.sampled_from(UNREADABLE),
)
spelt = st.tuples(st.sampled_from(MEMBERS), st.booleans()).map(
    lambda drawn: OLD_SPELLINGS.get(drawn[0], drawn[0]) if drawn[1] else drawn[0]
)


@st.composite
def items(draw: st.DrawFn) -> Item:
    at = draw(times)
    serial = draw(st.integers(0, MESSAGES - 1))
    if draw(st.integers(0, 4)) == 0:
        item = message(f"wamid.IN{serial}", sender=MEMBERS[serial % len(MEMBERS)])
        return item | {"timestamp": at if isinstance(at, str) else str(int(at.timestamp()))}
    if (
        isinstance(at, datetime) and draw(st.integers(0, 4)) == 0
    ):  # without a time, each is an item of its own
        what = draw(st.sampled_from(("control_passed", "control_taken")))
        return handover(what, at, sender=draw(spelt), role=f"role_{serial}")
    kind = draw(st.sampled_from(("sent", "failed", "delivered")))
    code = draw(st.sampled_from((131026, 131049, 132015))) if kind == "failed" else None
    # What Meta repeats is the same: the tag depends on what identifies the event.
    tagged = (kind, code) in (("sent", None), ("failed", 131026))
    more = {"biz_opaque_callback_data": f"template=t{serial}"} if tagged else {}
    if draw(st.booleans()):
        more |= {"recipient_type": "group", "recipient_participant_id": draw(spelt)}
        return status(f"wamid.G{serial}", kind, at, recipient="a-group", code=code, **more)
    member = MEMBERS[serial % len(MEMBERS)]
    recipient = OLD_SPELLINGS.get(member, member) if draw(st.booleans()) else member
    return status(f"wamid.{serial}", kind, at, recipient=recipient, code=code, **more)


@st.composite
def histories(draw: st.DrawFn) -> list[Item]:
    """Items, some of which another participant of the group has in the same second."""
    found = draw(st.lists(items(), min_size=2, max_size=14))
    members = {"recipient_participant_id": draw(spelt)}
    return found + [
        each | members for each in found if "recipient_participant_id" in each and draw(st.booleans())
    ]


def post(item: Item) -> Delivery:
    if "sender" in item:
        return Delivery(handed_over(item))
    return Delivery(body(item) if "status" in item else body(messages=[item]))


@pytest.fixture
def written(engine: Engine, database_url: str) -> Iterator[Any]:
    """Stores commits of items in an empty database, and returns what tables and answers then hold."""
    connections: list[DriverConnection] = []

    def opened() -> DriverConnection:
        """One connection for all writers: opening one and preparing statements takes longer than their commits."""
        if not connections or connections[-1].closed:
            connections.append(connect(database_url, application="tests"))
        return connections[-1]

    def write(commits: Sequence[Sequence[Item]]) -> dict[str, list[str]]:
        with engine.begin() as connection:
            connection.exec_driver_sql("; ".join(f"DELETE FROM {table}" for table in EMPTIED))
        writer = BatchWriter(opened, slot=0)
        for second, commit in enumerate(commits):
            writer.store([post(item) for item in commit], RECEIVED + timedelta(seconds=second))
        return dump(engine)

    yield write
    for each in connections:
        each.close()


SERIES = "(SELECT (s.template, s.country) FROM series s WHERE s.id = t.series_id)"


def when(column: str) -> str:
    """SQL: the time, or 'received' for one that was replaced by the time of receipt."""
    return (
        f"CASE WHEN date_trunc('minute', t.{column}) = '{RECEIVED}' THEN 'received' ELSE t.{column}::text END"
    )


QUERIES = {
    "status_events": f"message_id, status, participant, error_code, contact, {SERIES}, {when('occurred_at')}",
    "failures": f"message_id, participant, error_code, contact, {SERIES}, {when('occurred_at')}",
    "messages": f"message_id, {SERIES}, {when('sent_at')}, {when('failed_at')}",
    "failed_messages": f"message_id, alone, {when('first_at')}, {when('last_at')}",
    "inbound_messages": f"message_id, contact, {when('occurred_at')}",
    "service_windows": f"contact, {when('opened_at')}",
    "handovers": f"contact, is_ours, owner, {when('occurred_at')}",
}


def dump(engine: Engine) -> dict[str, list[str]]:
    found = {}
    with engine.connect() as connection:
        for table, columns in QUERIES.items():
            rows = connection.execute(text(f"SELECT {columns} FROM {table} t"))
            found[table] = sorted(map(str, rows))
        for name in ("attempts", "sent", "delivered", "failed"):
            counted = (
                f"SELECT t.minute, {SERIES}, sum({name}) FROM minute_counts t"
                f" GROUP BY 1, 2 HAVING sum({name}) <> 0"
            )
            found[name] = sorted(map(str, connection.execute(text(counted))))
        counted = (
            f"SELECT t.minute, {SERIES}, t.error_code, sum(failures) FROM failure_counts t"
            " GROUP BY 1, 2, 3 HAVING sum(failures) <> 0"
        )
        found["failure_counts"] = sorted(map(str, connection.execute(text(counted))))
        for group in ("template", "country", "code"):
            table = rates(connection, START, RECEIVED + timedelta(minutes=1), [group], Filters())
            shown = [{name: each[name] for name in (group, "attempts", "failures")} for each in table.groups]
            found[f"rates by {group}"] = sorted(map(str, shown))
    return found


@settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(whole=histories(), data=st.data())
def test_any_order_and_batching_gives_the_same_tables_and_answers(
    written: Any, whole: list[Item], data: Any
) -> None:
    again = data.draw(st.permutations(whole + data.draw(st.lists(st.sampled_from(whole), max_size=4))))
    size = data.draw(st.integers(1, 8))
    assert written([again[i : i + size] for i in range(0, len(again), size)]) == written([whole])
