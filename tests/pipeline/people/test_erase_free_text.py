"""Erasing finds a person in texts that senders and operators wrote, and says what it did not search."""

import json
from datetime import timedelta
from random import choice
from time import perf_counter

import msgspec
import pytest
from sqlalchemy import event, text

from tests.pipeline.people.test_erase import OTHER, PERSON, dump, wamid
from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.people.erase import continue_erasures
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.people import erasure, free_text
from webhook_app.store.postgres.compression import unpack
from webhook_app.store.schema import metadata
from webhook_app.store.suppressions import suppressions
from webhook_app.store.suppressions.changes import ChangeEvidence
from webhook_app.store.suppressions.suppressions import Suppression
from webhook_app.whatsapp.people.traces import Traces

SPELLINGS = [
    "5511987654321",
    "+5511987654321",
    "+55 11 98765-4321",
    "0055 (11) 98765.4321",
    "55/11/987654321",
    "55 11 98765\u20114321",
    "５５１１９８７６５４３２１",
    "٥٥١١٩٨٧٦٥٤٣٢١",
    "011 55 11 98765 4321",
    "%2B55%2011%20987654321",
    "+55 (0)11 98765-4321",
    "55%C2%A011%C2%A0987654321",
    "%2B55%20%2811%29%20987654321",
]


@pytest.fixture
def run(engine, database_url, now):
    def statement(sql, **values):
        with engine.begin() as connection:
            connection.execute(text(sql), values)

    return statement


def write_everywhere(engine, run, writer, now, spelled):
    """The person in every searched column, in rows that are about somebody else."""
    callback = json.dumps({"template": f"hello {spelled}", "campaign": f"for {spelled}"})
    failed = status(
        wamid(OTHER, 1), "failed", now, recipient=OTHER, code=131026, biz_opaque_callback_data=callback
    )
    writer.store([Delivery(body(failed))], now)
    run("UPDATE status_events SET callback_data = ''")  # of other contacts it is not searched
    run("DELETE FROM deliveries")
    for code in (131026, 131047):
        run(
            "INSERT INTO sends (message_id, phone_number_id, failed, error_code, contact, template, campaign, sent_at,"
            " registered_at) VALUES (:id, :number, true, :code, :contact, :template, :campaign, :now, :now)",
            id="wamid.S", number=NUMBER, code=code, contact=OTHER, template=f"hello {spelled}",
            campaign=f"for {spelled}", now=now,
        )  # fmt: skip
    evidence = (ChangeEvidence(now, "wamid.S", 131026, f"for {spelled}"),)
    row = Suppression(contact=OTHER, since=now, actor="ops", note=f"asked by {spelled}", evidence=evidence)
    with engine.begin() as connection:
        suppressions.apply(connection, [row], [], now)
    group = json.dumps({"template": f"hello {spelled}"})
    run(
        'INSERT INTO alerts (rule, kind, state, group_key, "group", codes, covers_from, started_at, evaluated_at)'
        " VALUES ('r', 'rate', 'firing', CAST(:group AS text), CAST(:group AS jsonb), '{}', :now, :now, :now)",
        group=group, now=now,
    )  # fmt: skip
    run(
        "INSERT INTO silences (matchers, author, comment, since, until)"
        " VALUES (CAST(:group AS jsonb), 'ops', :comment, :now, :now)",
        group=group, comment=f"{spelled} complains", now=now,
    )  # fmt: skip
    run(
        "INSERT INTO rule_evaluations (rule, evaluated_at, nearest) VALUES ('r', :now, CAST(:group AS jsonb))",
        group=group, now=now,
    )  # fmt: skip
    run(
        "INSERT INTO notifications"
        " (incident_id, channel, reason, sequence, payload, created_at, next_try_at, last_error)"
        " VALUES (1, 'log', 'fired', 1, CAST(:group AS jsonb), :now, :now, :error)",
        group=group, now=now, error=f"no route to {spelled}",
    )  # fmt: skip
    labels = {
        "labels": {"severity": "warning", "title": f"for {spelled}"},
        "starts_at": "2026-11-01",
        "ended": False,
    }
    run(
        "INSERT INTO channel_messages (incident_id, channel, reference, shared, at)"
        " VALUES (1, 'alertmanager', :reference, false, :now)",
        reference=msgspec.json.encode(labels).decode(), now=now,
    )  # fmt: skip
    for channel in (f"shop {spelled}", f"{spelled} app"):
        run(
            "INSERT INTO opt_ins (contact, opted_in_at, channel, note, recorded_at)"
            " VALUES (:contact, :now, :channel, :note, :now)",
            contact=OTHER, now=now, channel=channel, note=f"named by {spelled}",
        )  # fmt: skip
    run(
        "INSERT INTO audit (at, actor, action, object) VALUES (:now, 'ops', 'silence', :o)",
        now=now,
        o=f"for {spelled}",
    )


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_texts_of_senders_and_operators_lose_the_person_in_any_spelling(
    engine, forget, run, writer, now, spelled
):
    write_everywhere(engine, run, writer, now, spelled)
    before = dump(engine)
    holding = {name for name, rows in before.items() if spelled in rows}
    assert holding >= {
        *("series", "sends", "suppressions", "suppression_changes", "alerts", "silences"),
        *("rule_evaluations", "notifications", "audit", "channel_messages", "opt_ins"),
    }
    done = forget(PERSON)
    after = dump(engine)
    assert {name for name, rows in after.items() if spelled in rows} == set()
    assert all(done.rows[name] > 0 for name in holding - {"failures"})
    assert {name: rows.count("\n") for name, rows in after.items() if name in holding} == {
        name: rows.count("\n") + (name == "suppression_changes")
        for name, rows in before.items()
        if name in holding
    }, "no row about somebody else is gone"
    assert done.not_searched == free_text.NOT_SEARCHED


