"""Failures that an incident or a high rate explains suppress nobody; the hourly cap delays the rest."""

import pytest
from sqlalchemy import text

from benchmarks.outage import run_outage
from tests.pipeline.world import (
    CONTACT,
    CROWD,
    DAY,
    HOUR,
    MINUTE,
    UNREACHABLE,
    WITHHELD,
    others_sent,
    outage,
    scattered_failures,
)
from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store.incidents import alerts


def test_an_outage_with_an_incident_suppresses_nobody(world):
    incident_id = world.alert(4 * HOUR)
    outage(world, age=3 * HOUR)
    summary = world.run()
    assert (summary.held, world.all()) == (500, [])
    assert world.count("considered_at IS NULL AND explained_by = :id", id=incident_id) == 500
    world.end_incident(incident_id, 2 * HOUR)
    assert world.run().excused == 500
    assert world.all() == []
    assert world.count("considered_at IS NULL") == 0


def test_what_an_incident_explained_does_not_count_later_either(world, now):
    incident_id = world.alert(4 * HOUR)
    world.fail(2 * DAY, 3 * HOUR)
    world.run()
    world.end_incident(incident_id, 2 * HOUR)
    world.run()
    world.fail(HOUR, campaign="a")
    world.run()
    assert world.rows() == []
    world.fail(DAY)
    world.run()
    assert [e.occurred_at for e in world.rows()[0].evidence] == [now - 2 * DAY, now - DAY, now - HOUR]


def test_an_outage_before_its_incident_holds_what_is_above_the_threshold(world):
    outage(world)
    summary = world.run()
    assert world.all() == []
    assert summary.held == 100
    incident_id = world.alert(5 * MINUTE)
    world.run(MINUTE)
    world.end_incident(incident_id)
    world.run(MINUTE)
    world.run(30 * MINUTE)
    assert world.all() == []
    assert world.count("considered_at IS NULL") == 0


def test_the_first_contacts_of_an_outage_are_released_by_its_incident(world):
    outage(world, CROWD[:20])
    world.store(*others_sent(world, 10, 2 * HOUR))
    world.run()
    assert len(world.all()) == 4
    world.store(*(world.failure(MINUTE, contact=contact) for contact in CROWD[20:]))
    incident_id = world.alert(5 * MINUTE)
    assert world.run(30 * MINUTE).lifted == 4
    assert world.all() == []
    assert {c.note for c in world.changes() if c.action == "lift"} == {f"explained by incident {incident_id}"}


def test_a_suppression_with_enough_failures_outside_the_incident_stays(world):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.fail(MINUTE)
    world.run()
    world.alert(5 * MINUTE)
    world.run()
    [row] = world.rows()
    assert [e.message_id for e in row.evidence] == ["wamid.0", "wamid.1", "wamid.2"]


def test_an_incident_about_something_else_explains_nothing(world):
    world.alert(5 * MINUTE, group={"code": UNREACHABLE, "phone_number_id": "2"})
    world.alert(5 * MINUTE, group={"code": 131_000, "phone_number_id": NUMBER})
    world.fail(2 * DAY, DAY, MINUTE)
    world.run()
    assert len(world.rows()) == 1


def test_an_incident_of_a_removed_rule_explains_its_codes(world):
    world.alert(5 * MINUTE, rule="renamed since")
    world.fail(2 * DAY, DAY, MINUTE)
    world.run()
    assert world.rows() == []


def test_failures_outside_the_time_of_an_incident_count(world):
    world.alert(5 * HOUR, ended=4 * HOUR)
    world.fail(3 * DAY, 2 * DAY)
    world.fail(4 * HOUR + MINUTE)
    world.run()
    assert world.rows() == []
    world.fail(4 * HOUR - MINUTE)
    world.run()
    assert [e.occurred_at for e in world.rows()[0].evidence][-1] == world.now - 4 * HOUR + MINUTE


def test_a_pending_alert_that_came_to_nothing_lets_its_failures_count(world, engine):
    alert_id = world.alert(5 * MINUTE, state="pending")
    world.fail(2 * DAY, DAY, MINUTE)
    world.run()
    assert world.rows() == []
    with engine.begin() as connection:
        alerts.remove_pending(connection, alert_id)
    assert world.run().considered == 1
    assert len(world.rows()) == 1


def test_an_outage_that_only_becomes_known_later_suppresses_nobody(world):
    world.store(*scattered_failures(world, CROWD[::5], 3, 2))
    world.run()
    late = [world.failure(5 * HOUR, contact=contact) for contact in CROWD]
    world.store(*late[:8], *others_sent(world, 4, 8 * HOUR))
    world.run()
    assert len(world.all()) == 2
    world.store(*late[8:])
    world.run()
    assert world.all() == []
    assert world.count("considered_at IS NULL") == 0


