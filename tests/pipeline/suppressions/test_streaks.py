"""Failures in a row suppress, successes lift, whichever becomes known first; several keys of a person count as one."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.pipeline.world import (
    CONTACT,
    DAY,
    HOUR,
    MINUTE,
    UNREACHABLE,
    USER,
)
from tests.support.factories import NUMBER, body, message
from webhook_app.store.suppressions import suppressions


def test_three_failed_messages_on_three_days_suppress_on_the_next_run(world, now):
    world.fail(2 * DAY, 1 * DAY, 0 * DAY)
    summary = world.run()
    [row] = world.rows()
    assert (row.reason, row.scope, row.phone_number_id, row.code) == (
        "unreachable",
        "all",
        NUMBER,
        UNREACHABLE,
    )
    assert (row.since, row.until, row.times) == (now, now + timedelta(days=30), 1)
    assert [(e.message_id, e.code, e.occurred_at) for e in row.evidence] == [
        ("wamid.0", UNREACHABLE, now - 2 * DAY),
        ("wamid.1", UNREACHABLE, now - 1 * DAY),
        ("wamid.2", UNREACHABLE, now),
    ]
    assert row.review
    assert summary.suppressed == 1
    assert [(c.seq, c.action, c.actor) for c in world.changes()] == [(1, "suppress", "system")]
    assert world.count("considered_at IS NULL") == 0


def test_the_next_run_changes_nothing(world):
    world.fail(2 * DAY, 1 * DAY, 0 * DAY)
    world.run()
    assert world.run(2 * MINUTE) == world.run(20 * MINUTE)
    assert len(world.changes()) == 1


@pytest.mark.parametrize(
    ("failures", "suppressed"),
    [
        ([(2, "a"), (1, "b")], False),
        ([(2, "a"), (1, "b"), (1, "b")], False),
        ([(2, "a"), (1, "b"), (1, "c")], True),
        ([(1, "a"), (1, "b"), (1, "c")], False),
        ([(2, ""), (1, ""), (1, "")], False),
        ([(3, "a"), (2, "a"), (1, "a")], True),
    ],
)
def test_retries_of_a_campaign_on_one_day_count_once(world, now, failures, suppressed):
    noon = now.replace(hour=12, minute=0, second=0) - DAY
    for place, (days, campaign) in enumerate(failures):
        world.fail(now - noon + (days - 1) * DAY + place * MINUTE, campaign=campaign)
    world.run()
    assert bool(world.rows()) == suppressed


def test_one_message_that_failed_twice_is_one_failure(world):
    world.fail(2 * DAY, 1 * DAY)
    world.fail(HOUR, 2 * HOUR, message_id="wamid.0")
    world.run()
    assert world.rows() == []


def test_streaks_of_two_business_numbers_are_separate(world):
    world.fail(2 * DAY, 1 * DAY)
    world.fail(0 * DAY, number="2")
    world.run()
    assert world.rows() == []


def test_group_messages_never_count(world):
    for age in (2 * DAY, DAY, 0 * DAY):
        world.fail(
            age,
            contact="1203630",
            recipient_type="group",
            recipient_participant_id=CONTACT,
            message_id=f"wamid.g{age}",
        )
    world.run()
    assert world.all() == []
    assert world.count("considered_at IS NULL") == 0


@pytest.mark.parametrize("code", [999_999, 131_000, 130_429, 131_042])
def test_codes_that_do_not_concern_the_contact_never_suppress(world, code):
    world.fail(*(day * DAY for day in range(10)), code=code)
    world.run()
    assert world.all() == []


def test_number_variants_are_one_person(world):
    world.fail(2 * DAY, contact="551187654321")
    world.fail(DAY, 0 * DAY, contact="5511987654321")
    world.run()
    assert [row.contact for row in world.all()] == ["5511987654321"]


# Successes


@pytest.mark.parametrize("what", ["delivered", "read", "played"])
def test_a_delivered_message_lifts(world, what):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    world.deliver(0 * DAY, what)
    assert world.run().lifted == 1
    assert world.rows() == []
    assert [(c.action, c.actor) for c in world.changes()] == [("suppress", "system"), ("lift", "system")]


def test_an_inbound_message_lifts(world):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    world.write(0 * DAY)
    world.run(DAY)
    assert world.rows() == []


def test_a_success_on_another_business_number_does_not_lift(world):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    world.deliver(0 * DAY, number="2")
    world.run(DAY)
    assert len(world.rows()) == 1


def test_a_late_message_about_an_older_success_does_not_lift(world):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    before = world.rows()
    world.deliver(4 * DAY)
    world.run()
    world.run(DAY)
    assert world.rows() == before


def test_a_success_before_all_but_two_failures_ends_the_streak_whenever_it_becomes_known(world):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    world.deliver(2 * DAY + HOUR)
    world.run()
    assert world.rows() == []


def test_failures_since_the_last_success_count_anew(world):
    world.fail(5 * DAY, 4 * DAY)
    world.deliver(4 * DAY - HOUR)
    world.fail(3 * DAY, 2 * DAY)
    world.run()
    assert world.rows() == []
    world.fail(1 * DAY)
    world.run()
    assert [e.message_id for e in world.rows()[0].evidence] == ["wamid.3", "wamid.4", "wamid.5"]


def test_a_message_that_arrived_on_another_device_is_no_failure(world):
    world.fail(3 * DAY, 2 * DAY)
    world.deliver(DAY + HOUR, message_id="wamid.both")
    world.fail(DAY, message_id="wamid.both")
    world.run()
    assert world.rows() == []


def test_a_success_that_missed_the_queue_is_found_while_the_suppression_is_recent(world, engine):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    world.deliver(0 * DAY)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM successes"))
    world.run(9 * MINUTE)
    assert world.rows() == []


def test_a_confirmed_suppression_is_lifted_only_by_a_success_after_its_evidence(world, engine, now):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    with engine.begin() as connection:
        suppressions.put(
            connection, CONTACT, phone_number_id=NUMBER, reason="unreachable", actor="ops", now=now
        )
    world.deliver(2 * DAY)
    world.run()
    assert [row.actor for row in world.rows()] == ["ops"]
    world.deliver(HOUR)
    world.run()
    assert world.rows() == []


def test_after_an_operator_lifted_only_later_failures_count(world, engine, now):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    with engine.begin() as connection:
        suppressions.lift(connection, CONTACT, None, None, None, actor="ops", now=now - HOUR)
    world.fail(0 * DAY)
    world.run()
    assert world.rows() == []


def test_failures_by_user_id_and_by_number_count_for_one_person(world):
    world.fail(2 * DAY, DAY, contact="", recipient_user_id=USER)
    world.run()
    assert world.all() == []
    world.fail(HOUR, recipient_user_id=USER)
    world.run()
    assert [row.contact for row in world.all()] == [CONTACT]


def test_a_suppression_by_user_id_moves_to_the_number_once_it_is_known(world):
    world.fail(3 * DAY, 2 * DAY, DAY, contact="", recipient_user_id=USER)
    world.run()
    [before] = world.all()
    assert before.contact == USER
    world.fail(HOUR, recipient_user_id=USER)
    world.run(HOUR)
    [row] = world.all()
    assert (row.contact, row.since, len(row.evidence)) == (CONTACT, before.since, 4)


def test_start_by_user_id_lifts_a_stop_by_number(world):
    world.write(3 * HOUR, "stop")
    world.deliver(2 * HOUR, recipient_user_id=USER)
    world.run()
    assert len(world.all()) == 1
    item = message("wamid.start", world.now - HOUR, text="start") | {"from_user_id": USER}
    del item["from"]
    world.store(body(messages=[item]))
    world.run()
    assert world.all() == []
