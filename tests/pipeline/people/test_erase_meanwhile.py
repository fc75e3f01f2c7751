"""An erasure takes what others store meanwhile from facts that they read before."""

from datetime import timedelta

import pytest
from sqlalchemy import event, text

from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.receiving.replay import Replay, ReplayBusyError
from webhook_app.store.operations import backtests
from webhook_app.store.operations.backtests import BacktestContact

PERSON, OTHER = "12025550117", "12025550118"
RETRY = text(
    "INSERT INTO retries (message_id, phone_number_id, occurred_at, error_code, contact, series_id, state,"
    " first_failed_at, attempts, failed_at, last_code, due_at)"
    " VALUES ('wamid.A', :number, :now, 131049, :contact, 1, 'waiting', :now, 0, :now, 131049, :now)"
)


@pytest.fixture
def failed(writer, now):
    """Stores a failed message of each of the two."""
    found = {PERSON: "wamid.A", OTHER: "wamid.B"}
    failures = [status(each, "failed", now, recipient=to, code=131026) for to, each in found.items()]
    writer.store([Delivery(body(*failures))], now)


@pytest.fixture
def count(engine):
    def read(table):
        with engine.connect() as connection:
            named = text(f"SELECT count(*) FROM {table} WHERE contact = :contact")
            return connection.execute(named, {"contact": PERSON}).scalar_one()

    return read


def test_what_a_transaction_stores_that_read_the_person_before_is_erased_too(
    failed, engine, forget, count, now
):
    asked = []

    def commit(_connection, _cursor, statement, *_):
        if "pg_snapshot_xmin" in statement:
            asked.append(count("failures"))
            if len(asked) == 2:
                claim.commit()

    with engine.connect() as claim:
        claim.execute(RETRY, {"number": NUMBER, "contact": PERSON, "now": now})
        event.listen(engine, "before_cursor_execute", commit)
        try:
            done = forget(PERSON)
        finally:
            event.remove(engine, "before_cursor_execute", commit)
        claim.commit()
    assert (done.rows["retries"], count("retries")) == (1, 0)
    assert asked[:2] == [0, 0], "it waits when the failures are gone"


def test_the_result_of_a_backtest_leaves_out_who_was_erased_while_it_ran(failed, engine, forget, count, now):
    with engine.begin() as connection:
        span = now - timedelta(hours=1), now
        backtests.add(
            connection, requested_by="kim", rules="", chosen=(), span=span, step_seconds=60, now=now
        )
        run = backtests.claim(connection, now, now)
    forget(PERSON)
    found = [
        BacktestContact(
            contact=each,
            phone_number_id=NUMBER,
            reason="unreachable",
            scope="all",
            code=131026,
            until=None,
            failures=4,
        )
        for each in (PERSON, OTHER)
    ]
    with engine.begin() as connection:
        assert backtests.end(connection, run, "done", now, result={}, people=found)
        assert [each.contact for each in backtests.people(connection, run.id, 5)] == [OTHER]


def test_a_replay_that_runs_when_an_erasure_begins_restores_nobody(failed, connecting, forget, count, now):
    with Replay(connecting, now) as running:
        assert not forget(PERSON).archive_done
        with pytest.raises(ReplayBusyError):
            running.of_archive(
                now - timedelta(days=1), now + timedelta(days=1), not_before=now - timedelta(days=9)
            )
    assert (count("failures"), count("status_events")) == (0, 0)
