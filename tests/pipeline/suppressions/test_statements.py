"""Opt-outs, their lifts and moves to a new number are in force with the commit that stores their webhook."""

import threading
from functools import partial

import pytest
from sqlalchemy import event, text

from tests.pipeline.suppressions.test_number_changes import NEW, change_number
from tests.pipeline.world import BLOCKED, CONTACT, HOUR, MINUTE, STOPPED, USER
from tests.support.factories import NUMBER, body, message, number_change, status
from tests.support.waiting import wait_for
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.suppressions.statements import MAX_STATEMENTS
from webhook_app.store.people import links
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import connect
from webhook_app.store.suppressions import suppressions


def scopes(world, contact=CONTACT):
    return {(row.reason, row.scope) for row in world.rows(contact)}


def waiting(world):
    with world.engine.connect() as connection:
        return connection.execute(
            text(
                "SELECT (SELECT count(*) FROM inbound_messages WHERE considered_at IS NULL)"
                " + (SELECT count(*) FROM preferences WHERE considered_at IS NULL)"
            )
        ).scalar_one()


def test_a_stop_a_start_and_preferences_are_in_force_without_the_scheduler(world):
    world.write(5 * HOUR, "stop")
    world.prefer(4 * HOUR, "stop")
    assert scopes(world) == {("opted_out", "all"), ("opted_out", "marketing")}
    world.write(3 * HOUR, "start")
    assert scopes(world) == {("opted_out", "marketing")}
    world.prefer(2 * HOUR, "resume")
    assert scopes(world) == set()
    assert waiting(world) == 0
    assert [change.action for change in world.changes()] == ["suppress", "suppress", "lift", "lift"]
    world.run()
    assert len(world.changes()) == 4


def test_of_more_stops_than_people_make_at_once_a_hundred_are_in_force_at_once_and_the_others_after_the_job(
    world,
):
    many = MAX_STATEMENTS + 50
    stops = [
        message(f"wamid.{n}", world.now - HOUR, text="stop", sender=f"1202555{n:04}") for n in range(many)
    ]
    world.store(body(messages=stops))
    assert (len(world.changes()), waiting(world)) == (MAX_STATEMENTS, 50)
    world.run()
    changed = [change.contact for change in world.changes()]
    assert waiting(world) == 0
    assert sorted(changed) == [f"1202555{n:04}" for n in range(many)]
    world.store(body(messages=stops))
    world.run()
    assert len(world.changes()) == many


def show_user_ids(world, many, age=HOUR):
    world.store(
        body(
            *(
                status(
                    f"wamid.{n}.{age}",
                    "sent",
                    world.now - age,
                    recipient=f"1202555{n:04}",
                    recipient_user_id=f"US.{n}",
                )
                for n in range(many)
            )
        )
    )


def unapplied(world):
    with world.engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM unapplied_links")).scalar_one()


def test_of_more_new_links_than_people_show_at_once_all_are_left_to_the_job_which_applies_them(world):
    many = MAX_STATEMENTS + 20
    world.store(
        body(
            messages=[
                message("wamid.u", world.now - 2 * HOUR, text="stop") | {"from": None, "from_user_id": "US.0"}
            ]
        )
    )
    world.store(
        body(
            messages=[
                message(f"wamid.{n}", world.now - 2 * HOUR, text="stop", sender=f"1202555{n:04}")
                for n in range(1, many)
            ]
        )
    )
    world.run()
    show_user_ids(world, many)
    assert (unapplied(world), scopes(world, "US.0")) == (many, {("opted_out", "all")})
    world.run()
    assert (unapplied(world), scopes(world, "US.0"), scopes(world, "12025550000")) == (
        0,
        set(),
        {("opted_out", "all")},
    )


def test_links_that_are_known_need_nothing_applied_when_their_time_becomes_earlier(world):
    many = MAX_STATEMENTS + 20
    show_user_ids(world, many)
    world.store(
        body(
            messages=[
                message(f"wamid.{n}", world.now - HOUR, text="stop", sender=f"1202555{n:04}")
                for n in range(many)
            ]
        )
    )
    world.run()
    show_user_ids(world, many, 2 * HOUR)
    assert unapplied(world) == 0


