"""Erasing a person: no table identifies them in any spelling, and counts do not change."""

import json
from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import ARRAY, Engine, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from tests.support.alerts import make_alert
from tests.support.factories import NUMBER, body, document, handed_over, handover, message, status, value
from webhook_app.pipeline.counts.count_funnels import count_stages
from webhook_app.pipeline.people.erase_archive import erase_from_archive
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.receiving.replay import Replay, ReplayBusyError
from webhook_app.store.counts.messages import settled, stages
from webhook_app.store.counts.messages.funnels import funnel
from webhook_app.store.counts.rates import rates
from webhook_app.store.incidents import alerts, outbox
from webhook_app.store.operations import audit
from webhook_app.store.people import erased_opt_outs, erasure
from webhook_app.store.people.free_text import SEARCHED
from webhook_app.store.postgres import locks, partitions
from webhook_app.store.postgres.engine import driver
from webhook_app.store.postgres.locks import REPLAY_LOCK
from webhook_app.store.receiving import archive
from webhook_app.store.schema import metadata
from webhook_app.store.suppressions import opt_ins, suppressions
from webhook_app.store.suppressions.opt_ins import OptIn
from webhook_app.store.suppressions.suppressions import ChangeEvidence, Suppression
from webhook_app.whatsapp.people.traces import Traces

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
PERSON, USER, PARENT = "5511987654321", "BR.70411938265500174423", "BR.ENT.99911938265500174423"
OLD_SPELLING = "551187654321"
OTHER = "12025550118"

NO_PERSON: dict[str, str] = {
    "alembic_version": "ours",
    "api_keys": "programs, not contacts",
    "lateness": "figures",
    "books": "figures",
    "business_numbers": "the business' own numbers",
    "meta_numbers": "the business' own numbers",
    "meta_templates": "texts of the business, with placeholders",
    "template_changes": "states of the business' own templates",
    "template_readings": "moments",
    "doctor_checks": "what Meta says of the business' own accounts and numbers",
    "message_stages": "when, under a hash that goes with the id",
    "stage_counts": "figures",
    "stage_progress": "a moment",
    "erased_opt_outs": "marks that cannot be read back",
    "erased_opt_outs_secret": "random bytes",
    "failure_counts": "figures",
    "minute_counts": "figures",
    "rejections": "figures",
    "retry_progress": "a key's name and a moment",
    "scheduler_state": "our own jobs",
    "settled_days": "days",
    "session_secret": "random bytes",
    "sessions": "tokens of operators",
    "wrong_keys": "addresses of callers",
}
HARMLESS = {  # texts that Meta or we choose from few values, that name no contact, or that NOT_SEARCHED lists
    *(
        "phone_number_id",
        "waba_id",
        "status",
        "kind",
        "webhook_codes",
        "keyword",
        "category",
        "value",
        "field",
        "event",
        "reason",
        "notified_severity",
        "muted_why",
        "role",
        "via",
        "outcome",
    ),
    *(
        "template_id",
        "template_name",
        "template_language",
        "display_phone_number",
        "template",
        "campaign",
        "source",
        *("country", "domain", "ended_how", "chosen", "requested_by", "reported_by"),
    ),
    *(
        "rule",
        "severity",
        "state",
        "group_key",
        "group",
        "codes",
        "acknowledged_by",
        "channel",
        "last_error",
        "actor",
    ),
    *("snoozed_by", "batch", "subject", "subject_id", "aspect", "name", "language"),
    *(
        "owner",
        "action",
        "scope",
        "what",
        "became",
        "place",
        "raw_timestamp",
        "identity",
        "why",
        "lease",
        "leased_by",
    ),
}


def wamid(number: str, serial: int) -> str:
    return "wamid." + b64encode(f"\x1d\x0b{number}\x15{serial:09}".encode()).decode()