@pytest.fixture
def sizes(engine):
    """How many rows each statement gave at once, changed, or had as values."""
    found = []

    def measure(_connection, cursor, _statement, values, _context, is_many):
        found.append(len(values) if is_many else cursor.rowcount)

    event.listen(engine, "after_cursor_execute", measure)
    yield found
    event.remove(engine, "after_cursor_execute", measure)


def test_failures_whose_error_names_the_person_are_blanked_in_parts(engine, writer, sizes, now):
    failed = [
        status(wamid(OTHER, n), "failed", now, recipient=OTHER, code=131026, details=f"not +{PERSON}")
        for n in range(510)
    ]
    writer.store([Delivery(body(*failed))], now)
    sizes.clear()
    with engine.begin() as connection:
        erasure.take_out(connection, Traces([PERSON]))
    assert 1 <= max(sizes) <= 500
    assert PERSON not in dump(engine)["failures"]


def test_texts_that_name_the_person_are_replaced_in_parts(engine, run, sizes, now):
    run(
        "INSERT INTO opt_ins (contact, opted_in_at, channel, note, recorded_at)"
        " SELECT :contact, :now, n::text, :note, :now FROM generate_series(1, 1200) n",
        contact=OTHER, now=now, note=f"named by {PERSON}",
    )  # fmt: skip
    run(
        "INSERT INTO audit (at, actor, action, object)"
        " SELECT :now, 'ops', 'silence', :object FROM generate_series(1, 1200)",
        now=now, object=f"for {PERSON}",
    )  # fmt: skip
    sizes.clear()
    with engine.begin() as connection:
        done = free_text.erase_free_text(connection, Traces([PERSON]))
    assert (done["opt_ins"], done["audit"], max(sizes)) == (1200, 1200, 50)
    assert not any(PERSON in rows for rows in dump(engine).values())


def test_notes_of_many_combining_marks_do_not_slow_an_erasure_down_and_are_searched(engine, run, now):
    marks = "\u0344" * 250 + "\u0f73" * 250
    for note, count in ((marks, 100), (f"{marks} +{PERSON}", 1)):
        run(
            "INSERT INTO opt_ins (contact, opted_in_at, channel, note, recorded_at)"
            " SELECT :contact, :now, n::text || length(:note), :note, :now FROM generate_series(1, :count) n",
            contact=OTHER, now=now, note=note, count=count,
        )  # fmt: skip
    began = perf_counter()
    with engine.begin() as connection:
        done = free_text.erase_free_text(connection, Traces([PERSON]))
    assert done["opt_ins"] == 1
    assert perf_counter() - began < 0.7, "Postgres alone would sort the marks for more than a second"


def test_every_note_and_comment_is_searched():
    written = {
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if column.name in ("note", "comment")
    }
    assert written == {
        (table, column)
        for table, columns in free_text.SEARCHED.items()
        for column in columns
        if column in ("note", "comment")
    }


