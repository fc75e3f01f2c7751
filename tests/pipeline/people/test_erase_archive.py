"""Bodies and quarantined items that are slow to search neither stop erasures nor keep anybody waiting."""

from itertools import pairwise
from random import Random
from time import process_time, thread_time

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from tests.support.factories import body, status
from webhook_app.pipeline.people.erase import continue_erasures, erase
from webhook_app.pipeline.people.giving_way import GivingWay
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.receiving.replay import Replay
from webhook_app.store.postgres.engine import connect
from webhook_app.store.receiving.archive import unpack

PERSON, OTHER = "12025550117", "12025550118"
USER_IDS = [f"US.{each:020}" for each in range(90)]
MANY_VALUES = 600_000  # more than are read


@pytest.fixture
def run(engine):
    def statement(sql, **values):
        with engine.begin() as connection:
            connection.execute(text(sql), values)

    return statement


@pytest.fixture
def rows_that_name(engine):
    def count(person):
        with engine.connect() as connection:
            bodies = connection.execute(text("SELECT body, packed FROM deliveries")).all()
            quarantined = connection.execute(text("SELECT count(*) FROM quarantine")).scalar_one()
        shown = [each for row in bodies for each in unpack(bytes(row.body), packed=row.packed)]
        return sum(person.encode() in each for each in shown), quarantined

    return count


def many_values(person, many):
    return f'{{"object":"w","entry":[{{"id":"1","x":{person},"changes":[{",".join("1" * many)}]}}]}}'.encode()


def test_the_worst_body_of_a_person_with_many_keys_is_searched_after_the_answer(
    engine, connecting, writer, now, forget, rows_that_name
):
    linked = [
        status(f"wamid.{each}", "sent", now, recipient=PERSON, recipient_user_id=each) for each in USER_IDS
    ]
    writer.store([Delivery(body(*linked))], now)
    writer.store([Delivery(many_values(PERSON, MANY_VALUES))], now)
    began = process_time()
    done = forget(PERSON)
    assert process_time() - began < 2, "half a second of it is the search"
    assert not done.archive_done
    began = process_time()
    assert continue_erasures(engine, connecting, now)
    assert process_time() - began < 10
    assert rows_that_name(PERSON) == (0, 0)
    with Replay(connecting, now):
        pass


def test_no_transaction_is_open_while_a_body_is_searched(engine, database_url, writer, now, rows_that_name):
    def connecting():
        connection = connect(database_url, application="tests")
        connection.execute("SET idle_in_transaction_session_timeout = '100ms'")
        return connection

    writer.store([Delivery(many_values(PERSON, 200_000))], now)
    erase(engine, connecting, PERSON, actor="tester", now=now)
    assert continue_erasures(engine, connecting, now)
    assert rows_that_name(PERSON)[0] == 0


def test_an_erasure_that_fails_stops_no_other(engine, connecting, writer, now, forget, rows_that_name):
    for person in (PERSON, OTHER):
        writer.store([Delivery(body(status(f"wamid.{person}", "sent", now, recipient=person)))], now)
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'refused'; END$$;"
                "CREATE TRIGGER refuse BEFORE UPDATE ON erasures FOR EACH ROW"
                " WHEN (new.id = 1 AND new.place <> '') EXECUTE FUNCTION refuse()"
            )
        )
    assert not forget(PERSON).archive_done
    assert forget(OTHER).archive_done, "the fault of another person's erasure is not answered"
    with pytest.raises(DBAPIError, match="refused"):
        continue_erasures(engine, connecting, now)
    assert rows_that_name(OTHER)[0] == 0
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER refuse ON erasures; DROP FUNCTION refuse()"))
    assert continue_erasures(engine, connecting, now)
    assert rows_that_name(PERSON)[0] == 0


def test_a_person_with_many_long_user_ids_is_erased_from_texts(engine, writer, now, forget, run):
    letters = Random(1)
    user_ids = ["US." + "".join(letters.choices("ABCDEFGHIJabcdefghij0123456789", k=150)) for _ in USER_IDS]
    linked = [
        status(f"wamid.{n}", "sent", now, recipient=PERSON, recipient_user_id=each)
        for n, each in enumerate(user_ids)
    ]
    writer.store([Delivery(body(*linked))], now)
    begins_alike = user_ids[7][:60]
    for note in (f"same as {user_ids[7]}", f"same as {begins_alike}"):
        run(
            "INSERT INTO opt_ins (contact, opted_in_at, channel, note, recorded_at)"
            " VALUES (:contact, :now, :channel, :note, :now)",
            contact=OTHER, now=now, channel=f"shop {len(note)}", note=note,
        )  # fmt: skip
    forget(PERSON)
    with engine.connect() as connection:
        notes = set(connection.execute(text("SELECT note FROM opt_ins")).scalars())
    assert notes == {"erased", f"same as {begins_alike}"}


def test_error_texts_that_are_long_in_normal_form_are_searched_a_few_at_a_time_and_with_pauses(
    engine, run, now, forget, monkeypatch
):
    run(
        "INSERT INTO failure_errors (id, error_code, error_subcode, details, first_at)"
        " SELECT n, n, -1, :details, :now FROM generate_series(1, 200) AS n",
        details="\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 4_000,
        now=now,
    )
    pauses, statements = [], []
    monkeypatch.setattr(GivingWay, "__call__", lambda _: pauses.append(thread_time()))
    event.listen(
        engine, "before_cursor_execute", lambda *values: statements.append((thread_time(), values[2]))
    )
    forget(PERSON)
    begun = next(place for place, (_, sql) in enumerate(statements) if "FROM failure_errors" in sql)
    searching = [at for at, _ in statements[begun : begun + 5]]
    assert max(then - before for before, then in pairwise(searching)) < 3, "0.3 s of processor time, alone"
    assert sorted(then - before for before, then in pairwise(pauses))[-3] < 0.1
