import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.factories import NUMBER, body, message, status
from tests.pipeline.world import (
    BLOCKED,
    CONTACT,
    DAY,
    EXPERIMENT,
    HOUR,
    MINUTE,
    STOPPED,
    UNREACHABLE,
    USER,
    WITHHELD,
    World,
)
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file import parse_rules
from webhook_app.store.incidents import alerts
from webhook_app.store.suppressions import suppressions


@pytest.fixture
def now(now):
    """Today at noon: an hour ago is the same day, whenever the test runs."""
    return now.replace(hour=12, minute=34, second=56)


@pytest.fixture
def world(engine, database_url, now):
    made = World(engine, database_url, now)
    yield made
    made.close()


# Streaks


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


def test_streaks_of_two_business_numbers_are_apart(world):
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
def test_codes_that_do_not_speak_of_the_contact_never_suppress(world, code):
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
def test_a_message_that_arrives_lifts(world, what):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    world.reach(0 * DAY, what)
    assert world.run().lifted == 1
    assert world.rows() == []
    assert [(c.action, c.actor) for c in world.changes()] == [("suppress", "system"), ("lift", "system")]


def test_a_message_from_them_lifts(world):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    world.write(0 * DAY)
    world.run(DAY)
    assert world.rows() == []


def test_a_success_on_another_business_number_does_not_lift(world):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    world.reach(0 * DAY, number="2")
    world.run(DAY)
    assert len(world.rows()) == 1


def test_a_late_message_about_an_older_success_does_not_lift(world):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    before = world.rows()
    world.reach(4 * DAY)
    world.run()
    world.run(DAY)
    assert world.rows() == before


def test_a_success_before_all_but_two_failures_ends_the_streak_whenever_it_becomes_known(world):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    world.reach(2 * DAY + HOUR)
    world.run()
    assert world.rows() == []


def test_failures_since_the_last_success_count_anew(world):
    world.fail(5 * DAY, 4 * DAY)
    world.reach(4 * DAY - HOUR)
    world.fail(3 * DAY, 2 * DAY)
    world.run()
    assert world.rows() == []
    world.fail(1 * DAY)
    world.run()
    assert [e.message_id for e in world.rows()[0].evidence] == ["wamid.3", "wamid.4", "wamid.5"]


def test_a_message_that_arrived_on_another_device_is_no_failure(world):
    world.fail(3 * DAY, 2 * DAY)
    world.reach(DAY + HOUR, message_id="wamid.both")
    world.fail(DAY, message_id="wamid.both")
    world.run()
    assert world.rows() == []


def test_a_success_that_missed_the_queue_is_found_while_the_suppression_is_young(world, engine):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    world.reach(0 * DAY)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM successes"))
    world.run(9 * MINUTE)
    assert world.rows() == []


def test_what_an_operator_confirmed_is_lifted_by_a_success_after_its_evidence_alone(world, engine, now):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.run()
    with engine.begin() as connection:
        suppressions.put(
            connection, CONTACT, phone_number_id=NUMBER, reason="unreachable", actor="ops", now=now
        )
    world.reach(2 * DAY)
    world.run()
    assert [row.actor for row in world.rows()] == ["ops"]
    world.reach(HOUR)
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


# Incidents

CROWD = [f"1303555{i:04}" for i in range(500)]


def strays(world, contacts, *days):
    """A failure for each of them on each of these days, spread so that no hour looks bad by itself."""
    return [
        world.failure(day * DAY + place * 10 * MINUTE, contact=contact)
        for day in days
        for place, contact in enumerate(contacts)
    ]


def outage(world, contacts=CROWD, age=MINUTE):
    """All of these fail within a minute, some of them for the third day."""
    world.store(*strays(world, contacts[::5], 2, 1))
    world.store(*(world.failure(age, contact=contact) for contact in contacts))


