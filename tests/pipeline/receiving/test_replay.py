"""Old webhooks read again: a newer parser rescues them, the books stay exact, and a second time changes nothing."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from tests.faults import replaying
from tests.support.books import read_books
from tests.support.factories import NUMBER, WABA, body, document, message, status, value
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.receiving.replay import Replay, ReplayBusyError
from webhook_app.store.postgres.engine import connect
from webhook_app.store.postgres.locks import REPLAY_LOCK
from webhook_app.store.receiving import quarantine
from webhook_app.store.receiving.quarantine import QuarantineFilters
from webhook_app.whatsapp.events import Parsed
from webhook_app.whatsapp.receiving import document_parser, payload, statuses

DAY = timedelta(days=1)
NAMES = ("received", "applied", "duplicate", "ignored", "quarantined")


@pytest.fixture
def replay(database_url: str, now: datetime) -> Callable[..., Replay]:
    return lambda **more: Replay(lambda: connect(database_url, application="tests"), now, **more)


@pytest.fixture
def newer_parser(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Installs a parser that knows the status `queued` (as `sent`) and the field `novelty`, for this test."""
    return lambda: replaying.newer_parser(monkeypatch.setattr)


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def archived(replay: Callable[..., Replay], now: datetime, **more: Any) -> Any:
    with replay(**more) as running:
        return running.of_archive(now - 9 * DAY, now + DAY, not_before=now - 90 * DAY)


def quarantined(replay: Callable[..., Replay], *chosen: QuarantineFilters, **more: Any) -> Any:
    with replay() as running:
        return running.of_quarantine(*chosen, **more)


def test_a_newer_parser_applies_a_quarantined_status_with_its_context(
    writer, engine, now, replay, newer_parser
):
    at = now - 3 * DAY
    unknown = status("wamid.Q", "queued", at, biz_opaque_callback_data="template=hello")
    writer.store([Delivery(body(unknown, status("wamid.A", "sent", at)))], at)
    before = read_books(engine)
    newer_parser()
    outcome = quarantined(replay)
    assert (outcome.applied, outcome.left) == (1, 0)
    assert read_books(engine) == before | {"applied": 2, "quarantined": 0}
    found = rows(
        engine,
        "SELECT e.phone_number_id, s.waba_id, s.template, e.contact, e.occurred_at, e.received_at"
        " FROM status_events e JOIN series s ON s.id = e.series_id WHERE message_id = 'wamid.Q'",
    )
    assert found == [(NUMBER, WABA, "hello", "12025550117", at, at)]
    assert rows(engine, "SELECT sum(attempts)::int FROM minute_counts") == [(2,)]
    assert rows(engine, "SELECT became, replayed_at FROM quarantine") == [("applied", now)]
    assert rows(engine, "SELECT DISTINCT day FROM books") == [(at.date(),)]


def test_a_second_replay_and_a_repeat_by_meta_change_nothing_but_the_duplicates(
    writer, engine, now, replay, newer_parser
):
    raw = body(status("wamid.Q", "queued", now))
    writer.store([Delivery(raw)], now)
    newer_parser()
    quarantined(replay)
    first = read_books(engine)
    assert quarantined(replay).looked_at == 0
    assert archived(replay, now).applied == 0
    assert read_books(engine) == first
    writer.store([Delivery(raw)], now)
    assert read_books(engine) == first | {"received": 2, "duplicate": 1}


