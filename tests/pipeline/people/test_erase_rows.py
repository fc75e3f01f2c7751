"""An erasure of many messages: in short transactions, and continued after an interruption."""

from base64 import b64encode
from datetime import timedelta

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from tests.support.alerts import make_alert
from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.people.erase import continue_erasures
from webhook_app.pipeline.people.erase_archive import erase_from_archive
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.incidents import alerts
from webhook_app.store.people.erased_messages import AT_ONCE

PERSON, OTHER = "12025550117", "12025550118"
IDS = ["wamid." + b64encode(f"{number:05}".encode()).decode() for number in range(AT_ONCE + 10)]
FIRST, LAST = min(IDS), max(IDS)
REPORTS = AT_ONCE + 20


@pytest.fixture
def messages(writer, engine, now):
    """Stores many messages of the person, of which an alert names the first, and reports without a webhook."""
    writer.store([Delivery(body(*(status(each, "sent", now, recipient=PERSON) for each in IDS)))], now)
    writer.store([Delivery(body(status("wamid.other", "sent", now, recipient=OTHER)))], now)
    with engine.begin() as connection:
        alert = make_alert(now, rule="r", state="firing", explanation={"samples": [FIRST]})
        alerts.insert_new(connection, alert)
        reported = text(
            "INSERT INTO sends (message_id, phone_number_id, failed, contact, sent_at, registered_at)"
            " SELECT 'wamid.' || i, :number, false, :contact, :now, :now FROM generate_series(1, :many) AS i"
        )
        connection.execute(reported, {"number": NUMBER, "contact": PERSON, "now": now, "many": REPORTS})


@pytest.fixture
def left(engine):
    """Counts the rows that name the person: events, reports and alerts."""
    named = (
        f"SELECT count(*) FROM status_events WHERE contact = '{PERSON}' OR message_id = '{FIRST}'",
        f"SELECT count(*) FROM sends WHERE contact = '{PERSON}'",
        f"SELECT count(*) FROM alerts WHERE CAST(explanation AS text) LIKE '%{FIRST}%'",
    )

    def count():
        with engine.connect() as connection:
            return tuple(connection.execute(text(each)).scalar_one() for each in named)

    return count


def test_no_transaction_takes_more_than_some_hundred_messages(messages, forget, left, engine):
    deleted: list[int] = [0]

    def count(_connection, cursor, statement, *_):
        deleted[-1] += cursor.rowcount if statement.startswith("DELETE") else 0

    def begin(_connection):
        deleted.append(0)

    event.listen(engine, "after_cursor_execute", count)
    event.listen(engine, "begin", begin)
    done = forget(PERSON)
    event.remove(engine, "after_cursor_execute", count)
    event.remove(engine, "begin", begin)
    assert (done.rows["status_events"], done.rows["sends"]) == (len(IDS), REPORTS)
    assert max(deleted) == 2 * AT_ONCE, "each message has a row in two tables"
    assert left() == (0, 0, 0)


@pytest.fixture
def interrupted(messages, forget, engine):
    """Lets an erasure fail at the last message."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'refused'; END$$;"
                "CREATE TRIGGER refuse BEFORE DELETE ON messages FOR EACH ROW"
                f" WHEN (old.message_id = '{LAST}') EXECUTE FUNCTION refuse()"
            )
        )
    try:
        with pytest.raises(DBAPIError):
            forget(PERSON)
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP TRIGGER refuse ON messages; DROP FUNCTION refuse()"))


def test_an_interrupted_erasure_is_continued(interrupted, left, engine, connecting, now):
    assert left() == (10, REPORTS, 1)
    assert not erase_from_archive(engine, connecting, now).is_done
    assert not continue_erasures(engine, connecting, now), "it may still run"
    assert left() == (10, REPORTS, 1)
    assert continue_erasures(engine, connecting, now + timedelta(minutes=15))
    assert left() == (0, 0, 0)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT keys, message_ids FROM erasures")).all() == [([], [])]


def test_an_interrupted_erasure_can_be_repeated(interrupted, forget, left, engine, connecting, now):
    assert forget(PERSON).rows["status_events"] == 10
    assert left() == (0, 0, 1), "the first one knows the message that the alert names"
    assert continue_erasures(engine, connecting, now + timedelta(minutes=15))
    assert left() == (0, 0, 0)


def test_an_erasure_ends_while_a_sender_goes_on_reporting_the_person(messages, forget, engine, now):
    later = {"contact": PERSON, "number": NUMBER, "at": now + timedelta(seconds=1)}
    reported = []

    def report(_connection, _cursor, statement, *_):
        if statement.startswith("DELETE FROM sends WHERE ctid") and len(reported) < 20:
            reported.append(f"wamid.later.{len(reported)}")
            insert = text(
                "INSERT INTO sends (message_id, phone_number_id, failed, contact, sent_at, registered_at)"
                " VALUES (:id, :number, false, :contact, :at, :at)"
            )
            with engine.begin() as other:
                other.execute(insert, later | {"id": reported[-1]})

    event.listen(engine, "before_cursor_execute", report)
    try:
        done = forget(PERSON)
    finally:
        event.remove(engine, "before_cursor_execute", report)
    assert done.rows["sends"] == REPORTS
    assert len(reported) == 2, "once for each part of the reports"


def test_a_deadlock_repeats_a_part_of_an_erasure(messages, forget, left, engine):
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE SEQUENCE tries; CREATE FUNCTION refuse_once() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
                " IF nextval('tries') = 1 THEN RAISE 'once' USING ERRCODE = 'deadlock_detected'; END IF; RETURN old;"
                " END$$; CREATE TRIGGER refuse_once BEFORE DELETE ON messages FOR EACH ROW"
                f" WHEN (old.message_id = '{LAST}') EXECUTE FUNCTION refuse_once()"
            )
        )
    try:
        done = forget(PERSON)
    finally:
        with engine.begin() as connection:
            drop = "DROP TRIGGER refuse_once ON messages; DROP FUNCTION refuse_once(); DROP SEQUENCE tries"
            connection.execute(text(drop))
    assert (done.rows["status_events"], left()) == (len(IDS), (0, 0, 0))


def test_an_erasure_locks_messages_before_anything_else_of_them_as_the_merge_of_reports_does(
    messages, forget, engine
):
    first = {}

    def note(_connection, _cursor, statement, *_):
        for name in ("messages", "status_events", "failures", "sends"):
            if f"FROM {name} " in statement and ("DELETE" in statement or "FOR UPDATE" in statement):
                first.setdefault(name, statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        forget(PERSON)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert list(first)[:2] == ["messages", "sends"]
    assert all("ORDER BY message_id" in first[name] for name in ("messages", "sends"))