def test_a_fault_leaves_new_links_to_the_job_too(world):
    world.store(
        body(
            messages=[
                message("wamid.u", world.now - 2 * HOUR, text="stop") | {"from": None, "from_user_id": "US.0"}
            ]
        )
    )
    with world.engine.begin() as connection:
        connection.execute(text("ALTER TABLE suppressions ADD CONSTRAINT refused CHECK (contact = 'US.0')"))
    show_user_ids(world, 1)
    with world.engine.begin() as connection:
        connection.execute(text("ALTER TABLE suppressions DROP CONSTRAINT refused"))
    world.run()
    assert (unapplied(world), scopes(world, "12025550000")) == (0, {("opted_out", "all")})


def test_new_links_whose_connection_is_lost_before_they_are_applied_are_left_to_the_job(world):
    stop = message("wamid.u", world.now - 2 * HOUR, text="stop") | {"from": None, "from_user_id": "US.0"}
    world.store(body(messages=[stop]))
    end_waiting = text("SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE NOT granted")
    with world.engine.begin() as busy:
        locks.hold_until_commit(busy, locks.CHANGES_LOCK)
        storing = threading.Thread(target=show_user_ids, args=(world, 1))
        storing.start()
        wait_for(lambda: busy.execute(end_waiting).scalar_one())
        storing.join()
    assert (unapplied(world), scopes(world, "US.0")) == (1, {("opted_out", "all")})
    world.run()
    assert (unapplied(world), scopes(world, "12025550000")) == (0, {("opted_out", "all")})


def test_an_older_start_that_arrives_later_lifts_nothing(world):
    world.write(HOUR, "stop")
    world.write(2 * HOUR, "start")
    assert scopes(world) == {("opted_out", "all")}


def test_a_repeated_webhook_changes_nothing(world):
    stop = body(messages=[message("wamid.stop", world.now - HOUR, text="stop")])
    world.store(stop, stop)
    world.store(stop)
    world.write(HOUR - MINUTE, "start")
    world.store(stop)
    assert [change.action for change in world.changes()] == ["suppress", "lift"]


def test_a_stop_and_a_start_of_one_commit_leave_the_newer_one(world):
    item = [
        message(f"wamid.{word}", world.now - age, text=word)
        for word, age in (("start", HOUR), ("stop", MINUTE))
    ]
    world.store(body(messages=item))
    assert scopes(world) == {("opted_out", "all")}


def test_opt_outs_move_with_a_change_of_number_at_once(world):
    world.write(5 * HOUR, "stop")
    change_number(world, HOUR)
    assert (scopes(world), scopes(world, NEW)) == (set(), {("opted_out", "all")})


def test_a_fault_leaves_the_statement_to_the_scheduler_and_stores_the_webhook(world):
    with world.engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE suppressions ADD CONSTRAINT refused CHECK (reason <> 'opted_out')")
        )
    world.write(HOUR, "stop")
    assert (scopes(world), waiting(world), world.changes()) == (set(), 1, [])
    with world.engine.begin() as connection:
        connection.execute(text("ALTER TABLE suppressions DROP CONSTRAINT refused"))
    world.run()
    assert (scopes(world), waiting(world)) == ({("opted_out", "all")}, 0)


def test_a_run_of_suppress_that_is_working_does_not_hold_up_a_stop(world):
    with world.engine.begin() as connection:
        assert locks.try_until_commit(connection, locks.SUPPRESS_LOCK)
        world.write(HOUR, "stop")
        assert scopes(world) == {("opted_out", "all")}


MANY_KEYS = links.KEYS_AT_MOST - 5


def link_many_keys(world, people):
    """Link so many user ids with each of these people."""
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO contact_links (user_id, contact)"
                " SELECT 'US.' || contact || '.' || n, contact FROM unnest(CAST(:people AS text[])) AS contact,"
                " generate_series(2, :keys) n"
            ),
            {"people": people, "keys": MANY_KEYS},
        )


