"""Ends of suppressions, probes, and the same result in any order and with concurrent runs."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.pipeline.world import (
    BLOCKED,
    CONTACT,
    CROWD,
    DAY,
    EXPERIMENT,
    HOUR,
    MINUTE,
    STOPPED,
    WITHHELD,
    scattered_failures,
)
from tests.support.factories import body, status
from webhook_app.pipeline.suppressions.suppress import LockTakenError, LockWatch
from webhook_app.store.postgres import locks
from webhook_app.store.suppressions import suppressions


def test_a_run_that_finds_the_lock_taken_says_so_and_after_five_minutes_its_job_fails(world, now):
    watch = LockWatch()
    world.fail(HOUR, code=WITHHELD)
    with world.engine.begin() as other:
        assert locks.try_until_commit(other, locks.SUPPRESS_LOCK)
        with capture_logs() as logged:
            for minute in range(6):
                assert watch.check(world.run(), now + minute * MINUTE).lock_taken
        assert [line["event"] for line in logged] == ["another run holds the lock of `suppress`"]
        with pytest.raises(LockTakenError, match="another run holds the lock, since "):
            watch.check(world.run(), now + 6 * MINUTE)
    done = watch.check(world.run(), now + 7 * MINUTE)
    assert (done.lock_taken, done.suppressed) == (False, 1)


def test_131049_pauses_marketing_for_a_day(world, now):
    world.fail(HOUR, code=WITHHELD)
    world.run()
    [row] = world.rows()
    assert (row.reason, row.scope, row.code) == ("unreachable", "marketing", WITHHELD)
    assert row.until == now - HOUR + DAY
    world.deliver(0 * DAY)
    world.run()
    assert world.rows() == [row]


def test_an_experiment_ends_when_they_write(world):
    world.fail(HOUR, code=EXPERIMENT)
    world.run()
    [row] = world.rows()
    assert (row.scope, row.until) == ("marketing", None)
    world.deliver(30 * MINUTE)
    world.run()
    assert world.rows() == [row]
    world.write(20 * MINUTE)
    world.run()
    assert world.rows() == []


def test_a_refusal_after_a_stop_ends_with_resume_alone(world):
    world.fail(3 * HOUR, code=STOPPED)
    world.run()
    [row] = world.rows()
    assert (row.reason, row.scope, row.code, row.until) == ("opted_out", "marketing", STOPPED, None)
    world.write(2 * HOUR, "start")
    world.deliver(2 * HOUR)
    world.run()
    assert world.rows() == [row]
    world.prefer(HOUR, "resume")
    world.run()
    assert world.rows() == []


def test_our_own_block_suppresses_at_once(world):
    world.fail(HOUR, code=BLOCKED)
    world.run()
    [row] = world.rows()
    assert (row.reason, row.scope, row.until) == ("hard", "all", None)
    world.deliver(0 * HOUR)
    world.run()
    assert world.rows() == []


def test_each_cause_has_a_suppression_of_its_own(world):
    world.fail(2 * DAY, DAY, HOUR)
    world.fail(HOUR, code=WITHHELD)
    world.fail(HOUR, code=BLOCKED)
    world.write(30 * DAY, "stop")
    world.run()
    found = {(row.reason, row.scope) for row in world.rows()}
    assert found == {
        ("unreachable", "all"),
        ("unreachable", "marketing"),
        ("hard", "all"),
        ("opted_out", "all"),
    }


def test_an_expired_suppression_waits_for_a_probe_and_doubles_when_that_fails(world, now):
    world.fail(42 * DAY, 41 * DAY, 40 * DAY)
    world.run(-39 * DAY)
    [row] = world.rows()
    assert row.until == now - 10 * DAY
    assert world.run(-10 * DAY).half_opened == 1
    [row] = world.rows()
    assert (row.until, row.half_open_at, row.times) == (None, now - 10 * DAY, 1)
    assert world.run().half_opened == 0
    world.fail(HOUR)
    world.run()
    [row] = world.rows()
    assert (row.times, row.until, row.half_open_at) == (2, now - HOUR + 60 * DAY, None)
    assert row.since == now
    assert [c.action for c in world.changes()] == ["suppress", "half_open", "extend"]


@pytest.mark.parametrize("what", ["delivered", "read", "inbound"])
def test_a_delivered_probe_lifts(world, what):
    world.fail(42 * DAY, 41 * DAY, 40 * DAY)
    world.run(-39 * DAY)
    world.run(-10 * DAY)
    world.write(HOUR) if what == "inbound" else world.deliver(HOUR, what)
    world.run()
    assert world.rows() == []


def test_the_period_doubles_when_its_first_failures_are_no_longer_stored(world, engine, now):
    world.fail(202 * DAY, 201 * DAY, 200 * DAY)
    world.run(-199 * DAY)
    world.run(-169 * DAY)
    world.fail(168 * DAY)
    world.run(-168 * DAY)
    assert [row.times for row in world.rows()] == [2]
    world.run(-100 * DAY)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM failures"))
    world.fail(DAY)
    world.run()
    [row] = world.rows()
    assert (row.times, row.until) == (3, now - DAY + 120 * DAY)


def test_the_period_is_the_same_when_everything_becomes_known_at_once(world, now):
    world.fail(42 * DAY, 41 * DAY, 40 * DAY, HOUR)
    world.run()
    [row] = world.rows()
    assert (row.times, row.until) == (2, now - HOUR + 60 * DAY)


def test_a_success_after_the_end_resets_the_period(world, now):
    world.fail(42 * DAY, 41 * DAY, 40 * DAY)
    world.run(-39 * DAY)
    world.run(-10 * DAY)
    world.deliver(9 * DAY)
    world.fail(2 * DAY, DAY)
    world.run()
    assert world.rows() == []
    world.fail(HOUR)
    world.run()
    [row] = world.rows()
    assert (row.times, row.until) == (1, now - HOUR + 30 * DAY)


def test_a_manual_suppression_expires(world, engine, now):
    with engine.begin() as connection:
        suppressions.put(connection, CONTACT, actor="ops", until=now + HOUR, now=now)
    world.run(59 * MINUTE)
    assert len(world.rows()) == 1
    world.run(HOUR)
    assert world.rows() == []


def events_of(world, contact, mark):
    """Enough to be suppressed in three ways, with a success in between."""
    return [
        world.failure(6 * DAY, contact=contact, message_id=mark + "a"),
        body(status(mark + "b", "delivered", world.now - 5 * DAY, recipient=contact)),
        world.failure(4 * DAY, contact=contact, message_id=mark + "c"),
        world.failure(3 * DAY, contact=contact, message_id=mark + "d"),
        world.failure(2 * DAY, contact=contact, message_id=mark + "e"),
        world.failure(2 * HOUR, WITHHELD, contact=contact, message_id=mark + "f"),
        world.preference(DAY, "stop", contact),
    ]


def test_the_same_facts_in_any_order_end_in_the_same_state(world):
    world.rules = ()  # everybody fails at the same moments, which would look like an outage
    orders = list(itertools.islice(itertools.permutations(range(7)), 0, 5040, 47))
    histories = [events_of(world, f"1606555{turn:04}", f"wamid.{turn}.") for turn in range(len(orders))]
    for step in range(7):
        world.store(*(histories[turn][order[step]] for turn, order in enumerate(orders)))
        world.run()
    ends = {}
    for row in world.all():
        known = [e.message_id.rpartition(".")[2] for e in row.evidence]
        end = (*row.key[1:], row.code, row.until, row.times, known)
        ends.setdefault(row.contact, []).append(end)
    assert len(ends) == len(orders)
    first = ends["16065550000"]
    assert {end[1:3] for end in first} == {
        ("all", "unreachable"),
        ("marketing", "unreachable"),
        ("marketing", "opted_out"),
    }
    assert all(end == first for end in ends.values())


def test_two_concurrent_runs_agree_and_leave_no_gap_in_the_feed(world, engine, now):
    world.store(*scattered_failures(world, CROWD[:100], 3, 2, 1))

    def suppress_by_hand(place):
        with engine.begin() as connection:
            suppressions.put(connection, f"1707555{place:04}", actor="ops", now=now)

    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(world.run) for _ in range(2)]
        list(pool.map(suppress_by_hand, range(50)))
        done = [run.result() for run in runs]
    done.append(world.run())
    assert sum(each.suppressed for each in done) == 100
    assert len(world.all()) == 150
    assert [c.seq for c in world.changes()] == list(range(1, 151))
