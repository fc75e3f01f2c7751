"""Backtests in the scheduler: one at a time, with progress, restarted, interrupted and cancelled."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from webhook_app.pipeline.operations.backtest_queue import ABANDONED_AFTER, run_waiting
from webhook_app.pipeline.operations.prune import Retention, prune
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.operations import backtests
from webhook_app.store.operations.backtests import Backtest, BacktestContact

DAY = timedelta(days=1)


@pytest.fixture
def ask(engine: Engine, now: datetime):
    def add(rules: str = default_rules_text(), days: float = 0.1) -> int:
        with engine.begin() as connection:
            return backtests.add(
                connection,
                requested_by="kim",
                rules=rules,
                chosen=(),
                span=(now - days * DAY, now),
                step_seconds=60,
                now=now,
            )

    return add


@pytest.fixture
def read(engine: Engine):
    def one(backtest_id: int) -> Backtest:
        with engine.connect() as connection:
            found = backtests.get(connection, backtest_id)
        assert found is not None
        return found

    return one


def test_waiting_backtests_are_run_oldest_first(engine, ask, read, now):
    ids = [ask(), ask()]
    assert run_waiting(engine, Thresholds(), now) == 2
    first, second = (read(each) for each in ids)
    assert (first.state, second.state, first.progress) == ("done", "done", 1.0)
    assert first.started_at <= second.started_at
    assert first.result["evaluations"] == 145


def test_progress_is_written_about_once_a_second(engine, ask, read, now):
    made, seconds, seen = ask(), iter(range(100_000)), []

    def go_on() -> bool:
        seen.append(read(made).progress)
        return True

    run_waiting(engine, Thresholds(), now, go_on=go_on, stopwatch=lambda: next(seconds))
    assert seen == sorted(seen)
    assert len({round(each, 3) for each in seen[:-1]}) > 10


def test_a_backtest_interrupted_by_the_scheduler_waits_again_and_restarts(engine, ask, read, now):
    made, asked = ask(), iter([True, True, True, False, False])
    assert run_waiting(engine, Thresholds(), now, go_on=lambda: next(asked)) == 0
    assert (read(made).state, read(made).tries) == ("waiting", 0)
    assert run_waiting(engine, Thresholds(), now) == 1
    assert read(made).state == "done"


def test_a_backtest_whose_runner_died_is_restarted_three_times_and_then_fails(engine, ask, read, now):
    made = ask()
    for round_ in range(3):
        with engine.begin() as connection:
            later = now + (round_ + 1) * 2 * ABANDONED_AFTER
            assert backtests.claim(connection, later, later - ABANDONED_AFTER).tries == round_ + 1
            assert backtests.claim(connection, later, later - ABANDONED_AFTER) is None, (
                "its runner may still live"
            )
    assert run_waiting(engine, Thresholds(), now + 20 * ABANDONED_AFTER) == 1
    assert (read(made).state, read(made).fault) == ("failed", "it was interrupted three times")


def test_a_cancelled_backtest_ends_without_a_result(engine, ask, read, now):
    made, seconds = ask(), iter(range(0, 1_000_000, 2))

    def go_on() -> bool:
        if read(made).progress:
            with engine.begin() as connection:
                backtests.stop(connection, made, "sam", now)
        return True

    assert run_waiting(engine, Thresholds(), now, go_on=go_on, stopwatch=lambda: next(seconds)) == 0
    assert (read(made).state, read(made).fault, read(made).result) == ("stopped", "stopped by sam", None)


def test_a_backtest_with_invalid_rules_fails_with_their_faults(engine, ask, read, now):
    made = ask(rules="[[rule]]\n")
    run_waiting(engine, Thresholds(), now)
    assert read(made).state == "failed"
    assert "kind: is missing" in read(made).fault


def test_backtests_and_their_contacts_are_deleted_after_a_month(engine, ask, traffic, now):
    made = ask()
    traffic.failed(1, now, 131026, recipient="12025550117")
    person = BacktestContact(
        contact="12025550117", phone_number_id="2", reason="hard", scope="all", code=1, until=None, failures=1
    )
    with engine.begin() as connection:
        run = backtests.claim(connection, now, now)
        backtests.end(connection, run, "done", now, result={}, people=[person])
        assert backtests.people(connection, made, 5) == [person]
    prune(engine, now + 29 * DAY, Retention())
    with engine.connect() as connection:
        assert len(backtests.latest(connection, 5)) == 1
    prune(engine, now + 31 * DAY, Retention())
    prune(engine, now + 31 * DAY, Retention())
    with engine.connect() as connection:
        assert backtests.latest(connection, 5) == []
        assert connection.execute(text("SELECT count(*) FROM backtest_people")).scalar_one() == 0
