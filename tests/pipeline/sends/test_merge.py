"""Merging reports with webhooks: a fault affects its own message only, and neither the books nor other deliveries."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, text

from tests.support.books import read_books
from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.sends import merge, reports
from webhook_app.pipeline.sends.merge import MERGED_AT_ONCE, MERGED_WITH_WEBHOOKS
from webhook_app.pipeline.sends.reports import follow_up
from webhook_app.store.postgres.engine import connect, driver
from webhook_app.store.postgres.errors import DriverUnavailable, LockNotAvailable
from webhook_app.store.receiving.ingest_statement import Batch, insert_batch
from webhook_app.store.sends import reports as sends
from webhook_app.store.sends.reports import MAX_PER_MESSAGE, KnownSend
from webhook_app.whatsapp.sends.graph_errors import read_graph_error
from webhook_app.whatsapp.sends.send_reports import SendReport

_letters = random.Random(1)
TOO_LONG = "".join(chr(_letters.randint(0x20000, 0x2A000)) for _ in range(800))
"""Text that cannot be compressed, in characters of four bytes."""
ERROR = {"code": 131026, "message": "Message undeliverable"}
MINUTE = timedelta(minutes=1)
_TIME_OUT = """
CREATE FUNCTION takes_too_long() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'a statement that takes too long' USING ERRCODE = 'query_canceled'; END $$;
CREATE TRIGGER takes_too_long BEFORE UPDATE ON messages
FOR EACH ROW WHEN (old.message_id = 'wamid.2') EXECUTE FUNCTION takes_too_long()
"""


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


def register(
    engine: Engine, *found: SendReport, now: datetime, reported_by: str = "shop"
) -> list[reports.Outcome]:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        return reports.register(connection, found, now, reported_by=reported_by)


def refused(message_id: str, now: datetime) -> SendReport:
    """A report that was stored before its values were limited: merging it exceeds a limit of the database."""
    long = {"template": TOO_LONG[:200], "campaign": TOO_LONG[200:400], "phone_number_id": TOO_LONG[:500]}
    return reported(message_id, now, error=read_graph_error(ERROR), **long)


def test_a_report_that_cannot_be_merged_keeps_no_other_from_being_merged(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    ids = [f"wamid.{n}" for n in range(6)]
    good = [reported(each, now, template="welcome") for each in ids if each != "wamid.3"]
    assert register(engine, *good[:2], refused("wamid.3", now), *good[2:], now=now) == ["stored"] * 6
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


def failed_calls(message_id: str, at: datetime, codes: range, **more: Any) -> list[SendReport]:
    """Failed calls of a message, each with a code of its own."""
    errors = [read_graph_error({"code": code, "message": "no"}) for code in codes]
    return [reported(message_id, at, error=error, **more) for error in errors]


def test_a_message_takes_no_more_reports_than_the_limit(engine: Engine, now: datetime) -> None:
    calls = failed_calls("wamid.A", now, range(1_000_000, 1_000_100))
    kept, rest = calls[:MAX_PER_MESSAGE], calls[MAX_PER_MESSAGE:]
    other = reported("wamid.B", now)
    assert register(engine, *kept[:5], now=now) == ["stored"] * 5
    outcomes = register(engine, *calls, other, replace(kept[5]), now=now)
    taken = ["duplicate"] * 5 + ["stored"] * (MAX_PER_MESSAGE - 5)
    assert outcomes == [*taken, *["refused"] * len(rest), "stored", "duplicate"]
    assert register(engine, rest[0], rest[0], kept[-1], now=now) == ["refused", "refused", "duplicate"]
    counted = rows(engine, "SELECT message_id, count(*) FROM sends GROUP BY 1 ORDER BY 1")
    assert counted == [("wamid.A", MAX_PER_MESSAGE), ("wamid.B", 1)]


def test_another_key_cannot_use_up_the_reports_of_a_sender(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    register(engine, reported("wamid.A", now), now=now)
    made_up = failed_calls("wamid.A", now, range(MAX_PER_MESSAGE + 5))
    register(engine, *made_up, now=now, reported_by="other")
    own = failed_calls("wamid.A", now, range(100, 100 + MAX_PER_MESSAGE))
    assert register(engine, *own[1:], now=now) == ["stored"] * (MAX_PER_MESSAGE - 1)
    assert register(engine, own[0], now=now) == ["refused"]
    writer.store([Delivery(body(status("wamid.A", "sent", now)))], now)
    follow_up(engine, now + 2 * MINUTE)
    merged = rows(engine, "SELECT error_code FROM failures WHERE error_code >= 100 ORDER BY 1")
    assert merged == [(code,) for code in range(101, 100 + MAX_PER_MESSAGE)]


def test_failed_calls_without_an_id_of_meta_s_do_not_wait_for_the_job_that_suppresses(
    engine: Engine, now: datetime
) -> None:
    known = {"phone_number_id": NUMBER, "contact": "12025550117"}
    for message_id in ("send:1", "wamid.1"):
        register(engine, *failed_calls(message_id, now, range(131026, 131027), **known), now=now)
    waiting = rows(engine, "SELECT message_id FROM failures WHERE considered_at IS NULL")
    assert waiting == [("wamid.1",)]


def test_generated_ids_are_limited_too(engine: Engine, now: datetime) -> None:
    calls = failed_calls("send:mine", now, range(MAX_PER_MESSAGE + 1))
    assert register(engine, *calls, now=now)[-1] == "refused"
    assert rows(engine, "SELECT count(*) FROM failures") == [(MAX_PER_MESSAGE,)]


def test_webhooks_merge_no_more_reports_than_the_limit(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    """Reports of a version without the limit, whose events were stored before a webhook named the number."""
    calls = failed_calls("wamid.A", now, range(3 * MAX_PER_MESSAGE), phone_number_id="")
    with engine.begin() as connection:
        sends.insert(connection, calls, now, now, reported_by="shop")
    stored = [
        merge.FailedCall("wamid.A", "", now, call.error, KnownSend(), "shop")
        for call in calls
        if call.error is not None
    ]
    with engine.connect() as connection:
        merge.store_failed_calls(driver(connection), stored, now=now, slot=0)
        connection.commit()
    writer.store([Delivery(body(status("wamid.A", "sent", now)))], now)
    follow_up(engine, now + 2 * MINUTE)
    of_calls = (
        "SELECT phone_number_id, count(*), count(DISTINCT error_code), min(error_code), max(error_code)"
    )
    kept = [(NUMBER, MAX_PER_MESSAGE, MAX_PER_MESSAGE, 0, MAX_PER_MESSAGE - 1)]
    assert rows(engine, f"{of_calls} FROM failures GROUP BY 1") == kept
    assert rows(engine, f"{of_calls} FROM status_events WHERE status = 'failed' GROUP BY 1") == kept
    assert rows(engine, "SELECT sum(failed), sum(attempts) FROM minute_counts") == [(MAX_PER_MESSAGE, 1)]


def test_a_batch_of_webhooks_merges_the_failed_calls_of_some_messages_and_leaves_the_rest_to_the_job(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    ids = [f"wamid.{n:03}" for n in range(MERGED_WITH_WEBHOOKS + 5)]
    calls = [reported(each, now, error=read_graph_error(ERROR), template="welcome") for each in ids]
    counted = "SELECT count(*) FROM failures WHERE source = 'send'"
    merged = "SELECT count(*) FROM messages JOIN series s ON s.id = series_id WHERE template = 'welcome'"
    with engine.begin() as connection:
        sends.insert(connection, calls, now + MINUTE, now, reported_by="shop")
    writer.store([Delivery(body(*(status(each, "sent", now) for each in ids)))], now)
    assert rows(engine, counted) == [(MERGED_WITH_WEBHOOKS,)]
    assert rows(engine, merged) == [(len(ids),)]
    follow_up(engine, now)
    assert rows(engine, counted) == [(len(ids),)]


def test_a_request_merges_some_messages_with_failed_calls_and_leaves_the_rest_to_the_job(
    engine: Engine, now: datetime
) -> None:
    calls = [reported(f"wamid.{n:03}", now, error=read_graph_error(ERROR)) for n in range(MERGED_AT_ONCE + 5)]
    counted = "SELECT count(*) FROM failures WHERE source = 'send'"
    register(engine, *calls, now=now)
    assert rows(engine, counted) == [(MERGED_AT_ONCE,)]
    follow_up(engine, now)
    assert rows(engine, counted) == [(len(calls),)]


def test_a_fault_of_the_database_leaves_one_message_for_later_and_merges_the_others(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    ids = [f"wamid.{n}" for n in range(4)]
    writer.store([Delivery(body(*(status(each, "sent", now) for each in ids)))], now)
    with engine.begin() as connection:
        sends.insert(
            connection,
            [reported(each, now, template="welcome") for each in ids],
            now,
            now,
            reported_by="shop",
        )
        connection.execute(text(_TIME_OUT))
    follow_up(engine, now + 2 * MINUTE)
    merged = "SELECT message_id FROM messages JOIN series s ON s.id = series_id WHERE template = 'welcome' ORDER BY 1"
    assert rows(engine, merged) == [("wamid.0",), ("wamid.1",), ("wamid.3",)]
    waiting = "SELECT message_id FROM sends WHERE check_at IS NOT NULL"
    assert rows(engine, waiting) == [("wamid.2",)]
    with engine.begin() as connection:
        connection.execute(text("DROP FUNCTION takes_too_long CASCADE"))
    follow_up(engine, now + timedelta(hours=1))
    assert len(rows(engine, merged)) == 4
    assert rows(engine, waiting) == []


def test_a_message_is_locked_before_its_events_as_erasures_lock_it(
    writer: BatchWriter, engine: Engine, database_url: str, now: datetime
) -> None:
    writer.store([Delivery(body(status("wamid.1", "sent", now)))], now)
    with engine.begin() as connection:
        sends.insert(connection, [reported("wamid.1", now, template="t")], now, now, reported_by="shop")
    with engine.connect() as erasure, connect(database_url, application="tests") as own:
        for table in ("messages", "status_events"):
            erasure.execute(text(f"SELECT FROM {table} FOR UPDATE"))
        own.execute("SET lock_timeout = 20")
        with pytest.raises(LockNotAvailable) as found:
            merge.merge_reports(own, ["wamid.1"], now=now, slot=0)
    assert 'in relation "messages"' in (found.value.diag.context or "")


@pytest.fixture
def failed_call(writer: BatchWriter, engine: Engine, now: datetime) -> None:
    """Stores a message with its sent status, and a failed call that was not merged with it."""
    writer.store([Delivery(body(status("wamid.1", "sent", now)))], now)
    with engine.begin() as connection:
        call = reported("wamid.1", now, error=read_graph_error(ERROR))
        sends.insert(connection, [call], now + MINUTE, now, reported_by="shop")


def test_webhooks_of_a_message_that_others_are_changing_leave_its_reports_to_the_job(
    writer: BatchWriter, engine: Engine, now: datetime, failed_call: None
) -> None:
    with engine.connect() as other:
        other.execute(text("SELECT FROM messages FOR UPDATE"))
        other.execute(text("SELECT FROM failures FOR UPDATE"))
        writer.store([Delivery(body(status("wamid.1", "delivered", now)))], now)
        assert rows(engine, "SELECT check_at FROM sends") == [(now,)]
    follow_up(engine, now)
    assert rows(engine, "SELECT source FROM failures") == [("send",)]


def test_a_failure_that_a_webhook_reports_too_is_the_webhook_s_once_nobody_holds_it(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    source = "SELECT source FROM failures"
    writer.store([Delivery(body(status("wamid.1", "sent", now)))], now)
    register(engine, reported("wamid.1", now, error=read_graph_error(ERROR)), now=now)
    with engine.connect() as other:
        other.execute(text(f"{source} FOR UPDATE"))
        writer.store([Delivery(body(status("wamid.1", "failed", now, code=ERROR["code"])))], now)
        assert rows(engine, source) == [("send",)]
    writer.store([Delivery(body(status("wamid.2", "sent", now)))], now)
    assert rows(engine, source) == [("webhook",)]


def test_a_request_about_a_message_that_others_are_changing_leaves_it_to_the_job(
    engine: Engine, now: datetime, failed_call: None
) -> None:
    with engine.connect() as other:
        other.execute(text("SELECT FROM messages FOR UPDATE"))
        call = reported("wamid.1", now, error=read_graph_error({"code": 131000, "message": "no"}))
        assert register(engine, call, now=now) == ["stored"]
    assert set(rows(engine, "SELECT check_at FROM sends")) == {(now,)}


def test_webhooks_lock_a_message_before_its_failures(
    writer: BatchWriter, engine: Engine, database_url: str, now: datetime
) -> None:
    writer.store([Delivery(body(status("wamid.1", "failed", now, code=131026)))], now)
    with engine.connect() as other, connect(database_url, application="tests") as own:
        for table in ("messages", "failed_messages"):
            other.execute(text(f"SELECT FROM {table} FOR UPDATE"))
        own.execute("SET lock_timeout = 20")
        row = (
            "wamid.1",
            NUMBER,
            "failed",
            int(now.timestamp()) - 5,
            "",
            "",
            131026,
            "12025550117",
            1,
            "",
            0,
            "",
        )
        failure = ("wamid.1", NUMBER, row[3], "", "", 131026, row[7], 1, "", "", "", "webhook", -1, "", True)
        with pytest.raises(LockNotAvailable) as found:
            insert_batch(own, Batch([row], [failure], [], [], 0), received_at=now, slot=0)
    assert 'in relation "messages"' in (found.value.diag.context or "")