def dump(engine: Engine) -> dict[str, str]:
    """Every row of every table as text; archived bodies unpacked, bytes as they are read."""
    rows_of: dict[str, str] = {}
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            rows = connection.execute(table.select()).mappings().all()
            rows_of[table.name] = "\n".join(
                repr({name: _plain(held) for name, held in row.items()}) for row in rows
            )
        kept = connection.execute(text("SELECT body, packed FROM deliveries")).all()
        bodies = [each for row in kept for each in archive.unpack(row.body, packed=row.packed)]
        rows_of["deliveries"] = b"\n".join(bodies).decode("utf-8", "replace")
    return rows_of


def _plain(held: Any) -> Any:
    return bytes(held).decode("utf-8", "replace") if isinstance(held, bytes | memoryview) else held


def shown_in(engine: Engine, ids: list[str]) -> set[str]:
    """The tables in which the person can still be found, by means that do not rest on the code under test."""
    spelled = (PERSON, OLD_SPELLING, USER, PARENT, *ids)
    encoded = [b64encode(bytes(n) + PERSON.encode()).decode()[4:16] for n in range(3)]
    return {
        name
        for name, rows_of in dump(engine).items()
        if any(each in rows_of for each in (*spelled, *encoded))
    }


def counted(engine: Engine, now: datetime) -> Any:
    with engine.connect() as connection:
        span = now - 3 * DAY, now + timedelta(minutes=1)
        counts = rates(connection, *span, ()), funnel(connection, *span, ("category", "country"))
        figures = connection.execute(
            text(
                "SELECT (SELECT sum(attempts) FROM minute_counts),"
                " (SELECT count(*) FROM status_events) + (SELECT count(*) FROM settled_events),"
                " (SELECT count(*) FROM failures),"
                " (SELECT count(*) FROM messages) + (SELECT count(*) FROM settled_messages),"
                " (SELECT count(DISTINCT message_id) FROM status_events WHERE status IN ('sent', 'failed'))"
                "   + (SELECT count(*) FROM settled_messages),"
                " (SELECT sum(received) FROM books), (SELECT sum(applied) FROM books),"
                " (SELECT sum(quarantined) FROM books)"
            )
        ).one()
        return counts, tuple(figures)


def settle_a_message(writer: BatchWriter, engine: Engine, message_id: str, now: datetime) -> None:
    """Store a message to the person that was delivered weeks ago, and settle it."""
    at = now - 20 * DAY
    with engine.begin() as connection:
        partitions.ensure(connection, now, days_back=21)
        partitions.ensure_day(connection, "settled_messages", at.date())
    told = [
        status(message_id, kind, at, recipient=PERSON, biz_opaque_callback_data=f"order for {PERSON}")
        for kind in ("sent", "delivered")
    ]
    writer.store([Delivery(body(*told))], at)
    count_stages(engine, at + 10 * MINUTE)
    with engine.begin() as connection:
        assert settled.settle(connection, f"status_events_{at:%Y%m%d}", 0, now).messages == 1


