"""What fails in a run of the job `suppress` is done in parts, and stops no other statement and no later task."""

from contextlib import contextmanager

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.pipeline.world import BLOCKED, CONTACT, HOUR, MINUTE
from webhook_app.pipeline.suppressions.suppress_run import TasksFailedError
from webhook_app.store.suppressions import suppressions

PEOPLE = [f"1202555{place:04}" for place in range(12)]


WAITING_BEFORE = text(  # as many as a batch
    "INSERT INTO inbound_messages (message_id, phone_number_id, occurred_at, contact, kind, keyword, opens_window,"
    " received_at) SELECT 'w' || n, '1', now(), :contact, 'text', 'stop', false, now() - interval '9 days'"
    " FROM generate_series(1, 1000) n"
)


def leave_stops_to_the_job(world, engine):
    """Store a stop of each of these people as if ingest could not apply it."""
    for contact in PEOPLE:
        world.write(HOUR, "stop", contact=contact)
    with engine.begin() as connection:
        connection.execute(text("UPDATE inbound_messages SET considered_at = NULL"))
        connection.execute(text("DELETE FROM suppressions"))


@contextmanager
def refused(engine, table, when, code="check_violation"):
    """Let Postgres refuse updates of the table when this is true of `changed`, the rows that one statement changes."""
    function = (
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT {when} FROM changed)"
        f" THEN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END IF; RETURN NULL; END $$"
    )
    trigger = (
        f"CREATE TRIGGER refuse AFTER UPDATE ON {table} REFERENCING NEW TABLE AS changed"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    )
    with engine.begin() as connection:
        connection.execute(text(function))
        connection.execute(text(trigger))
    yield
    with engine.begin() as connection:
        connection.execute(text("DROP FUNCTION refuse CASCADE"))


def test_a_stop_that_fails_alone_stops_no_other_stop_and_no_task_after_it(world, engine, now):
    leave_stops_to_the_job(world, engine)
    with engine.begin() as connection:
        connection.execute(WAITING_BEFORE, {"contact": PEOPLE[5]})
        suppressions.put(connection, CONTACT, actor="ops", until=now - MINUTE, now=now - HOUR)
    with refused(engine, "inbound_messages", f"bool_or(contact = '{PEOPLE[5]}')"):
        for _ in range(2):
            with (
                capture_logs() as logged,
                pytest.raises(TasksFailedError, match="1 tasks or statements failed"),
            ):
                world.run()
            assert [line["event"] for line in logged] == ["not done"]
            assert {row.contact for row in world.all()} == {*PEOPLE} - {PEOPLE[5]}
    assert world.rows() == []


def test_stops_that_together_take_longer_than_a_statement_may_are_applied_in_halves(world, engine):
    leave_stops_to_the_job(world, engine)
    with refused(engine, "inbound_messages", "count(*) > 2", "query_canceled"):
        world.run()
    assert {row.contact for row in world.all()} == {*PEOPLE}


def test_failures_that_fail_together_are_considered_few_at_a_time_and_stop_no_task_after_them(world, engine):
    for contact in PEOPLE:
        world.fail(HOUR, code=BLOCKED, contact=contact)
    with refused(engine, "failures", "count(*) > 3", "query_canceled"):
        assert world.run().suppressed == len(PEOPLE)
    world.fail(MINUTE, code=BLOCKED, contact=CONTACT)
    world.write(0 * MINUTE, contact=PEOPLE[0])
    with refused(engine, "failures", "count(*) > 0"), pytest.raises(TasksFailedError):
        world.run()
    assert world.rows(CONTACT, PEOPLE[0]) == []