def test_an_outage_with_an_alert_suppresses_nobody(world):
    alert_id = world.alert(4 * HOUR)
    outage(world, age=3 * HOUR)
    summary = world.run()
    assert (summary.held, world.all()) == (500, [])
    assert world.count("considered_at IS NULL AND explained_by = :id", id=alert_id) == 500
    world.resolve(alert_id, 2 * HOUR)
    assert world.run().excused == 500
    assert world.all() == []
    assert world.count("considered_at IS NULL") == 0


def test_what_an_alert_explained_does_not_count_later_either(world, now):
    alert_id = world.alert(4 * HOUR)
    world.fail(2 * DAY, 3 * HOUR)
    world.run()
    world.resolve(alert_id, 2 * HOUR)
    world.run()
    world.fail(HOUR, campaign="a")
    world.run()
    assert world.rows() == []
    world.fail(DAY)
    world.run()
    assert [e.occurred_at for e in world.rows()[0].evidence] == [now - 2 * DAY, now - DAY, now - HOUR]


def test_an_outage_before_its_alert_holds_what_is_above_the_threshold(world):
    outage(world)
    summary = world.run()
    assert world.all() == []
    assert summary.held == 100
    alert_id = world.alert(5 * MINUTE)
    world.run(MINUTE)
    world.resolve(alert_id)
    world.run(MINUTE)
    world.run(30 * MINUTE)
    assert world.all() == []
    assert world.count("considered_at IS NULL") == 0


def test_the_first_contacts_of_an_outage_are_released_by_its_alert(world):
    outage(world, CROWD[:20])
    world.run()
    assert len(world.all()) == 4
    world.store(*(world.failure(MINUTE, contact=contact) for contact in CROWD[20:]))
    alert_id = world.alert(5 * MINUTE)
    assert world.run(30 * MINUTE).lifted == 4
    assert world.all() == []
    assert {c.note for c in world.changes() if c.action == "lift"} == {f"explained by alert {alert_id}"}


def test_a_suppression_that_failures_outside_the_incident_carry_stays(world):
    world.fail(3 * DAY, 2 * DAY, 1 * DAY)
    world.fail(MINUTE)
    world.run()
    world.alert(5 * MINUTE)
    world.run()
    [row] = world.rows()
    assert [e.message_id for e in row.evidence] == ["wamid.0", "wamid.1", "wamid.2"]


def test_an_alert_about_something_else_explains_nothing(world):
    world.alert(5 * MINUTE, group={"code": UNREACHABLE, "phone_number_id": "2"})
    world.alert(5 * MINUTE, group={"code": 131_000, "phone_number_id": NUMBER})
    world.fail(2 * DAY, DAY, MINUTE)
    world.run()
    assert len(world.rows()) == 1


def test_an_alert_of_a_rule_that_is_gone_explains_its_codes(world):
    world.alert(5 * MINUTE, rule="renamed since")
    world.fail(2 * DAY, DAY, MINUTE)
    world.run()
    assert world.rows() == []


def test_failures_outside_the_time_of_an_alert_count(world):
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
    assert world.run().released == 1
    assert len(world.rows()) == 1


def test_an_outage_that_only_becomes_known_later_suppresses_nobody(world):
    world.store(*strays(world, CROWD[::5], 3, 2))
    world.run()
    late = [world.failure(5 * HOUR, contact=contact) for contact in CROWD]
    world.store(*late[:8])
    world.run()
    assert len(world.all()) == 2
    world.store(*late[8:])
    world.run()
    assert world.all() == []
    assert world.count("considered_at IS NULL") == 0


def test_an_alert_that_never_ends_does_not_keep_the_dead_for_ever(world):
    alert_id = world.alert(20 * DAY)
    for age in (19, 18, 17.5):
        world.fail(age * DAY, contact=CROWD[0])  # within the three days an alert explains
    for age in (6, 5, 4):
        world.fail(age * DAY)
    world.run()
    assert [row.contact for row in world.all()] == [CONTACT]
    assert world.count("explained_by = :id", id=alert_id) == 3
    assert world.count("considered_at IS NULL") == 0


