"""Storing deliveries: each is committed before it is answered, counted once, and harms no neighbour."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text

from tests.support.books import read_books
from tests.support.factories import NUMBER, body, document, message, status, value
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.receiving.ingest import GroupCommit, NotStoredError
from webhook_app.store.people.contacts import keys_of
from webhook_app.store.postgres import compression
from webhook_app.store.postgres.engine import connect
from webhook_app.store.receiving.archive import unpack
from webhook_app.store.schema import metadata


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_a_thousand_sent_and_forty_failed_are_1040_attempts(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    sent = [status(f"wamid.S{n}", "sent", now) for n in range(1000)]
    failed = [status(f"wamid.F{n}", "failed", now, code=131026) for n in range(40)]
    writer.store([Delivery(body(*sent)), Delivery(body(*failed))], now)
    assert rows(engine, "SELECT sum(attempts)::int, sum(failed)::int FROM minute_counts") == [(1040, 40)]
    writer.store([Delivery(body(*failed)), Delivery(body(*sent))], now)
    assert rows(engine, "SELECT sum(attempts)::int, sum(failed)::int FROM minute_counts") == [(1040, 40)]
    assert read_books(engine) == {
        "received": 2080,
        "applied": 1040,
        "duplicate": 1040,
        "ignored": 0,
        "quarantined": 0,
    }


def test_two_messages_whose_ids_have_one_hash_without_a_key_are_counted_apart(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    ids = ("dfu6CIz6PT1auBf17Ucu2FzD", "TU9NoXsX5joY4Jm!YkRP5dm-")
    without_key = "SELECT count(DISTINCT hashtextextended(i, 0)) FROM unnest(ARRAY['{}', '{}']) i".format(
        *ids
    )
    assert rows(engine, without_key) == [(1,)]
    for each in ids:
        writer.store([Delivery(body(status(each, "failed", now, code=131049)))], now)
    assert rows(engine, "SELECT sum(attempts)::int, sum(failed)::int FROM minute_counts") == [(2, 2)]


def test_a_message_is_found_by_the_index_of_its_hash(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET enable_seqscan = off"))
        query = "EXPLAIN SELECT FROM status_events WHERE keyed_hash(message_id) = keyed_hash('wamid.A')"
        assert "Index Cond: (hashtextextended(message_id" in "\n".join(
            connection.execute(text(query)).scalars()
        )


def test_a_sent_that_comes_after_its_failed_moves_the_attempt_to_its_own_minute(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    minute = now.replace(second=0)
    writer.store([Delivery(body(status("wamid.A", "failed", minute, code=131026)))], now)
    writer.store([Delivery(body(status("wamid.A", "sent", minute - timedelta(minutes=3))))], now)
    counted = rows(
        engine,
        "SELECT minute, sum(attempts)::int FROM minute_counts GROUP BY minute HAVING sum(attempts) <> 0",
    )
    assert counted == [(minute - timedelta(minutes=3), 1)]


def test_an_attempt_is_counted_under_the_template_of_its_sent_whichever_came_first(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    failed = status("wamid.A", "failed", now, code=132015)
    sent = status("wamid.A", "sent", now - timedelta(seconds=5), biz_opaque_callback_data="template=promo")
    writer.store([Delivery(body(failed))], now)
    writer.store([Delivery(body(sent))], now)
    counted = (
        "SELECT template, sum(attempts)::int FROM minute_counts JOIN series s ON s.id = series_id GROUP BY 1"
    )
    assert sorted(rows(engine, counted)) == [("", 0), ("promo", 1)]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"id": "wamid.X\0", "title": "NUL \0 in text"},
        {"id": "wamid.\ud800", "title": "half a \ud83d surrogate"},
        {"code": 10**30},
        {"code": "131026; DROP TABLE status_events"},
        {"code": None},
        {"code": {"nested": [1]}},
        {"errors": "no list"},
        {"errors": [None, 1, [[]]]},
        {"timestamp": 10**40},
        {"timestamp": None},
        {"timestamp": "not a time"},
        {"recipient": ["a", "list"]},
        {"recipient": '","broken'},
        {"recipient": "\\"},
        {"status": "from the future"},
        {"status": ["sent"]},
        {"id": None},
        {"id": "w" * 3000},
    ],
    ids="-".join,
)
def test_one_bad_status_harms_no_other_in_its_body_or_commit(
    writer: BatchWriter, engine: Engine, now: datetime, spoilt: dict[str, object]
) -> None:
    bad = status("wamid.BAD", "failed", now, code=131026) | {
        key: held for key, held in spoilt.items() if key in ("id", "timestamp", "errors", "status")
    }
    if "code" in spoilt:
        bad["errors"] = [{"code": spoilt["code"], "title": "x"}]
    if "title" in spoilt:
        bad["errors"] = [{"code": 131026, "title": spoilt["title"], "error_data": {"details": "\0\ud800"}}]
    if "recipient" in spoilt:
        bad["recipient_id"] = spoilt["recipient"]
    neighbours = [status(f"wamid.N{n}", "sent", now) for n in range(50)]
    others = [Delivery(body(*(status(f"wamid.O{p}.{n}", "sent", now) for n in range(5)))) for p in range(90)]
    writer.store([*others[:45], Delivery(body(*neighbours[:25], bad, *neighbours[25:])), *others[45:]], now)
    found = read_books(engine)
    assert rows(engine, "SELECT count(*)::int FROM status_events WHERE message_id ~ '^wamid.[NO]'") == [
        (500,)
    ]
    assert found["received"] == 501
    assert found["applied"] + found["quarantined"] == 501


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no json",
        b"null",
        b"[]",
        b'"text"',
        b"{" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"object":"whatsapp_business_account","entry":' + b"[" * 60_000 + b"]" * 60_000 + b"}",
        b'{"object":"whatsapp_business_account","entry":{"id":"1"}}',
        b'{"object":"whatsapp_business_account","entry":[7,{"id":"1","changes":"x"},{"id":"1","changes":[null]}]}',
    ],
    ids=lambda raw: raw[:40].decode("latin-1"),
)
def test_an_unreadable_body_is_stored_whole_once(
    writer: BatchWriter, engine: Engine, now: datetime, raw: bytes
) -> None:
    writer.store([Delivery(raw)], now)
    first = read_books(engine)
    assert first["quarantined"] == first["received"] > 0
    writer.store([Delivery(raw)], now)
    second = read_books(engine)
    assert second["quarantined"] == first["quarantined"]
    assert second["duplicate"] == first["quarantined"]
    kept = rows(engine, "SELECT body FROM quarantine WHERE item IS NULL")
    assert [compression.unpack(bytes(row[0])) for row in kept] in ([], [raw])


def test_an_unknown_status_is_quarantined_with_its_whole_item(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    item = status("wamid.Q", "queued", now)
    writer.store([Delivery(body(item))], now)
    [(reason, kept)] = rows(engine, "SELECT reason, item FROM quarantine")
    assert "queued" in str(reason)
    assert json.loads(str(kept)) == item


@pytest.mark.parametrize("stamp", ["", "soon", str(2**40), "99999999999"])
def test_an_unusable_time_is_replaced_once(
    writer: BatchWriter, engine: Engine, now: datetime, stamp: str
) -> None:
    item = status("wamid.A", "sent", stamp)
    writer.store([Delivery(body(item))], now)
    writer.store([Delivery(body(item))], now + timedelta(hours=5))
    assert rows(engine, "SELECT occurred_at, clock_replaced FROM status_events") == [(now, True)]
    assert read_books(engine)["duplicate"] == 1


def test_an_event_from_the_near_future_keeps_its_place_when_it_is_sent_again_later(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    ahead = [status("wamid.A", "failed", now + timedelta(minutes=20), code=131026)]
    inbound = [message("wamid.IN", now + timedelta(minutes=20))]
    writer.store([Delivery(body(*ahead, messages=inbound))], now)
    writer.store([Delivery(body(*ahead, messages=inbound))], now + timedelta(hours=1))
    assert rows(engine, "SELECT occurred_at FROM status_events") == [(now,)]
    assert rows(engine, "SELECT occurred_at FROM failures") == [(now,)]
    assert rows(engine, "SELECT occurred_at FROM inbound_messages") == [(now,)]
    assert read_books(engine)["duplicate"] == 2


def test_group_and_payment_and_test_statuses_stay_out_of_a_contact_s_failures(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    group = status("wamid.G", "failed", now, code=131026, recipient="Z3JvdXA=", recipient_type="group")
    payment = status("wamid.P", "failed", now, type="payment")
    dummy = document(value(status("wamid.T", "failed", now, code=131026), number="123456123"), waba="0")
    writer.store([Delivery(body(group, payment)), Delivery(json.dumps(dummy).encode())], now)
    assert rows(engine, "SELECT message_id, contact, considered_at IS NULL FROM failures") == [
        ("wamid.G", "", False)
    ]
    assert read_books(engine)["ignored"] == 2


def test_the_whole_errors_array_is_kept_as_received(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    errors = [
        {"code": 131053, "title": "a", "error_data": {"details": "b"}, "more": [1, {"x": None}]},
        {"code": 131000},
    ]
    writer.store([Delivery(body(status("wamid.A", "failed", now) | {"errors": errors}))], now)
    assert rows(engine, "SELECT error_code, title, details, errors FROM failures") == [
        (131053, "a", "b", errors)
    ]


def test_raw_bodies_are_archived_byte_for_byte(writer: BatchWriter, engine: Engine, now: datetime) -> None:
    bodies = [body(status("wamid.A")), b"not json", b"", body(status("wamid.B"), status("wamid.C"))]
    writer.store([Delivery(each) for each in bodies], now)
    archive = rows(engine, "SELECT body, packed FROM deliveries")
    assert [each for row in archive for each in unpack(row[0], packed=row[1])] == bodies


def test_a_status_with_both_keys_links_them_and_an_old_event_lands_in_its_own_minute(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    old = now - timedelta(days=40)
    writer.store([Delivery(body(status("wamid.A", "sent", old, recipient_user_id="US.123")))], now)
    assert rows(engine, "SELECT user_id, contact FROM contact_links") == [("US.123", "12025550117")]
    assert rows(engine, "SELECT minute FROM minute_counts") == [(old.replace(second=0),)]


def test_a_rejected_statement_affects_only_one_delivery(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE status_events ADD CONSTRAINT refuse CHECK (message_id <> 'wamid.7') NOT VALID")
        )
    deliveries = [Delivery(body(status(f"wamid.{n}", "sent", now))) for n in range(20)]
    writer.store(deliveries, now)
    assert rows(engine, "SELECT count(*)::int FROM status_events") == [(19,)]
    [(reason, kept)] = rows(engine, "SELECT reason, body FROM quarantine")
    assert "CheckViolation" in str(reason)
    assert bytes(kept) == deliveries[7].body
    assert read_books(engine) == {
        "received": 20,
        "applied": 19,
        "duplicate": 0,
        "ignored": 0,
        "quarantined": 1,
    }


def test_a_rejected_item_affects_no_other_of_its_delivery(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE status_events ADD CONSTRAINT refuse CHECK (message_id !~ 'bad') NOT VALID")
        )
    items = [status(f"wamid.{n}", "sent", now) for n in range(9)]
    items[4]["id"] = "wamid.bad"
    payment = status("wamid.P", "captured", now, type="payment")
    crowded = body(*items, payment, messages=[message("wamid.IN", now)])
    alone = body(status("wamid.bad.too", "sent", now), payment)
    deliveries = [Delivery(raw) for raw in (crowded, body(status("wamid.other", "sent", now)), alone)]
    kept = [delivery.body for delivery in deliveries]
    writer.store(deliveries, now)
    stored = {row[0] for row in rows(engine, "SELECT message_id FROM status_events")}
    assert stored == {f"wamid.{n}" for n in range(9) if n != 4} | {"wamid.other"}
    assert rows(engine, "SELECT count(*)::int FROM inbound_messages") == [(1,)]
    assert {bytes(row[0]) for row in rows(engine, "SELECT body FROM quarantine")} == {kept[0], kept[2]}
    archive = rows(engine, "SELECT body, packed FROM deliveries")
    archived = {each for row in archive for each in unpack(row[0], packed=row[1])}
    assert archived == set(kept)
    assert read_books(engine) == {
        "received": 14,
        "applied": 10,
        "duplicate": 0,
        "ignored": 2,
        "quarantined": 2,
    }


def test_a_body_of_rejected_items_is_archived_once_and_counted_exactly(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE status_events ADD CONSTRAINT refuse CHECK (message_id !~ 'bad') NOT VALID")
        )
    items = [status(f"wamid.bad{n}", "sent", now) for n in range(300)]
    items[::3] = [status(f"wamid.{n}", "sent", now) for n in range(100)]
    delivery = Delivery(body(*items))
    for part in delivery.split(200):
        writer.store([part], now)
    [(applied, quarantined)] = rows(engine, "SELECT sum(applied)::int, sum(quarantined)::int FROM books")
    assert (applied,) == rows(engine, "SELECT count(*)::int FROM status_events")[0]
    assert rows(engine, "SELECT count(*)::int, sum(items)::int FROM quarantine") == [(2, quarantined)]
    assert applied + quarantined == 300, "no item counts as a duplicate"
    [(packed,)] = rows(engine, "SELECT body FROM deliveries")
    assert unpack(bytes(packed), packed=True) == [delivery.body]  # type: ignore[call-overload]
    for part in delivery.split(200):
        writer.store([part], now)
    assert read_books(engine) == {
        "received": 600,
        "applied": applied,
        "duplicate": 300,
        "ignored": 0,
        "quarantined": quarantined,
    }


def test_what_cannot_be_stored_or_is_odd_shares_a_commit_with_five_hundred_good_ones(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    odd = status("wamid.ODD\0\ud800", "failed", now)
    odd["errors"] = [{"code": 10**30, "title": "\0 \ud83d", "error_data": {"details": "\udc00"}}]
    good = [Delivery(body(*(status(f"wamid.{p}.{n}", "sent", now) for n in range(5)))) for p in range(100)]
    writer.store([*good[:50], Delivery(body(odd)), *good[50:]], now)
    assert rows(engine, "SELECT count(*)::int FROM deliveries") == [(1,)]  # one commit, never halved
    assert rows(engine, "SELECT count(*)::int FROM status_events WHERE status = 'sent'") == [(500,)]
    assert rows(engine, "SELECT message_id, error_code, title FROM failures") == [
        ("wamid.ODD\ufffd", -1, " \ufffd")
    ]
    assert read_books(engine) == {
        "received": 501,
        "applied": 501,
        "duplicate": 0,
        "ignored": 0,
        "quarantined": 0,
    }


def test_many_at_once_are_each_answered_after_the_commit_that_holds_them(
    database_url: str, engine: Engine
) -> None:
    ingest = GroupCommit(
        lambda: connect(database_url, application="tests"), lambda: datetime.now(UTC), slot=1, max_waiting=100
    )
    seen: list[bool] = []

    def deliver(n: int) -> None:
        ingest.submit(body(status(f"wamid.{n}", "sent")))
        with connect(database_url, application="tests") as own:
            found = own.execute(
                "SELECT 1 FROM status_events WHERE message_id = %s", [f"wamid.{n}"]
            ).fetchone()
        seen.append(found is not None)

    threads = [threading.Thread(target=deliver, args=(n,)) for n in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 60


def test_an_unavailable_database_is_reported_and_the_queue_is_empty_afterwards() -> None:
    def away() -> psycopg.Connection[object]:
        raise psycopg.OperationalError("no route")

    ingest = GroupCommit(away, lambda: datetime.now(UTC), slot=0)  # type: ignore[arg-type]
    for _ in range(3):
        with pytest.raises(NotStoredError) as caught:
            ingest.submit(body(status()))
        assert caught.value.retry_after == 5
    assert ingest._waiting == 0


def test_a_full_queue_refuses_at_once() -> None:
    release = threading.Event()

    def stuck() -> psycopg.Connection[object]:
        release.wait(10)
        raise psycopg.OperationalError("late")

    ingest = GroupCommit(stuck, lambda: datetime.now(UTC), slot=0, max_waiting=1)  # type: ignore[arg-type]
    faults: list[NotStoredError] = []

    def first() -> None:
        try:
            ingest.submit(body(status()))
        except NotStoredError as fault:
            faults.append(fault)

    thread = threading.Thread(target=first)
    thread.start()
    while ingest._waiting == 0:
        pass
    with pytest.raises(NotStoredError, match="full"):
        ingest.submit(body(status()))
    release.set()
    thread.join()
    assert len(faults) == 1


def test_a_queue_is_full_by_bytes_long_before_it_is_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook_app.pipeline.receiving.ingest._BYTES_WAITING", 1000)
    release = threading.Event()

    def stuck() -> psycopg.Connection[object]:
        release.wait(10)
        raise psycopg.OperationalError("late")

    ingest = GroupCommit(stuck, lambda: datetime.now(UTC), slot=0)  # type: ignore[arg-type]
    faults: list[str] = []

    def deliver() -> None:
        try:
            ingest.submit(b" " * 999)
        except NotStoredError as fault:
            faults.append(str(fault))

    threads = [threading.Thread(target=deliver) for _ in range(2)]
    for thread in threads:
        thread.start()
    while ingest._waiting < 2:
        pass
    assert ingest.fullness() == pytest.approx(1.998)
    with pytest.raises(NotStoredError, match="full"):
        ingest.submit(b"")
    release.set()
    for thread in threads:
        thread.join()
    assert faults == ["the database is away"] * 2
    assert ingest.fullness() == 0


@pytest.mark.parametrize("odd", [False, True])
def test_a_batch_is_full_by_the_bytes_that_it_stores(odd: bool) -> None:
    ingest = GroupCommit(lambda: pytest.fail("not connected"), lambda: datetime.now(UTC), slot=0)
    text = "\N{GRINNING FACE}" * 8_000
    items = [
        {"id": n, "status": "sent", "x": text} if odd else status(f"wamid.{n}", x=text) for n in range(2)
    ]
    delivery = Delivery(json.dumps(document(value(*items)), ensure_ascii=False).encode())
    batches = {}
    for _ in range(40):
        batch = ingest._batch_with_room(delivery)
        batch.deliveries.append(delivery)
        batch.bytes += delivery.bytes
        batches[id(batch)] = batch.bytes
    assert len(delivery.body) > 64_000
    assert max(batches.values()) <= 4 * 2**20
    assert len(batches) == (5 if odd else 1)


def test_few_large_bodies_are_parsed_before_they_can_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    large = b" " * (2**17)
    monkeypatch.setattr("webhook_app.pipeline.receiving.ingest._BYTES_PARSED", 3 * len(large))
    release, parsed = threading.Event(), []

    def stuck() -> psycopg.Connection[object]:
        release.wait(10)
        raise psycopg.OperationalError("late")

    def counted(parse: Any) -> Any:
        parsed.append(1)
        return parse()

    ingest = GroupCommit(stuck, lambda: datetime.now(UTC), slot=0, in_thread=counted)  # type: ignore[arg-type]
    faults: list[str] = []

    def deliver() -> None:
        try:
            ingest.submit(large)
        except NotStoredError as fault:
            faults.append(str(fault))

    threads = [threading.Thread(target=deliver) for _ in range(9)]
    for thread in threads:
        thread.start()
    while (ingest._bytes_waiting, ingest._waiting) != (
        9 * len(large),
        3,
    ):  # unparsed ones count by their bytes
        pass
    assert len(parsed) == 3
    release.set()
    for thread in threads:
        thread.join()
    assert (faults, len(parsed)) == (["the database is away"] * 9, 9)
    assert ingest.fullness() == 0


@pytest.mark.usefixtures("only_own_sessions")
def test_a_connection_killed_between_batches_is_replaced(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    writer.store([Delivery(body(status("wamid.1", "sent", now)))], now)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tests'"
                " AND pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    writer.store([Delivery(body(status("wamid.2", "sent", now)))], now)
    assert rows(engine, "SELECT count(*)::int FROM status_events") == [(2,)]


def test_a_delivered_message_is_queued_only_when_its_contact_is_suppressed(
    writer: BatchWriter, connection: Connection, engine: Engine, now: datetime
) -> None:
    with engine.begin() as own:
        own.execute(
            text(
                "INSERT INTO suppressions (contact, scope, reason, since)"
                " VALUES ('12025550117', 'all', 'unreachable', :now)"
            ),
            {"now": now},
        )
    reached = [status("wamid.A", "delivered", now), status("wamid.B", "read", now, recipient="12025550118")]
    writer.store([Delivery(body(*reached, messages=[message("wamid.IN", now)]))], now)
    queued = rows(engine, "SELECT contact, what, phone_number_id FROM successes ORDER BY what")
    assert queued == [("12025550117", "delivered", NUMBER), ("12025550117", "inbound", NUMBER)]


def test_a_change_of_number_is_stored_once_and_the_person_keeps_all_keys_but_the_old_number(
    writer: BatchWriter, engine: Engine, connection: Connection, now: datetime
) -> None:
    item = {"from": "12025550117", "id": "wamid.S", "timestamp": "soon", "type": "system"}
    changed = {"wa_id": "12025550129", "user_id": "US.2", "previous_user_id": "US.1"}
    item["system"] = {"type": "user_changed_number"} | changed
    for later in range(2):
        writer.store([Delivery(body(messages=[item]))], now + timedelta(hours=later))
    columns = "old_contact, new_contact, phone_number_id, message_id, occurred_at, considered_at"
    stored = ("12025550117", "12025550129", NUMBER, "wamid.S", now, None)
    assert rows(engine, f"SELECT {columns} FROM number_changes") == [stored]
    person = {"12025550129", "US.1", "US.2"}
    assert all(set(keys_of(connection, key)) == person for key in person)
    assert keys_of(connection, "12025550117") == ("12025550117",)
    assert read_books(engine) == {"received": 2, "applied": 1, "duplicate": 1, "ignored": 0, "quarantined": 0}


def test_a_message_under_one_key_reaches_the_suppression_under_another_of_the_person_s_keys(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    insert = (
        "INSERT INTO suppressions (contact, scope, reason, since) VALUES ('12025550117', 'all', 'hard', :now)"
    )
    with engine.begin() as own:
        own.execute(text(insert), {"now": now})
    changed = {"from": "12025550117", "id": "wamid.S", "timestamp": "1793000710", "type": "system"}
    changed["system"] = {"type": "user_changed_number", "wa_id": "12025550129", "user_id": "US.2"}
    by_user_id = message("wamid.IN", now) | {"from": None, "from_user_id": "US.2"}
    writer.store([Delivery(body(messages=[changed])), Delivery(body(messages=[by_user_id]))], now)
    writer.store([Delivery(body(messages=[by_user_id]))], now)
    assert rows(engine, "SELECT contact, what, message_id FROM successes") == [
        ("US.2", "inbound", "wamid.IN")
    ]


def test_nothing_that_people_wrote_is_stored_anywhere(
    writer: BatchWriter, engine: Engine, now: datetime
) -> None:
    said = "meet me at the harbour"
    inbound = message("wamid.I", now) | {"text": {"body": said}}
    spoilt = {"type": "text", "text": {"body": said}}  # without an id: quarantined
    caption = message("wamid.P", now) | {"type": "image", "image": {"id": "1", "caption": said}}
    echo = {"field": "smb_message_echoes", "value": {"message_echoes": [inbound]}}
    bodies = [
        body(messages=[inbound, spoilt, caption]),
        json.dumps(
            {"object": "whatsapp_business_account", "entry": [{"id": "9", "changes": [echo]}]}
        ).encode(),
    ]
    writer.store([Delivery(each) for each in bodies], now)
    kept = [unpack(row[0], packed=row[1]) for row in rows(engine, "SELECT body, packed FROM deliveries")]
    stored = str(kept) + "".join(
        str(rows(engine, f"SELECT t::text FROM {table.name} AS t")) for table in metadata.sorted_tables
    )
    assert len(rows(engine, "SELECT FROM inbound_messages")) == 2
    assert len(rows(engine, "SELECT FROM quarantine")) == 1
    assert said not in stored
    assert "[removed]" in stored


@pytest.mark.parametrize("link_first", [True, False], ids=["linked before", "linked by the same batch"])
@pytest.mark.parametrize(
    ("suppressed", "reached"),
    [
        ("12025550117", {"recipient": "12025550117"}),
        ("12025550117", {"recipient": "", "recipient_user_id": "US.1"}),
        ("US.1", {"recipient": "12025550117"}),
    ],
    ids=["own key", "number of a user id", "user id of a number"],
)
def test_a_delivery_under_one_key_reaches_the_suppression_under_another(
    writer: BatchWriter,
    engine: Engine,
    now: datetime,
    suppressed: str,
    reached: dict[str, str],
    link_first: bool,
) -> None:
    insert = "INSERT INTO suppressions (contact, scope, reason, since) VALUES (:contact, 'all', 'hard', :now)"
    with engine.begin() as own:
        own.execute(text(insert), {"contact": suppressed, "now": now})
        own.execute(text(insert), {"contact": "US.9", "now": now})
    links = [Delivery(body(status("wamid.S", "sent", now, recipient_user_id="US.1")))]
    delivered = Delivery(body(status("wamid.D", "delivered", now, **reached)))
    for batch in [links, [delivered]] if link_first else [[*links, delivered]]:
        writer.store(batch, now)
    delivered_to = reached.get("recipient") or reached.get("recipient_user_id") or "12025550117"
    assert rows(engine, "SELECT contact, what, message_id FROM successes") == [
        (delivered_to, "delivered", "wamid.D")
    ]


@pytest.mark.parametrize("is_first", [True, False], ids=["the first batch that finds it", "later ones"])
def test_a_suppression_under_a_user_id_that_was_made_meanwhile_is_reached_by_deliveries_to_the_number(
    writer: BatchWriter, engine: Engine, now: datetime, is_first: bool
) -> None:
    writer.store([Delivery(body(status("wamid.S", "sent", now, recipient_user_id="US.1")))], now)
    writer.store([Delivery(body(status("wamid.D1", "delivered", now)))], now)
    assert not rows(engine, "SELECT FROM successes")
    insert = "INSERT INTO suppressions (contact, scope, reason, since) VALUES ('US.1', 'all', 'hard', :now)"
    with engine.begin() as own:
        own.execute(text(insert), {"now": now})
    if not is_first:
        writer.store([Delivery(body(status("wamid.O", "sent", now, recipient="12025550118")))], now)
    reached = [status("wamid.D2", "read", now), status("wamid.D3", "read", now, recipient="12025550118")]
    writer.store([Delivery(body(*reached))], now)
    queued = {row[0] for row in rows(engine, "SELECT message_id FROM successes")}
    # The first batch leaves all of its deliveries to the job, which finds who of them has a suppression.
    assert queued == ({"wamid.D2", "wamid.D3"} if is_first else {"wamid.D2"})


@pytest.mark.parametrize(
    ("reached", "queued"),
    [
        ({"recipient": "12025550129"}, ["12025550129"]),
        ({"recipient": "", "recipient_user_id": "US.1"}, ["US.1"]),
    ],
    ids=["new number", "user id"],
)
def test_after_a_change_of_number_a_delivery_reaches_the_suppression_of_the_person(
    writer: BatchWriter, engine: Engine, now: datetime, reached: dict[str, str], queued: list[str]
) -> None:
    insert = (
        "INSERT INTO suppressions (contact, scope, reason, since) VALUES ('12025550117', 'all', 'hard', :now)"
    )
    with engine.begin() as own:
        own.execute(text(insert), {"now": now - timedelta(days=2)})
    before, at = now - timedelta(days=2), str(int((now - timedelta(days=1)).timestamp()))
    changed = {"from": "12025550117", "id": "wamid.C", "timestamp": at, "type": "system"}
    changed["system"] = {"type": "user_changed_number", "wa_id": "12025550129"}
    writer.store([Delivery(body(status("wamid.S", "sent", before, recipient_user_id="US.1")))], now)
    writer.store([Delivery(body(messages=[changed]))], now)
    writer.store([Delivery(body(status("wamid.D", "delivered", now, **reached)))], now)
    assert [row[0] for row in rows(engine, "SELECT contact FROM successes")] == queued
