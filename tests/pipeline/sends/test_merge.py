"""Merging reports with webhooks: a fault affects its own message only, and neither the books nor other deliveries."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, text

from tests.support.books import read_books
from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.receiving.batch_writer import BatchWriter, Delivery
from webhook_app.pipeline.sends import merge, reports
from webhook_app.pipeline.sends.reports import follow_up
from webhook_app.store.postgres.errors import DriverUnavailable
from webhook_app.whatsapp.sends.graph_errors import read_graph_error
from webhook_app.whatsapp.sends.send_reports import SendReport

_letters = random.Random(1)
TOO_LONG = "".join(chr(_letters.randint(0x20000, 0x2A000)) for _ in range(800))
"""Text that cannot be compressed, in characters of four bytes."""
ERROR = {"code": 131026, "message": "Message undeliverable"}
MINUTE = timedelta(minutes=1)


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def reported(message_id: str, at: datetime, **more: Any) -> SendReport:
    found = SendReport(
        message_id=message_id,
        phone_number_id=NUMBER,
        contact="12025550117",
        template="",
        campaign="",
        category="",
        sent_at=at,
        error=None,
        endpoint="",
        request_json="",
    )
    return replace(found, **more)


def register(engine: Engine, *found: SendReport, now: datetime) -> list[bool]:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        return reports.register(connection, found, now, reported_by="shop")


def refused(message_id: str, now: datetime) -> SendReport:
    """A report that was stored before its values were limited: merging it exceeds a limit of the database."""
    long = {"template": TOO_LONG[:200], "campaign": TOO_LONG[200:400], "phone_number_id": TOO_LONG[:500]}
    return reported(message_id, now, error=read_graph_error(ERROR), **long)


def test_a_report_that_cannot_be_merged_keeps_no_other_from_being_merged(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    ids = [f"wamid.{n}" for n in range(6)]
    good = [reported(each, now, template="welcome") for each in ids if each != "wamid.3"]
    assert register(engine, *good[:2], refused("wamid.3", now), *good[2:], now=now) == [True] * 6
    writer.store([Delivery(body(*(status(each, "sent", now) for each in ids)))], now)
    follow_up(engine, now + 2 * MINUTE)
    named = rows(
        engine, "SELECT message_id FROM messages JOIN series s ON s.id = series_id WHERE template = 'welcome'"
    )
    assert {row[0] for row in named} == set(ids) - {"wamid.3"}
    assert rows(engine, "SELECT count(*) FROM sends WHERE check_at IS NOT NULL") == [(0,)]


def test_a_report_that_cannot_be_merged_changes_neither_books_nor_quarantine(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    writer.store([Delivery(body(status("wamid.P", "sent", now)))], now)
    register(engine, refused("wamid.P", now), now=now)
    ids = ["wamid.1", "wamid.2", "wamid.P", "wamid.3"]
    for _ in range(2):
        writer.store([Delivery(body(status(each, "delivered", now))) for each in ids], now)
    counted = {"received": 9, "applied": 5, "duplicate": 4, "ignored": 0, "quarantined": 0}
    assert read_books(engine) == counted
    assert rows(engine, "SELECT count(*) FROM deliveries") == [(3,)]


def test_a_merge_that_the_database_interrupts_is_left_to_the_job_and_repeats_no_delivery(
    writer: BatchWriter, engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(engine, reported("wamid.A", now, error=read_graph_error(ERROR), template="welcome"), now=now)
    follow_up(engine, now + 2 * MINUTE)

    def interrupted(*_: object, **__: object) -> None:
        raise DriverUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(merge, "merge_reports", interrupted)
        writer.store([Delivery(body(status("wamid.A", "sent", now)))], now + 3 * MINUTE)
    assert read_books(engine)["received"] == read_books(engine)["applied"] == 1
    assert follow_up(engine, now + 3 * MINUTE).confirmed == 1