def test_a_rate_that_has_been_high_for_weeks_does_not_hold_either(world):
    world.alert(20 * DAY)
    outage(world, age=MINUTE)
    world.fail(3 * DAY, 2 * DAY, MINUTE)
    world.run()
    assert len(world.rows()) == 1


def test_a_flapping_alert_explains_three_days_in_a_fortnight_and_not_more(world):
    world.alert(10 * DAY, ended=8 * DAY)
    world.alert(7 * DAY, ended=5 * DAY)
    world.alert(4 * DAY)
    world.fail(9 * DAY, 6.5 * DAY, contact=CROWD[0])
    world.fail(5.5 * DAY, 3 * DAY, 2 * DAY)
    world.run()
    assert [row.contact for row in world.all()] == [CONTACT]
    assert world.count("contact = :contact AND explained_by IS NOT NULL", contact=CROWD[0]) == 2
    assert world.count("contact = :contact AND explained_by IS NOT NULL", contact=CONTACT) == 0


def test_a_high_rate_that_was_no_incident_only_delays(world):
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
    alert_id = world.alert(5 * MINUTE)
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
            {"id": alert_id},
        )
    world.fail(2 * DAY, DAY, 2 * HOUR)
    assert world.run().considered == 3
    assert len(world.rows()) == 1
    world.resolve(alert_id)
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


def test_an_alert_tells_when_the_cap_holds_failures_back(world):
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


# Scopes and ends


def test_meta_withholding_marketing_pauses_it_for_a_day(world, now):
    world.fail(HOUR, code=WITHHELD)
    world.run()
    [row] = world.rows()
    assert (row.reason, row.scope, row.code) == ("unreachable", "marketing", WITHHELD)
    assert row.until == now - HOUR + DAY
    world.reach(0 * DAY)
    world.run()
    assert world.rows() == [row]


def test_an_experiment_ends_when_they_write(world):
    world.fail(HOUR, code=EXPERIMENT)
    world.run()
    [row] = world.rows()
    assert (row.scope, row.until) == ("marketing", None)
    world.reach(30 * MINUTE)
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
    world.reach(2 * HOUR)
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
    world.reach(0 * HOUR)
    world.run()
    assert world.rows() == []


def test_causes_stand_beside_each_other(world):
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


def test_what_ran_out_waits_for_a_probe_and_doubles_when_that_fails(world, now):
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
def test_a_probe_that_arrives_lifts(world, what):
    world.fail(42 * DAY, 41 * DAY, 40 * DAY)
    world.run(-39 * DAY)
    world.run(-10 * DAY)
    world.write(HOUR) if what == "inbound" else world.reach(HOUR, what)
    world.run()
    assert world.rows() == []


def test_the_wait_doubles_though_its_first_failures_are_no_longer_stored(world, engine, now):
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


def test_the_wait_is_the_same_when_everything_becomes_known_at_once(world, now):
    world.fail(42 * DAY, 41 * DAY, 40 * DAY, HOUR)
    world.run()
    [row] = world.rows()
    assert (row.times, row.until) == (2, now - HOUR + 60 * DAY)


def test_a_success_after_it_ran_out_starts_all_over(world, now):
    world.fail(42 * DAY, 41 * DAY, 40 * DAY)
    world.run(-39 * DAY)
    world.run(-10 * DAY)
    world.reach(9 * DAY)
    world.fail(2 * DAY, DAY)
    world.run()
    assert world.rows() == []
    world.fail(HOUR)
    world.run()
    [row] = world.rows()
    assert (row.times, row.until) == (1, now - HOUR + 30 * DAY)


def test_a_manual_suppression_runs_out_too(world, engine, now):
    with engine.begin() as connection:
        suppressions.put(connection, CONTACT, actor="ops", until=now + HOUR, now=now)
    world.run(59 * MINUTE)
    assert len(world.rows()) == 1
    world.run(HOUR)
    assert world.rows() == []