def test_an_item_that_is_still_not_understood_stays_with_the_current_reason(writer, engine, now, replay):
    writer.store([Delivery(body(status("wamid.Q", "queued", now))), Delivery(b"no json")], now)
    before = read_books(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE quarantine SET reason = 'an older reason'"))
    outcome = quarantined(replay)
    assert (outcome.looked_at, outcome.left) == (2, 2)
    assert read_books(engine) == before
    reasons = [row[0] for row in rows(engine, "SELECT reason FROM quarantine WHERE replayed_at IS NULL")]
    assert len(reasons) == 2
    assert not any("older" in reason for reason in reasons)


def test_a_replayed_item_that_is_known_is_a_duplicate_and_one_that_is_not_needed_is_ignored(
    writer, engine, now, replay, monkeypatch
):
    odd = [status("wamid.A", "queued", now), status("wamid.B", "strange", now)]
    writer.store([Delivery(body(*odd, status("wamid.A", "sent", now)))], now)
    old = statuses.read_status

    def read(item: dict[str, Any], *place: str) -> Any:
        if item["status"] == "strange":
            return "a strange status"
        return old(item | {"status": "sent"}, *place)

    monkeypatch.setattr(statuses, "read_status", read)
    outcome = quarantined(replay)
    assert (outcome.applied, outcome.duplicate, outcome.ignored) == (0, 1, 1)
    assert read_books(engine) == dict(zip(NAMES, (3, 1, 1, 1, 0), strict=True))


@pytest.mark.parametrize(
    "broken",
    [
        document(value(statuses={"id": "wamid.X"})),
        document(value(messages=[{"type": "text"}])),
        {"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": [{"value": None}]}]},
        {"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": "x"}]},
        {"object": "whatsapp_business_account", "entry": ["x"]},
        {"object": "whatsapp_business_account", "entry": "x"},
        ["x"],
        document({"errors": "x", "metadata": {"phone_number_id": NUMBER}}),
        document({"user_preferences": [{"value": "perhaps"}]}, field="user_preferences"),
    ],
    ids=lambda broken: json.dumps(broken)[-60:],
)
def test_every_kind_of_quarantined_item_comes_with_a_webhook_that_reads_the_same_way(broken):
    (kept,) = payload.parse(json.dumps(broken).encode()).unreadable
    (again,) = payload.parse(kept.document_json.encode()).unreadable
    assert (again.identity, again.reason, again.waba_id, again.item_json, again.document_json) == (
        kept.identity,
        kept.reason,
        kept.waba_id,
        kept.item_json,
        kept.document_json,
    )


def test_many_odd_items_with_many_contacts_do_not_multiply():
    contacts = [{"wa_id": str(n), "profile": {"name": "x" * 50}} for n in range(500)]
    parsed = payload.parse(body(*({"n": n} for n in range(500)), contacts=contacts))
    assert sum(item.items for item in parsed.unreadable) == 500
    assert sum(len(item.document_json) for item in parsed.unreadable) < 500 * 400
    few = [payload.parse(body(*({"n": n} for n in range(10)), contacts=contacts)) for _ in range(50)]
    assert sum(len(item.document_json) for parsed in few for item in parsed.unreadable) < 500 * 400


def test_many_alike_items_of_a_body_are_one_entry_that_is_counted_and_replayed_item_by_item(
    writer, engine, now, replay, newer_parser
):
    raw = body(status("wamid.A", "sent", now), *(status(f"wamid.{n}", "queued", now) for n in range(500)))
    for _ in range(2):
        writer.store([Delivery(raw)], now)
    assert rows(engine, "SELECT items, reason FROM quarantine") == [
        (500, "statuses: unknown status 'queued'")
    ]
    expected = {"received": 1002, "applied": 1, "duplicate": 501, "ignored": 0, "quarantined": 500}
    assert read_books(engine) == expected
    assert quarantined(replay).left == 500
    writer.store([Delivery(body(status("wamid.7", "sent", now)))], now)
    newer_parser()
    outcome = quarantined(replay)
    assert (outcome.looked_at, outcome.applied, outcome.duplicate, outcome.left) == (500, 499, 1, 0)
    expected |= {"received": 1003, "applied": 501, "duplicate": 502, "quarantined": 0}
    assert read_books(engine) == expected
    assert rows(engine, "SELECT count(*) FROM status_events") == [(501,)]


def test_the_understood_items_of_an_entry_are_applied_and_the_others_stay(
    writer, engine, now, replay, newer_parser
):
    odd = [status(f"wamid.{n}", f"odd {n}", now) for n in range(document_parser.MAX_ITEMS)]
    good = [status("wamid.A", "sent", now), status("wamid.B", "queued", now)]
    writer.store([Delivery(body(*odd, *good))], now)
    whole = rows(engine, "SELECT sum(items)::int, count(*) < 30 FROM quarantine")
    assert whole == [(document_parser.MAX_ITEMS + 2, True)]
    assert read_books(engine)["applied"] == 0
    assert quarantined(replay).applied == 1
    newer_parser()
    outcome = quarantined(replay)
    assert (outcome.applied, outcome.left) == (1, document_parser.MAX_ITEMS)
    found = read_books(engine)
    assert (found["applied"], found["quarantined"]) == (2, document_parser.MAX_ITEMS)
    assert rows(engine, "SELECT sum(items)::int FROM quarantine") == [(document_parser.MAX_ITEMS,)]
    assert quarantined(replay).applied == 0
    assert read_books(engine) == found