def test_one_replacement_stands_for_one_template_everywhere(engine, forget, run, writer, now):
    write_everywhere(engine, run, writer, now, PERSON)
    other = json.dumps({"template": f"bye {PERSON}", "campaign": f"for {PERSON}"})
    event = status(wamid(OTHER, 2), "sent", now, recipient=OTHER, biz_opaque_callback_data=other)
    writer.store([Delivery(body(event))], now)
    forget(PERSON)
    with engine.connect() as connection:
        templates = (
            connection.execute(text("SELECT template FROM series WHERE template <> ''")).scalars().all()
        )
        sends = connection.execute(text("SELECT DISTINCT template FROM sends")).scalars().all()
        group, key = connection.execute(text('SELECT "group", group_key FROM alerts')).one()
    assert len(set(templates)) == 2
    assert all(each.startswith("erased:") for each in templates)
    assert sends[0] in templates
    assert group["template"] == sends[0]
    assert json.loads(key) == group


def test_the_receipt_of_alertmanager_stays_readable(engine, forget, run, writer, now):
    write_everywhere(engine, run, writer, now, PERSON)
    forget(PERSON)
    with engine.connect() as connection:
        reference = connection.execute(text("SELECT reference FROM channel_messages")).scalar_one()
    stored = json.loads(reference)
    assert stored["labels"].pop("title").startswith("erased")
    assert stored == {"labels": {"severity": "warning"}, "starts_at": "2026-11-01", "ended": False}


@pytest.mark.parametrize("ascii_only", [True, False])
def test_an_unreadable_item_with_full_width_digits_leaves_the_archive(
    engine, forget, writer, now, ascii_only
):
    wide = "".join(chr(0xFF10 + int(digit)) for digit in PERSON)
    strange = {"id": "x", "status": "strange", "recipient_id": wide, "timestamp": "1"}
    delivery = json.loads(body(status("wamid.OTHER", "sent", now, recipient=OTHER), strange))
    writer.store([Delivery(json.dumps(delivery, ensure_ascii=ascii_only).encode())], now)
    forget(PERSON)
    after = dump(engine)
    spellings = (wide, json.dumps(wide).strip('"'))
    assert {name for name, rows in after.items() if any(each in rows for each in spellings)} == set()
    assert "wamid.OTHER" in after["deliveries"]


def test_a_large_unreadable_item_that_names_the_person_is_deleted(engine, forget, writer, now):
    for person in (PERSON, OTHER):
        strange = {"id": 5, "status": "sent", "x": "a" * 100_000, "recipient_id": person}
        writer.store([Delivery(body(strange))], now)
    forget(PERSON)
    with engine.connect() as connection:
        [left] = connection.execute(text("SELECT body FROM quarantine")).scalars()
    assert OTHER.encode() in unpack(left)


def test_large_entries_of_the_quarantine_are_read_one_by_one_in_transactions_of_their_own(
    engine, forget, writer, now
):
    for n in range(6):
        strange = {
            "id": n,
            "status": "sent",
            "x": "".join(choice("0123456789abcdef") for _ in range(800_000)),
        }
        writer.store([Delivery(body(strange | {"recipient_id": PERSON if n % 2 else OTHER}))], now)
    transactions = []

    def note(connection, _cursor, statement, *_):
        if "FROM quarantine" in statement:
            transactions.append(connection.get_transaction())

    event.listen(engine, "before_cursor_execute", note)
    forget(PERSON)
    event.remove(engine, "before_cursor_execute", note)
    assert len(set(transactions)) == len(transactions) >= 6
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM quarantine")).scalar_one() == 3


def test_a_large_quarantine_is_left_to_the_scheduler(engine, connecting, forget, writer, now):
    for n in range(4):
        writer.store(
            [Delivery(body({"id": n, "status": "sent", "x": "a" * 2**17, "recipient_id": PERSON}))], now
        )
    done = forget(PERSON, at_once=3)
    assert (done.rows["quarantine"], done.archive_done) == (2, False)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM quarantine")).scalar_one() == 2
    assert continue_erasures(engine, connecting, now)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM quarantine")).scalar_one() == 0


def test_other_numbers_and_ordinary_texts_stay(engine, forget, run, writer, now):
    write_everywhere(engine, run, writer, now, OTHER)
    run("UPDATE audit SET object = '15511987654321 and 55119876543210'")
    before = dump(engine)
    forget(PERSON)
    after = dump(engine)
    for name in (
        "series",
        "sends",
        "suppressions",
        "alerts",
        "silences",
        "notifications",
        "audit",
        "opt_ins",
    ):
        assert after[name] == before[name]


def test_erasing_twice_within_a_day_is_harmless(engine, forget, run, writer, now):
    write_everywhere(engine, run, writer, now, PERSON)
    for at in (now, now + timedelta(hours=1)):
        forget(PERSON, now=at)
    assert not any(PERSON in rows for rows in dump(engine).values())