def fill_every_table(writer: BatchWriter, engine: Engine, now: datetime) -> list[str]:
    """Store events that put the person into every table that can hold one; returns the ids of their messages."""
    ids = [*(wamid(PERSON, n) for n in range(6)), wamid(PERSON, 8)]
    settle_a_message(writer, engine, ids[6], now)
    at = now - timedelta(minutes=10)
    both = {"recipient_user_id": USER, "recipient_parent_user_id": PARENT}
    mine = [
        status(ids[0], "sent", at, recipient=PERSON, **both, biz_opaque_callback_data=f"order for {PERSON}"),
        status(ids[0], "read", at, recipient="", recipient_user_id=USER),
        status(ids[1], "failed", at, recipient=OLD_SPELLING, code=131026, details=f"+{PERSON} is gone"),
        status(ids[2], "sent", "soon", recipient=PERSON),
        status(ids[3], "sent", at, recipient=""),
        status("wamid.GROUP", "delivered", at, recipient="a-group", recipient_type="group",
               recipient_participant_id=PERSON),
        status(ids[4], "queued", at, recipient=PERSON),
    ]  # fmt: skip
    group = status("wamid.GROUP", "delivered", at, recipient="a-group", recipient_type="group",
                   recipient_participant_id=OTHER)  # fmt: skip
    others = [status(wamid(OTHER, n), "sent", at, recipient=OTHER) for n in range(3)]
    lost = status(wamid(OTHER, 7), "failed", at, recipient=OTHER, code=131026)
    asked = message(wamid(PERSON, 9), at, sender=PERSON)
    inbound = [
        message(ids[5], at, sender=PERSON, text="STOP"),
        asked,
        message("wamid.OTHERS", at, sender=OTHER),
    ]
    moved = message("wamid.MOVED", now, sender=PERSON) | {
        "type": "system",
        "system": {"type": "user_changed_number", "new_wa_id": "5511912345678", "body": "moved"},
    }
    stop = {
        "wa_id": PERSON,
        "category": "marketing_messages",
        "value": "stop",
        "timestamp": str(int(at.timestamp())),
    }
    preference = document(value(user_preferences=[stop]), field="user_preferences")
    alert = document(
        {"alert_info": {"alert_type": "X", "alert_description": f"because of {PERSON}"}},
        field="account_alerts",
    )
    suppressed = Suppression(contact=PERSON, reason="opted_out", since=now, seen_as=OLD_SPELLING, actor="person",
                             evidence=(ChangeEvidence(now, ids[5]),), note=f"wrote from {PERSON}")  # fmt: skip
    with engine.begin() as connection:
        suppressions.apply(connection, [suppressed], [], now)
    writer.store(
        [Delivery(body(*others, group, lost)), Delivery(body(*mine, messages=[*inbound, moved]))], now
    )
    writer.store([Delivery(json.dumps(preference).encode()), Delivery(json.dumps(alert).encode())], now)
    writer.store(
        [Delivery(handed_over(handover("control_taken", at, sender=PERSON, role="escalation")))], now
    )
    writer.store([Delivery(f"no json about {PERSON}".encode())], now - DAY)
    with engine.begin() as connection:
        agreed = OptIn(
            contact=PERSON,
            opted_in_at=now,
            channel="shop",
            note=f"as {PERSON}",
            actor="shop",
            recorded_at=now,
        )
        opt_ins.put(connection, [agreed])
        entry = audit.AuditEntry(
            at=now, actor="on-call", role="admin", via="page", action="lift", contact=PERSON
        )
        audit.insert(connection, entry)
        connection.execute(
            text(
                "INSERT INTO backtest_people (backtest_id, contact, phone_number_id, code, failures)"
                " VALUES (1, :contact, :number, 131026, 3)"
            ),
            {"contact": PERSON, "number": NUMBER},
        )
        connection.execute(text("INSERT INTO unapplied_links (contact) VALUES (:c)"), {"c": PERSON})
        alert = make_alert(
            now, rule="r", state="firing", explanation={"samples": [ids[1], wamid(OTHER, 7)], "contacts": 2}
        )
        stages.request_recount(driver(connection), [(ids[0], NUMBER)])
        alert_id = alerts.insert_new(connection, alert)
        assert alert_id
        outbox.add(connection, alert_id, "log", "fired", {"samples": [ids[1], "wamid.X"]}, now)
        connection.execute(
            text(
                "INSERT INTO retries (message_id, phone_number_id, occurred_at, error_code, contact, series_id, state,"
                " first_failed_at, attempts, failed_at, last_code, due_at)"
                " VALUES (:id, :number, :now, 131049, :contact, 1, 'waiting', :now, 0, :now, 131049, :now)"
            ),
            {"id": ids[0], "number": NUMBER, "contact": PERSON, "now": now},
        )
        connection.execute(
            text(
                "INSERT INTO sends (message_id, phone_number_id, failed, contact, sent_at, registered_at, request)"
                " VALUES (:id, :number, false, :contact, :now, :now, CAST(:request AS jsonb))"
            ),
            {
                "id": ids[0],
                "number": NUMBER,
                "contact": PERSON,
                "now": now,
                "request": json.dumps({"to": PERSON}),
            },
        )
    return ids


