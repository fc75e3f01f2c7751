"""The large benchmark writes the rows that ingest would have written, so that its results are meaningful."""

import json
import random
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text

from benchmarks.large import people
from benchmarks.large.history import make_history
from webhook_app.store.counts import baselines, lateness
from webhook_app.store.people import contacts
from webhook_app.store.postgres.engine import connect
from webhook_app.store.receiving.ingest_statement import Batch, FailureRow, StatusRow, insert_batch
from webhook_app.store.suppressions import lists, suppressions
from webhook_app.whatsapp.people.contacts import Address, parse_address
from webhook_app.whatsapp.people.numbering import country_of

_DERIVED = {
    "messages": "SELECT message_id, phone_number_id, contact, series_id, sent_at, failed_at FROM messages",
    "minute_counts": """
        SELECT minute, series_id, sum(attempts), sum(sent), sum(delivered), sum(read), sum(failed)
        FROM minute_counts GROUP BY 1, 2""",
    "failed_messages": "SELECT message_id, phone_number_id, alone, first_at, last_at FROM failed_messages",
    "failure_counts": """
        SELECT minute, series_id, error_code, sum(failures) FROM failure_counts GROUP BY 1, 2, 3
        HAVING sum(failures) <> 0""",
    "failure_errors": "SELECT id, error_code, error_subcode, source, title, details FROM failure_errors",
    "labels": "SELECT message_id, occurred_at, error_code, error_id FROM failures",
    "books": "SELECT sum(received), sum(applied), sum(duplicate) FROM books",
}
_HOURLY = {
    "hourly_counts": "SELECT hour, series_id, attempts, events FROM hourly_counts",
    "hourly_failures": "SELECT hour, error_code, series_id, failures FROM hourly_failures",
}


@pytest.fixture
def history(database_url: str, now: datetime) -> int:
    """Three days at a five-hundredth of the size; returns the number of messages."""
    with connect(database_url, application="tests") as opened:
        opened.autocommit = False
        return make_history(opened, 0.002, now, lambda _: None, days=3)


def test_ingest_derives_the_same_from_the_same_events(history, database_url, engine, now):
    with engine.begin() as connection:
        generated = _all(connection, _DERIVED)
        batch = _facts(connection)
        for table in ("status_events", "failures", "failure_errors", "messages", "minute_counts"):
            connection.execute(text(f"DELETE FROM {table}"))
        for table in ("failed_messages", "failure_counts", "books"):
            connection.execute(text(f"DELETE FROM {table}"))
    assert len(generated["messages"]) >= 0.95 * history > 200
    assert any(not row[2] for row in generated["failed_messages"]), "some message fails twice"
    with connect(database_url, application="tests") as driver:
        _deliver(driver, batch, now)
    with engine.begin() as connection:
        derived = _all(connection, _DERIVED)
    for name, rows in generated.items():
        assert rows == derived[name], name


def test_hours_and_lateness_equal_those_of_their_jobs(history, engine, now):
    with engine.begin() as connection:
        generated = _all(connection, _HOURLY)
        for hour in connection.execute(text("SELECT hour FROM summed_hours")).scalars().all():
            baselines.sum_hour(connection, hour, now)
        assert _all(connection, _HOURLY) == generated
        statement = text("SELECT minute, events, lags, reached, unsent FROM lateness ORDER BY minute")
        counted = connection.execute(statement).all()
        sample = random.Random(1).sample(counted[:-40], 20)
        assert sum(row.reached for row in sample) > 0
        for row in sample:
            lateness.count_minute(connection, row.minute)
            lateness.check_minute(connection, row.minute)
        assert connection.execute(statement).all() == counted


def test_people_have_valid_numbers_links_and_suppressions(database_url, connection, now):
    with connect(database_url, application="tests") as opened:
        opened.autocommit = False
        people.link(opened, 500)
        people.suppress(opened, 0, 60, now)
        people.suppress(opened, 60, 100, now)
    for person in range(0, 400, 7):
        contact = people.contact_of(person)
        assert parse_address(f"+{contact}") == Address(contact, f"+{contact}", "phone", is_variant=False)
        assert country_of(contact) == people.PREFIXES[person // 10 % 8][0]
        assert len(contacts.keys_of(connection, contact)) == (2 if person % 2 == 0 else 1)
        assert bool(suppressions.get(connection, contact)) == (person % 10 == 0)
    held = lists.list_page(connection, 200)
    assert len(held) == 100
    changes = suppressions.changes_since(connection, 0, 200)
    assert [change.seq for change in changes] == list(range(1, 61))
    keys = {(each.contact, each.phone_number_id, each.scope, each.reason) for each in held}
    assert {(each.contact, each.phone_number_id, each.scope, each.reason) for each in changes} < keys


def _all(connection: Connection, queries: dict[str, str]) -> dict[str, list[Any]]:
    return {name: sorted(map(tuple, connection.execute(text(query)))) for name, query in queries.items()}


def _facts(connection: Connection) -> Batch:
    events = connection.execute(text("SELECT * FROM status_events")).mappings().all()
    statuses: list[StatusRow] = [
        (
            *(row["message_id"], row["phone_number_id"], row["status"], _seconds(row["occurred_at"]), ""),
            *(row["participant"], row["error_code"], row["contact"], row["series_id"], row["category"]),
            *(row["pricing"], ""),
        )
        for row in events
    ]
    failures: list[FailureRow] = [
        (
            *(
                row["message_id"],
                row["phone_number_id"],
                _seconds(row["occurred_at"]),
                "",
                row["participant"],
            ),
            *(row["error_code"], row["contact"], row["series_id"], row["title"], row["details"]),
            *(json.dumps(row["errors"]), row["source"], row["error_subcode"], row["fbtrace_id"], False),
        )
        for row in connection.execute(text("SELECT * FROM failures")).mappings()
    ]
    return Batch(statuses, failures, [], [], 0)


def _deliver(driver: psycopg.Connection[Any], batch: Batch, now: datetime) -> None:
    """Insert all events in several batches, in random order, each with its failure."""
    assert {row[:2] for row in batch.failures} <= {row[:2] for row in batch.statuses}
    rng = random.Random(2)
    parts: list[Batch] = [Batch([], [], [], [b"{}"], 0) for _ in range(7)]
    failures = {(row[0], row[1], row[2], row[5]): row for row in batch.failures}
    for status in batch.statuses:
        part = rng.choice(parts)
        part.statuses.append(status)
        if status[2] == "failed":
            part.failures.append(failures.pop((status[0], status[1], status[3], status[6])))
    assert not failures
    for part in parts:
        insert_batch(driver, part, received_at=now + timedelta(seconds=1), slot=0)


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