# What people say

WISHES = [(5, "stop"), (4, "resume"), (3, "stop"), (2, "resume")]


@pytest.mark.parametrize("said", [WISHES[:1], WISHES[:2], WISHES[:3], WISHES])
def test_the_newest_preference_wins_in_whatever_order_they_arrive(world, said):
    orders = {f"1505555{place:04}": order for place, order in enumerate(itertools.permutations(said))}
    for step in range(len(said)):
        for contact, order in orders.items():
            hours, wish = order[step]
            world.prefer(hours * HOUR, wish, contact)
        world.run()
    rows = world.all()
    assert [row.contact for row in rows] == (list(orders) if said[-1][1] == "stop" else [])
    since = world.now - said[-1][0] * HOUR
    assert all((row.reason, row.scope, row.since) == ("opted_out", "marketing", since) for row in rows)


def test_a_preference_concerns_the_number_it_was_given_to(world):
    world.prefer(2 * HOUR, "stop")
    world.prefer(HOUR, "resume", number="2")
    world.run()
    assert [row.phone_number_id for row in world.rows()] == [NUMBER]


def test_a_preference_for_no_number_concerns_all(world):
    world.prefer(2 * HOUR, "stop", number="")
    world.run()
    assert [row.phone_number_id for row in world.rows()] == [""]
    world.prefer(HOUR, "resume")
    world.run()
    assert world.rows() == []


@pytest.mark.parametrize(
    "words", [["STOP"], ["STOP", "Start"], ["start", "Stop!"], ["stop", "start", "stop"]]
)
def test_the_newest_word_wins_in_whatever_order_they_arrive(world, words):
    orders = {f"1505555{n:04}": order for n, order in enumerate(itertools.permutations(enumerate(words)))}
    for step in range(len(words)):
        for contact, order in orders.items():
            place, word = order[step]
            world.write((10 - place) * HOUR, word, contact)
        world.run()
    rows = world.all()
    assert [row.contact for row in rows] == (list(orders) if words[-1].lower().startswith("stop") else [])
    assert all((row.reason, row.scope, row.actor) == ("opted_out", "all", "person") for row in rows)


def test_start_does_not_resume_marketing_and_resume_does_not_undo_a_stop(world):
    world.prefer(4 * HOUR, "stop")
    world.write(4 * HOUR, "stop")
    world.write(3 * HOUR, "start")
    world.run()
    assert [row.scope for row in world.rows()] == ["marketing"]
    world.write(2 * HOUR, "stop")
    world.prefer(HOUR, "resume")
    world.run()
    assert [row.scope for row in world.rows()] == ["all"]


def test_an_operator_can_undo_a_stop_and_an_older_word_does_not_bring_it_back(world, engine, now):
    world.write(3 * HOUR, "stop")
    world.run()
    with engine.begin() as connection:
        suppressions.lift(connection, CONTACT, None, None, None, actor="ops", now=now - HOUR)
    world.write(4 * HOUR, "start")
    world.run()
    assert world.rows() == []
    world.write(MINUTE, "stop")
    world.run()
    assert len(world.rows()) == 1


def test_an_opt_out_outlives_the_message_it_came_by(world, engine):
    world.write(3 * HOUR, "stop")
    world.run()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM inbound_messages"))
    before = world.rows()
    world.write(4 * HOUR, "start")
    world.run()
    assert world.rows() == before
    world.write(HOUR, "start")
    world.run()
    assert world.rows() == []


def test_start_lifts_an_opt_out_somebody_entered_for_all_numbers(world, engine, now):
    with engine.begin() as connection:
        suppressions.put(connection, CONTACT, reason="opted_out", actor="import", now=now - DAY)
    world.write(HOUR, "start")
    world.run()
    assert world.rows() == []


# People with several keys