@pytest.mark.parametrize("already_counted", [False, True])
def test_a_person_is_erased_from_every_table_and_counts_do_not_change(
    writer, engine, now, forget, already_counted
):
    ids = fill_every_table(writer, engine, now)
    if already_counted:
        count_stages(engine, now)
        with engine.begin() as connection:
            stages.request_recount(driver(connection), [(ids[0], NUMBER)])
    before = counted(engine, now)
    assert shown_in(engine, ids) == set(erasure.HOLDS) - {"erasures"}, "the events must fill every table"
    done = forget(PERSON)
    assert shown_in(engine, ids) == set()
    assert counted(engine, now) == before
    count_stages(engine, now)
    assert counted(engine, now) == before, "nor when the same events are counted again under their new ids"
    assert (done.opted_out, done.archive_done) == (True, True)
    assert all(done.rows[name] > 0 for name in set(erasure.HOLDS) - {"erasures", "deliveries"})


@pytest.mark.parametrize("known_as", [OLD_SPELLING, USER, PARENT, "5511912345678"])
def test_the_person_is_found_by_any_of_their_keys(writer, engine, now, forget, known_as):
    ids = fill_every_table(writer, engine, now)
    forget("5511987654321" if known_as == OLD_SPELLING else known_as)
    assert shown_in(engine, ids) == set()


def test_data_of_others_does_not_change(writer, engine, now, forget):
    fill_every_table(writer, engine, now)

    def of_others() -> Any:
        with engine.connect() as connection:
            return [
                connection.execute(
                    text(f"SELECT * FROM {name} WHERE contact = :c ORDER BY 1"), {"c": OTHER}
                ).all()
                for name in ("status_events", "failures", "messages", "inbound_messages")
            ]

    before = of_others()
    assert all(before)
    forget(PERSON)
    assert of_others() == before
    rows_of = dump(engine)
    assert all(wamid(OTHER, n) in rows_of["deliveries"] for n in (0, 1, 2, 7))
    assert wamid(OTHER, 7) in rows_of["alerts"]
    assert "wamid.X" in rows_of["notifications"]


def test_somebody_else_who_got_the_number_is_not_erased(writer, engine, now, forget):
    fill_every_table(writer, engine, now)
    writer.store(
        [
            Delivery(
                body(messages=[message("wamid.NEXT", now + timedelta(seconds=2), sender=PERSON, text="stop")])
            )
        ],
        now,
    )
    forget("5511912345678")
    with engine.connect() as connection:
        assert [row.reason for row in suppressions.get(connection, PERSON)] == ["opted_out"]
        left = connection.execute(
            text("SELECT message_id FROM inbound_messages WHERE contact = :of"), {"of": PERSON}
        )
        assert list(left.scalars()) == ["wamid.NEXT"]
        assert (
            connection.execute(
                text("SELECT count(*) FROM status_events WHERE contact = :of"), {"of": PERSON}
            ).scalar()
            == 1
        )  # in a group
        left = {
            table: connection.execute(
                text(f"SELECT count(*) FROM {table} WHERE contact = :of"), {"of": PERSON}
            ).scalar()
            for table in ("sends", "opt_ins", "suppression_changes", "successes", "audit")
        }
    assert left == {"sends": 0, "opt_ins": 0, "suppression_changes": 1, "successes": 1, "audit": 0}