def test_an_archive_replay_applies_ignored_items_and_counts_nothing_as_received(
    writer, engine, now, replay, newer_parser
):
    news = json.dumps(document({"event": "SOMETHING"}, field="novelty")).encode()
    known = body(status("wamid.A", "failed", now, code=131026), messages=[message("wamid.IN", now)])
    writer.store([Delivery(news), Delivery(known)], now - DAY)
    writer.store([Delivery(body(status("wamid.Q", "queued", now)))], now)
    assert read_books(engine) == dict(zip(NAMES, (4, 2, 0, 1, 1), strict=True))
    newer_parser()
    outcome = archived(replay, now)
    assert outcome.applied == 1
    expected = dict(zip(NAMES, (4, 4, 0, 0, 0), strict=True))
    assert read_books(engine) == expected
    assert rows(engine, "SELECT field, event FROM health_signals") == [("novelty", "SOMETHING")]
    assert rows(engine, "SELECT count(*)::int FROM deliveries") == [(2,)]
    archived(replay, now)
    assert read_books(engine) == expected
    by_day = rows(
        engine, "SELECT day, sum(received)::int, sum(applied)::int FROM books GROUP BY day ORDER BY day"
    )
    assert by_day == [((now - DAY).date(), 3, 3), (now.date(), 1, 1)]


def test_only_the_requested_period_is_replayed(writer, engine, now, replay):
    for days in (0, 1, 2):
        writer.store([Delivery(body(status(f"wamid.{days}", "sent", now)))], now - days * DAY)
    with replay() as running:
        outcome = running.of_archive(now - DAY, now, not_before=now - 90 * DAY)
    assert outcome.looked_at == 1


def test_events_deleted_by_retention_are_not_restored(writer, engine, now, replay):
    old = now - 100 * DAY
    writer.store([Delivery(body(status("wamid.old", "sent", old), messages=[message("wamid.IN", old)]))], now)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM status_events"))
        connection.execute(text("DELETE FROM inbound_messages"))
    before = read_books(engine)
    assert archived(replay, now).applied == 0
    assert read_books(engine) == before
    assert rows(engine, "SELECT 1 FROM status_events UNION ALL SELECT 1 FROM inbound_messages") == []


def test_a_body_the_database_rejected_is_applied_once_it_no_longer_does(writer, engine, now, replay):
    with engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE status_events ADD CONSTRAINT refuse CHECK (message_id <> 'wamid.1') NOT VALID")
        )
    writer.store([Delivery(body(status(f"wamid.{n}", "sent", now))) for n in range(3)], now)
    before = read_books(engine)
    assert quarantined(replay).left == 1
    assert "CheckViolation" in rows(engine, "SELECT reason FROM quarantine")[0][0]
    assert archived(replay, now).left == 1
    assert read_books(engine) == before
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE status_events DROP CONSTRAINT refuse"))
    assert quarantined(replay).applied == 1
    assert read_books(engine) == dict(zip(NAMES, (3, 3, 0, 0, 0), strict=True))


def test_items_are_chosen_by_reason_field_and_time(writer, engine, now, replay, newer_parser):
    for days in (0, 1, 2):
        writer.store([Delivery(body(status(f"wamid.{days}", "queued", now)))], now - days * DAY)
    newer_parser()
    assert quarantined(replay, QuarantineFilters(reason="nonsense")).looked_at == 0
    assert quarantined(replay, QuarantineFilters(field="security")).looked_at == 0
    assert quarantined(replay, QuarantineFilters(since=now - DAY, until=now)).applied == 1
    assert quarantined(replay, QuarantineFilters(reason="queued", field="messages"), limit=1).applied == 1
    assert rows(engine, "SELECT count(*)::int FROM quarantine WHERE replayed_at IS NULL") == [(1,)]