def test_failures_under_a_user_id_and_under_the_phone_are_one_persons(world):
    world.fail(2 * DAY, DAY, contact="", recipient_user_id=USER)
    world.run()
    assert world.all() == []
    world.fail(HOUR, recipient_user_id=USER)
    world.run()
    assert [row.contact for row in world.all()] == [CONTACT]


def test_who_was_suppressed_by_user_id_is_kept_under_the_phone_once_that_is_known(world):
    world.fail(3 * DAY, 2 * DAY, DAY, contact="", recipient_user_id=USER)
    world.run()
    [before] = world.all()
    assert before.contact == USER
    world.fail(HOUR, recipient_user_id=USER)
    world.run(HOUR)
    [row] = world.all()
    assert (row.contact, row.since, len(row.evidence)) == (CONTACT, before.since, 4)


def test_start_under_a_user_id_undoes_stop_by_phone(world):
    world.write(3 * HOUR, "stop")
    world.reach(2 * HOUR, recipient_user_id=USER)
    world.run()
    assert len(world.all()) == 1
    item = message("wamid.start", world.now - HOUR, text="start") | {"from_user_id": USER}
    del item["from"]
    world.store(body(messages=[item]))
    world.run()
    assert world.all() == []


NEW = "491715550117"


def change_number(world, age, old=CONTACT, new=NEW, message_id="wamid.moved"):
    moved = {"body": "changed", "wa_id": new, "type": "user_changed_number"}
    item = message(message_id, world.now - age, sender=old) | {"type": "system", "system": moved}
    del item["text"]
    world.store(body(messages=[item]))


def test_suppressions_go_with_who_changes_their_number(world, engine, now):
    world.write(5 * DAY, "stop")
    world.fail(3 * DAY, 2 * DAY, DAY)
    with engine.begin() as connection:
        suppressions.put(connection, CONTACT, actor="ops", note="lawyer", now=now)
    world.run()
    assert {row.reason for row in world.rows()} == {"opted_out", "unreachable", "manual"}
    change_number(world, HOUR)
    world.run()
    assert world.rows() == []
    assert {row.reason: row.note for row in world.rows(NEW)} == {
        "opted_out": "moved along with the person",
        "unreachable": "moved along with the person",
        "manual": "lawyer",
    }
    world.run(MINUTE)
    assert len(world.rows(NEW)) == 3
    item = message("wamid.start", now, sender=NEW, text="start")
    world.store(body(messages=[item]))
    world.run(MINUTE)
    assert [row.reason for row in world.rows(NEW)] == ["manual"]


def test_a_stop_told_before_the_number_changed_counts_when_it_becomes_known_later(world):
    change_number(world, HOUR)
    world.run()
    world.write(2 * HOUR, "stop")
    world.run()
    assert [row.contact for row in world.all()] == [NEW]


def test_who_comes_back_to_the_old_number_takes_the_suppressions_back(world):
    world.write(5 * HOUR, "stop")
    change_number(world, 2 * HOUR)
    world.run()
    change_number(world, HOUR, old=NEW, new=CONTACT, message_id="wamid.back")
    world.run()
    assert [row.contact for row in world.all()] == [CONTACT]


# Order and company


def life(world, contact, mark):
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
    lives = [life(world, f"1606555{turn:04}", f"wamid.{turn}.") for turn in range(len(orders))]
    for step in range(7):
        world.store(*(lives[turn][order[step]] for turn, order in enumerate(orders)))
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


def test_two_runs_at_once_agree_and_leave_no_gap(world, engine, now):
    world.store(*strays(world, CROWD[:100], 3, 2, 1))

    def someone_else(place):
        with engine.begin() as connection:
            suppressions.put(connection, f"1707555{place:04}", actor="ops", now=now)

    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(world.run) for _ in range(2)]
        list(pool.map(someone_else, range(50)))
        done = [run.result() for run in runs]
    done.append(world.run())
    assert sum(each.suppressed for each in done) == 100
    assert len(world.all()) == 150
    assert [c.seq for c in world.changes()] == list(range(1, 151))