def test_the_record_keeps_when_and_by_whom_somebody_was_erased(writer, engine, now, forget):
    fill_every_table(writer, engine, now)
    done = forget(PERSON)
    with engine.connect() as connection:
        record = connection.execute(text("SELECT * FROM erasures")).mappings().one()
        (line,) = suppressions.changes_since(connection, 0, 10)
    assert dict(record) == {
        "id": done.id,
        "requested_at": now,
        "actor": "tester",
        "keys": [],
        "message_ids": [],
        "taken_out": True,
        "place": "",
        "finished_at": now,
    }
    assert (line.action, line.contact, line.actor, line.seq) == ("erase", "", "tester", 6)


def test_a_number_in_the_error_text_of_another_contacts_failure_is_blanked(writer, engine, now, forget):
    said = {"code": 131026, "details": f"instead of +{PERSON}"}
    failed = [status(wamid(OTHER, n), "failed", now, recipient=OTHER, **said) for n in range(2)]
    failed.append(
        status(wamid(OTHER, 3), "failed", now, recipient=OTHER, code=131026, details="switched off")
    )
    writer.store([Delivery(body(*failed))], now)
    assert {"failures", "failure_errors"} <= shown_in(engine, [])
    forget(PERSON)
    assert shown_in(engine, []) == set()
    with engine.connect() as connection:
        kept = connection.execute(
            text(
                "SELECT e.details FROM failures f JOIN failure_errors e ON e.id = f.error_id WHERE contact = :other"
            ),
            {"other": OTHER},
        )
        assert sorted(kept.scalars()) == ["erased", "erased", "switched off"]


def test_an_opt_out_leaves_only_a_mark_that_does_not_identify_the_person(writer, engine, now, forget):
    ids = fill_every_table(writer, engine, now)
    forget(PERSON)
    assert shown_in(engine, ids) == set()
    with engine.connect() as connection:
        marks = connection.execute(text("SELECT mark, phone_number_id, scope FROM erased_opt_outs")).all()
        (secret,) = connection.execute(text("SELECT secret FROM erased_opt_outs_secret")).scalars()
    assert len(secret) == 32
    assert {(row.phone_number_id, row.scope) for row in marks} == {
        ("", "all"),
        (NUMBER, "all"),
        (NUMBER, "marketing"),
    }
    hashed = {sha256(key.encode()).digest() for key in (PERSON, OLD_SPELLING, USER)}
    assert not hashed & {bytes(row.mark) for row in marks}, "without the secret nobody can be recognised"
    assert {sha256(secret + key.encode()).digest() for key in (PERSON, USER)} <= {
        bytes(row.mark) for row in marks
    }


def test_a_person_who_did_not_opt_out_leaves_no_mark(writer, engine, now, forget):
    manual = Suppression(contact=PERSON, reason="manual", since=now, actor="tester")
    with engine.begin() as connection:
        suppressions.apply(connection, [manual], [], now)
    assert not forget(PERSON).opted_out
    with engine.connect() as connection:
        assert not erased_opt_outs.are_kept(connection)


def test_a_worker_forgets_links_of_erased_people_and_links_returning_ones_anew(writer, engine, now, forget):
    def links() -> list[Any]:
        with engine.connect() as connection:
            return [
                tuple(row) for row in connection.execute(text("SELECT user_id, contact FROM contact_links"))
            ]

    def store(serial: int) -> None:
        both = status(wamid(PERSON, serial), "sent", now, recipient=PERSON, recipient_user_id=USER)
        writer.store([Delivery(body(both))], now)

    store(1)
    forget(PERSON)
    assert links() == []
    store(2)
    assert links() == [(USER, PERSON)]
    forget(PERSON)
    writer.store([Delivery(body(status(wamid(OTHER, 1), "sent", now, recipient=OTHER)))], now)
    assert links() == [], "nothing is written back from memory"