def test_an_entry_larger_than_asked_for_is_not_even_read(writer, engine, now, replay, newer_parser):
    large = status("wamid." + "L" * 200, "queued", now)
    writer.store([Delivery(body(large)), Delivery(body(status("wamid.S", "queued", now)))], now)
    newer_parser()
    ((limit,),) = rows(engine, "SELECT min(octet_length(document)) FROM quarantine")
    with replay(max_bytes=limit) as running:
        found = quarantine.replay_items(running._writer.connection(), quarantine.ALL, 0, 9, limit)
        assert sorted(each.webhook is None for each in found) == [False, True]
        outcome = running.of_quarantine()
    assert (outcome.looked_at, outcome.applied, outcome.left) == (2, 1, 1)
    assert quarantined(replay).applied == 1


def test_a_large_entry_is_stored_compressed_and_replayed(writer, engine, now, replay, newer_parser):
    large = status("wamid.L", "queued", now, odd="\N{GRINNING FACE}" * 50_000)
    for _ in range(2):
        writer.store([Delivery(json.dumps(document(value(large)), ensure_ascii=False).encode())], now)
    ((item, document_text, size),) = rows(engine, "SELECT item, document, octet_length(body) FROM quarantine")
    assert (item, document_text, size < 1000) == (None, "", True)
    newer_parser()
    with replay(max_bytes=2**17) as running:
        assert running.of_quarantine().left == 1
    assert quarantined(replay).applied == 1
    assert read_books(engine) == dict(zip(NAMES, (2, 1, 1, 0, 0), strict=True))


def test_only_one_replay_runs_at_a_time(replay):
    with replay(), pytest.raises(ReplayBusyError), replay():
        pass
    with replay():
        pass


def test_the_next_replay_may_begin_at_once_however_long_the_server_takes_to_end_the_session(
    replay, database_url
):
    for _ in range(50):
        with replay():
            pass
    with connect(database_url, application="tests") as other:
        with replay():
            held = "SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"
            assert other.execute(held, [REPLAY_LOCK]).fetchone() == (1,)
        assert other.execute(held, [REPLAY_LOCK]).fetchone() == (0,)


def test_a_replay_whose_session_was_ended_reports_that_and_leaves_the_rest_to_the_next(
    writer, engine, database_url, now, newer_parser
):
    writer.store([Delivery(body(*(status(f"wamid.{n}", "queued", now) for n in range(4))))], now)
    newer_parser()
    kept: list[psycopg.Connection[Any]] = []

    def connected() -> psycopg.Connection[Any]:
        kept.append(connect(database_url, application="tests"))
        return kept[-1]

    def ended(raw: bytes) -> Parsed:
        with connect(database_url, application="tests") as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [kept[0].info.backend_pid])
        return payload.parse(raw)

    with pytest.raises(psycopg.OperationalError), Replay(connected, now, read=ended) as running:
        running.of_quarantine()
    assert len(kept) == 1, "a new connection would not have the lock"
    with Replay(connected, now) as running:
        assert running.of_quarantine().applied == 4
    assert read_books(engine) == dict(zip(NAMES, (4, 4, 0, 0, 0), strict=True))


class PowerCutError(Exception):
    pass


def test_an_interrupted_replay_continues_where_it_stopped(writer, engine, database_url, now, newer_parser):
    writer.store([Delivery(body(*(status(f"wamid.{n}", "queued", now) for n in range(12))))], now)
    newer_parser()
    survived = 0

    def read(raw: bytes) -> Parsed:
        nonlocal survived
        survived += 1
        if survived % 4 == 0:
            raise PowerCutError
        return payload.parse(raw)

    def connected() -> psycopg.Connection[Any]:
        return connect(database_url, application="tests")

    for _ in range(6):
        try:
            with Replay(connected, now, read=read) as running:
                running.of_quarantine()
        except PowerCutError:
            open_items = rows(engine, "SELECT count(*)::int FROM quarantine WHERE replayed_at IS NULL")
            assert read_books(engine)["quarantined"] == open_items[0][0]
    assert read_books(engine) == dict(zip(NAMES, (12, 12, 0, 0, 0), strict=True))
    assert rows(engine, "SELECT count(*)::int FROM status_events") == [(12,)]


def test_a_damaged_archive_row_affects_no_other(writer, engine, now, replay):
    writer.store([Delivery(body(status("wamid.A", "sent", now)))], now)
    writer.store([Delivery(body(status("wamid.B", "sent", now)))], now - DAY)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE deliveries SET body = 'damaged' WHERE received_at = :now"), {"now": now}
        )
    outcome = archived(replay, now)
    assert (outcome.left, outcome.duplicate) == (1, 1)