def stops(world, people):
    return body(
        messages=[
            message(f"wamid.{contact}", world.now - HOUR, text="stop", sender=contact) for contact in people
        ]
    )


@pytest.fixture
def keys_read(world):
    """How many keys each statement of the job got."""
    read = []

    def note(_connection, _clause, several, single, _options):
        read.extend(len(each.get("contacts", ())) for each in (single, *several))

    event.listen(world.engine, "before_execute", note)
    yield read
    event.remove(world.engine, "before_execute", note)


def test_of_people_with_many_keys_a_commit_and_each_transaction_of_the_job_apply_the_stops_of_few(
    world, keys_read
):
    people = [f"1202555{n:04}" for n in range(MAX_STATEMENTS // 4)]
    link_many_keys(world, people)
    world.store(stops(world, people))
    applied = len(world.changes())
    assert 0 < applied * MANY_KEYS <= links.KEYS_TOGETHER
    world.run()
    assert links.KEYS_TOGETHER // 2 < max(keys_read) <= links.KEYS_TOGETHER
    assert (len(world.changes()), waiting(world)) == (len(people), 0)


def test_of_people_with_many_keys_the_job_considers_the_failures_of_few_at_a_time(world, keys_read):
    people = [f"1202555{n:04}" for n in range(MAX_STATEMENTS // 4)]
    link_many_keys(world, people)
    for contact in people:
        world.fail(HOUR, code=BLOCKED, contact=contact)
    assert world.run().suppressed == len(people)
    assert links.KEYS_TOGETHER // 2 < max(keys_read) <= links.KEYS_TOGETHER


def test_of_people_with_many_keys_a_commit_applies_few_new_links_and_changes_of_number(world):
    people = [f"1202555{n:04}" for n in range(MAX_STATEMENTS // 4)]
    world.store(stops(world, people))
    link_many_keys(world, people)
    show_user_ids(world, len(people))
    assert unapplied(world) * MANY_KEYS >= len(people) * MANY_KEYS - links.KEYS_TOGETHER
    world.store(
        *(
            number_change(old, f"1303555{place:04}", world.now - MINUTE, f"wamid.c{place}")
            for place, old in enumerate(people)
        )
    )
    moved = {row.contact for row in world.all()} - {*people}
    assert len(moved) * MANY_KEYS <= links.KEYS_TOGETHER
    world.run()
    assert unapplied(world) == 0
    assert {row.contact for row in world.all()} == {f"1303555{place:04}" for place in range(len(people))}


def test_of_people_with_thousands_of_statements_a_commit_leaves_the_stops_to_the_job_which_reads_few(world):
    people = [f"1202555{n:04}" for n in range(4)]
    link_many_keys(world, people)
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO inbound_messages (message_id, phone_number_id, occurred_at, contact, kind, keyword,"
                " opens_window, received_at, considered_at)"
                " SELECT user_id || n, 'n' || n, now() - interval '9 days', user_id, 'text', 'stop', false, now(),"
                " now() FROM contact_links, generate_series(1, 22) n"
            )
        )
    world.store(stops(world, people))
    assert (len(world.all()), waiting(world)) == (0, len(people))
    world.run()
    assert {row.contact for row in world.all() if row.phone_number_id == NUMBER} == {*people}
    world.store(written(world, people[0], "start", MINUTE))
    assert {row.contact for row in world.all() if row.phone_number_id == NUMBER} == {*people[1:]}


MISLEADING = """
INSERT INTO inbound_messages (message_id, phone_number_id, occurred_at, contact, kind, keyword, opens_window,
                              received_at, considered_at)
SELECT 'wamid.' || n, '1', timestamptz '2020-01-01' + n * interval '1 s', '12025550999', 'text', 'stop', false,
       now(), now()
FROM generate_series(1, 3000) n;
INSERT INTO contact_links (user_id, contact) SELECT 'US.' || n, '12025550999' FROM generate_series(1, 3000) n;
ANALYZE inbound_messages_default, contact_links
"""


def test_where_one_contact_has_nearly_all_rows_no_commit_and_no_job_reads_a_whole_table_for_a_key(world):
    people = [f"1202555{n:04}" for n in range(4)]
    own = world._writer.connection()
    with world.engine.begin() as connection:
        for statement in MISLEADING.split(";"):
            connection.execute(text(statement))
    link_many_keys(world, people)

    def rows_read():
        own.execute("SELECT pg_stat_force_next_flush()")
        for _ in range(2):  # the flush comes with the end of the transaction
            with world.engine.begin() as pooled:
                pooled.execute(text("SELECT pg_stat_force_next_flush()"))
        return own.execute(
            "SELECT sum(seq_tup_read) FROM pg_stat_user_tables"
            " WHERE relname IN ('inbound_messages_default', 'contact_links')"
        ).fetchone()

    before = rows_read()
    world.store(stops(world, people))
    assert rows_read() == before
    with world.engine.begin() as connection:
        values = {"people": people}
        connection.execute(
            text("UPDATE inbound_messages SET considered_at = NULL WHERE contact = ANY(:people)"), values
        )
    world.run()
    assert rows_read() == before
    assert (len(world.changes()), waiting(world)) == (len(people), 0)


@pytest.fixture
def writers(database_url):
    made = [BatchWriter(lambda: connect(database_url, application="tests"), slot=slot) for slot in (0, 1)]
    yield made
    for writer in made:
        writer.close()


def written(world, contact, word, age):
    return body(messages=[message(f"wamid.{contact}.{word}", world.now - age, sender=contact, text=word)])


def in_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_link_that_becomes_known_late_joins_what_was_said_under_both_keys(world, writers):
    world.write(3 * HOUR, "stop")
    item = message("wamid.start", world.now - HOUR, text="start") | {"from": None, "from_user_id": USER}
    world.store(body(messages=[item]))
    assert scopes(world) == {("opted_out", "all")}
    sent = body(status("wamid.sent", "sent", world.now - 4 * HOUR, recipient_user_id=USER))
    writers[0].store([Delivery(sent)], world.now)
    assert scopes(world) == set()
    with world.engine.connect() as connection:
        assert connection.execute(text("SELECT sum(applied), sum(duplicate) FROM books")).one() == (3, 0)


def test_of_a_stop_and_a_start_stored_at_the_same_time_the_newer_one_counts(world, writers):
    """Each transaction has stored its statement before either of them decides."""
    for place, words in enumerate((("stop", "start"), ("start", "stop"))):
        contact = f"1202555020{place}"
        with world.engine.begin() as connection:
            suppressions.lock_changes(connection)
            threads = [
                in_a_thread(partial(writer.store, [Delivery(written(world, contact, word, age))], world.now))
                for writer, word, age in zip(writers, words, (2 * HOUR, HOUR), strict=True)
            ]
            wait_for_lock(world, 2)
        for thread in threads:
            thread.join()
        assert scopes(world, contact) == ({("opted_out", "all")} if words[1] == "stop" else set())
    assert waiting(world) == 0


def wait_for_lock(world, sessions):
    waiters = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with world.engine.connect() as connection:
        while connection.execute(waiters).scalar_one() < sessions:
            pass


def test_a_start_while_the_scheduler_applies_the_stop_is_not_lost(world, writers):
    """The job reads the statements; before it writes, a START is stored by a worker."""
    world.store(world.failure(3 * HOUR, STOPPED))
    started = []

    def resume(connection, clause, *_):
        if not started and "FROM preferences WHERE contact" in str(clause):
            deliveries = [Delivery(world.preference(HOUR, "resume"))]
            started.append(in_a_thread(partial(writers[0].store, deliveries, world.now)))
            started[0].join(0.3)

    event.listen(world.engine, "before_execute", resume)
    try:
        world.run()
    finally:
        event.remove(world.engine, "before_execute", resume)
    started[0].join()
    assert scopes(world) == set()