@pytest.mark.parametrize("is_webhook_first", [True, False])
def test_erasing_a_person_does_not_follow_what_a_sender_reported_about_another_s_message(
    writer, engine, now, forget, is_webhook_first
):
    def store() -> None:
        webhook = status("wamid.X", "sent", now, recipient="", recipient_user_id="US.7041abc")
        writer.store([Delivery(body(webhook))], now)

    if is_webhook_first:
        store()
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO sends (message_id, phone_number_id, failed, contact, sent_at, registered_at)"
                " VALUES ('wamid.X', '', false, :contact, :now, :now)"
            ),
            {"contact": PERSON, "now": now},
        )
    if not is_webhook_first:
        store()
    forget(PERSON)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT message_id, contact FROM status_events")).all()
        reported = connection.execute(text("SELECT contact FROM sends")).scalars().all()
    assert found == [("wamid.X", "US.7041abc")]
    assert reported == [""]


def test_an_unknown_person_can_be_erased(engine, forget):
    done = forget("4915112345678")
    assert (sum(done.rows.values()), done.opted_out, done.archive_done) == (0, False, True)


def test_a_large_archive_is_left_to_the_scheduler_and_nothing_is_replayed_meanwhile(
    writer, engine, connecting, now, forget
):
    for n in range(9):
        writer.store(
            [Delivery(body(status(wamid(PERSON, n), "sent", now, recipient=PERSON)))], now - n % 3 * DAY
        )

    assert not forget(PERSON, at_once=4).archive_done
    assert shown_in(engine, []) == {"deliveries", "erasures"}
    with pytest.raises(ReplayBusyError), Replay(connecting, now):
        pass
    assert not erase_from_archive(engine, connecting, now, go_on=lambda: False).is_done
    assert not erase_from_archive(engine, connecting, now, rows=4).is_done
    assert erase_from_archive(engine, connecting, now).is_done
    assert shown_in(engine, []) == set()
    with Replay(connecting, now) as running:
        outcome = running.of_archive(now - 9 * DAY, now + DAY, not_before=now - 90 * DAY)
    assert (outcome.applied, outcome.duplicate) == (0, 0)


def test_during_a_replay_only_the_archive_waits(writer, engine, connecting, now, forget):
    writer.store([Delivery(body(status(wamid(PERSON, 1), "sent", now, recipient=PERSON)))], now)
    with connecting() as other:
        other.execute("SELECT pg_advisory_lock(%s::bigint)", [REPLAY_LOCK])
        assert not forget(PERSON).archive_done
        assert shown_in(engine, []) == {"deliveries", "erasures"}
        locks.release(other, REPLAY_LOCK)
    assert erase_from_archive(engine, connecting, now).is_done
    assert shown_in(engine, []) == set()


def test_a_damaged_row_of_the_archive_is_deleted(writer, engine, now, forget):
    writer.store([Delivery(body(status("wamid.B", recipient=OTHER)))], now)
    with engine.begin() as connection:
        connection.execute(text("UPDATE deliveries SET body = 'damaged'"))
    assert forget(PERSON).archive_done
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM deliveries")).scalar_one() == 0


def test_every_column_that_can_identify_a_person_is_erased_or_listed_as_harmless():
    """A new table or column fails here until somebody has said what becomes of it."""
    missing = {
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        if table.name not in NO_PERSON
        for column in table.columns
        if isinstance(column.type, Text | LargeBinary | JSONB | ARRAY)
        and column.name not in erasure.HOLDS.get(table.name, frozenset()).union(SEARCHED.get(table.name, ()))
        and column.name not in HARMLESS
    }
    assert missing == set()
    assert set(erasure.HOLDS) <= set(metadata.tables)
    assert set(SEARCHED) <= set(metadata.tables)
    assert not (set(erasure.HOLDS) | set(SEARCHED)) & set(NO_PERSON)


def test_the_ids_of_this_test_contain_the_number():
    assert PERSON.encode() in b64decode(wamid(PERSON, 1).removeprefix("wamid."))
    assert Traces([PERSON]).in_text(wamid(PERSON, 1))