def test_an_incident_that_never_ends_does_not_hold_failures_for_ever(world):
    incident_id = world.alert(20 * DAY)
    for age in (19, 18, 17.5):
        world.fail(age * DAY, contact=CROWD[0])  # within the three days an incident explains
    for age in (6, 5, 4):
        world.fail(age * DAY)
    world.run()
    assert [row.contact for row in world.all()] == [CONTACT]
    assert world.count("explained_by = :id", id=incident_id) == 3
    assert world.count("considered_at IS NULL") == 0


def test_a_rate_that_was_high_for_weeks_holds_no_failures(world):
    world.alert(20 * DAY)
    outage(world, age=MINUTE)
    world.store(*others_sent(world, 200, 5 * HOUR))
    world.fail(3 * DAY, 2 * DAY, MINUTE)
    world.run()
    assert len(world.rows()) == 1


def test_a_flapping_incident_explains_three_days_in_a_fortnight_and_not_more(world):
    world.alert(10 * DAY, ended=8 * DAY)
    world.alert(7 * DAY, ended=5 * DAY)
    world.alert(4 * DAY)
    world.fail(9 * DAY, 6.5 * DAY, contact=CROWD[0])
    world.fail(5.5 * DAY, 3 * DAY, 2 * DAY)
    world.store(*(each for age in (5, 3, 2) for each in others_sent(world, 2, age * DAY)))
    world.run()
    assert [row.contact for row in world.all()] == [CONTACT]
    assert world.count("contact = :contact AND explained_by IS NOT NULL", contact=CROWD[0]) == 2
    assert world.count("contact = :contact AND explained_by IS NOT NULL", contact=CONTACT) == 0


def test_a_high_rate_without_an_incident_only_delays(world):
    # 11 of 500 is above 2 %, but too little to be sure: the rule never alerts.
    world.store(*(world.failure(MINUTE, contact=contact) for contact in CROWD[:10]))
    world.store(
        *(
            body(status(f"wamid.ok{i}", "sent", world.now - MINUTE, recipient=CROWD[i]))
            for i in range(10, 499)
        )
    )
    world.fail(2 * DAY, DAY, MINUTE)
    world.run()
    assert world.rows() == []
    world.run(10 * MINUTE)
    assert world.rows() == []
    world.run(20 * MINUTE)
    assert len(world.rows()) == 1


def test_a_held_backlog_does_not_keep_others_waiting(world, engine, now):
    incident_id = world.alert(5 * MINUTE)
    world.fail(MINUTE, contact=CROWD[0])
    world.run()
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO failures (message_id, phone_number_id, occurred_at, participant, error_code, contact,"
                " series_id, received_at, explained_by) SELECT 'wamid.x' || i, phone_number_id, occurred_at,"
                " '', error_code, '1404' || i, series_id, received_at - interval '1 hour', :id"
                " FROM failures, generate_series(1, 50000) i"
            ),
            {"id": incident_id},
        )
    world.fail(2 * DAY, DAY, 2 * HOUR)
    assert world.run().considered == 3
    assert len(world.rows()) == 1
    world.end_incident(incident_id)
    assert world.run().excused == 50_001
    assert len(world.all()) == 1


def test_too_many_suppressions_within_an_hour_wait(world):
    world.rules = ()
    outage(world, CROWD[:50])
    assert world.run(hourly_cap=1).suppressed == 10
    world.fail(2 * DAY, DAY, HOUR)
    world.fail(HOUR, code=WITHHELD)
    summary = world.run(hourly_cap=1)
    assert summary.capped
    assert [row.scope for row in world.rows()] == ["marketing"]
    assert world.run(2 * HOUR, hourly_cap=1).suppressed == 1


def test_an_alert_fires_while_the_cap_holds_failures_back(world):
    own_work = parse_rules('[[rule]]\nname = "own"\nkind = "self"\nchecks = ["suppression"]\n', "rules.toml")
    world.rules = ()
    outage(world, CROWD[:50])
    world.run(hourly_cap=1)
    world.fail(2 * DAY, DAY, HOUR)
    world.run(hourly_cap=1)
    evaluate(world.engine, own_work, world.now + 4 * MINUTE)
    with world.engine.connect() as connection:
        assert alerts.open_alerts(connection) == []
    for minute in (6, 7):
        evaluate(world.engine, own_work, world.now + minute * MINUTE)
    with world.engine.connect() as connection:
        [found] = alerts.open_alerts(connection)
    assert (found.group, found.state) == ({"check": "suppression"}, "firing")
    world.run(2 * HOUR)
    for minute in range(121, 140):
        evaluate(world.engine, own_work, world.now + minute * MINUTE)
    with world.engine.connect() as connection:
        assert alerts.open_alerts(connection) == []


@pytest.mark.parametrize(("contacts", "gone"), [(40, 1), (600, 3)])
def test_an_outage_suppresses_nobody_and_unreachable_contacts_are_suppressed_later(
    engine, database_url, now, contacts, gone
):
    found = run_outage(engine, database_url, contacts, now)
    assert found.alerts >= 1
    assert found.suppressed_in_the_outage == 0
    assert (found.wrongly, found.missed) == (0, 0)
    assert found.suppressed_in_the_end == found.gone == gone
