"""Failed calls that a sender's key makes up excuse no failure of others, and no key lengthens many suppressions."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from tests.pipeline.world import BLOCKED, CROWD, DAY, HOUR, MINUTE, UNREACHABLE, WITHHELD, World, others_sent
from tests.support.factories import NUMBER
from tests.support.reports import report_failed_calls
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.sends.reports import follow_up, register
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents.explained_periods import of_incidents
from webhook_app.store.sends.reports import unreported
from webhook_app.web.api.sends.send_items import parse_send
from webhook_app.whatsapp.sends.send_reports import SendReport

UNREACHABLE_PEOPLE = CROWD[:3]


@pytest.fixture
def now(now: datetime) -> datetime:
    """Today at noon: an hour before is the same day, whenever the test runs."""
    return now.replace(hour=12, minute=34, second=56)


@pytest.fixture
def world(engine: Engine, database_url: str, now: datetime) -> Iterator[World]:
    """People whose messages fail or are delivered, with the rules that the service begins with."""
    made = World(engine, database_url, now)
    made.rules = tuple(parse_rules(default_rules_text()))
    yield made
    made.close()


def fail_while_others_are_reached(world: World, others: int) -> None:
    for day in (4, 3, 2, 1):
        world.store(
            *others_sent(world, others, day * DAY + HOUR),
            *(world.failure(day * DAY + HOUR, contact=contact) for contact in UNREACHABLE_PEOPLE),
        )


def suppressed(world: World) -> list[str]:
    return sorted({row.contact for row in world.all()})


@pytest.mark.parametrize("others", [200, 4], ids=["a window", "a day"])
@pytest.mark.parametrize("order", ["before", "after"])
def test_made_up_failures_of_the_past_excuse_nobody(world, engine, others, order):
    fail_while_others_are_reached(world, others)
    if order == "after":
        world.run()
        assert suppressed(world) == UNREACHABLE_PEOPLE
    for day in (4, 3, 2, 1):
        report_failed_calls(engine, 400, world.now - day * DAY - HOUR, UNREACHABLE)
    for minutes in (1, 2, 11):
        world.run(minutes * MINUTE)
    assert suppressed(world) == UNREACHABLE_PEOPLE
    assert world.count("explained_by IS NOT NULL AND source <> 'send'") == 0


def test_made_up_failures_of_the_last_minutes_hold_no_failure(world, engine):
    for age in (3 * DAY, 2 * DAY, 10 * MINUTE):
        world.store(*others_sent(world, 200, age), world.failure(age, contact=CROWD[0]))
    report_failed_calls(engine, 400, world.now - 10 * MINUTE, UNREACHABLE)
    world.run()
    assert suppressed(world) == CROWD[:1]


def evaluated(world: World, *seconds: int) -> None:
    for each in seconds:
        evaluate(world.engine, world.rules, world.now + timedelta(seconds=each))


@pytest.mark.parametrize("evaluations", [(0,), (0, 15)], ids=["a pending alert", "an incident"])
@pytest.mark.parametrize("order", ["before", "after"])
def test_alerts_of_made_up_failures_excuse_nobody(world, engine, evaluations, order):
    for age in (3 * DAY, 2 * DAY, 10 * MINUTE):
        world.store(*others_sent(world, 100, age), world.failure(age, contact=CROWD[0]))
    if order == "after":
        world.run()
    report_failed_calls(engine, 300, world.now - 10 * MINUTE, UNREACHABLE)
    evaluated(world, *evaluations)
    for seconds in (20, 40):
        world.run(timedelta(seconds=seconds))
    assert suppressed(world) == CROWD[:1]


def test_made_up_failures_make_an_outage_of_webhooks_no_less_an_outage(world, engine):
    people = CROWD[:200]
    world.store(*others_sent(world, 200, 3 * DAY), *others_sent(world, 200, 2 * DAY))
    for age in (3 * DAY, 2 * DAY, 5 * MINUTE):
        world.store(*(world.failure(age, contact=contact) for contact in people))
    report_failed_calls(engine, 1000, world.now - 14 * MINUTE, UNREACHABLE)
    evaluated(world, 0, 15)
    world.run(timedelta(seconds=20))
    assert suppressed(world) == []
    with engine.connect() as connection:
        held = text("SELECT count(*) FROM failures WHERE explained_by > 0 AND source <> 'send'")
        assert connection.execute(held).scalar_one() == 200


def test_made_up_failures_do_not_prolong_what_an_outage_explains(world, engine):
    world.store(*(world.failure(70 * MINUTE, contact=contact) for contact in CROWD[:60]))
    evaluated(world, -69 * 60, -69 * 60 + 15)
    for minutes in range(60, 0, -10):
        report_failed_calls(engine, 60, world.now - minutes * MINUTE, UNREACHABLE)
        world.store(*others_sent(world, 30, minutes * MINUTE))
    evaluated(world, *range(-50 * 60, 0, 600))
    with engine.connect() as connection:
        [end] = {each.end for each in of_incidents(connection, world.now - DAY) if each.is_shown}
    assert end is not None
    assert end <= world.now - 40 * MINUTE


def test_reported_failures_of_the_same_person_leave_an_outage_an_outage(world, engine):
    """Ten people, none reached on three days; somebody reports hundreds of failed calls to one of them."""
    people = CROWD[:10]
    for day in (4, 3, 2):
        world.store(*(world.failure(day * DAY, contact=contact) for contact in people))
        report_failed_calls(engine, 300, world.now - day * DAY, UNREACHABLE, contact=people[0])
    world.run()
    assert suppressed(world) == []


def test_a_success_on_any_number_ends_a_suppression_for_all_numbers(world):
    world.fail(HOUR, code=BLOCKED, number="")
    world.run()
    assert [(row.phone_number_id, row.reason) for row in world.rows()] == [("", "hard")]
    world.deliver(MINUTE, number=NUMBER)
    world.run()
    assert world.rows() == []


def report_withheld(world, engine, contacts, key="rival", age=timedelta(0), code=WITHHELD):
    """The key says that it sent one message to each, which failed with the code."""
    at = world.now - age
    items = []
    for contact in contacts:
        sent = {
            "contact": contact,
            "phone_number_id": NUMBER,
            "message_id": f"wamid.{key}.{contact}.{age}",
            "sent_at": at.isoformat(),
        }
        items += [sent, sent | {"error": {"code": code, "message": "no"}}]
    found = [parse_send(item, at)[0] for item in items]
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, found, at, reported_by=key)


@pytest.mark.parametrize(("key", "found"), [("shop", []), ("rival", CROWD[:1])])
def test_failed_calls_of_a_key_excuse_what_it_reported_itself_alone(world, engine, key, found):
    for age in (3 * DAY, 2 * DAY, 10 * MINUTE):
        world.store(*others_sent(world, 100, age))
        report_withheld(world, engine, CROWD[:1], "shop", age, UNREACHABLE)
    report_failed_calls(engine, 100, world.now - 10 * MINUTE, UNREACHABLE, key=key)
    evaluated(world, 0, 15)
    world.run(timedelta(seconds=20))
    assert suppressed(world) == found


def test_a_key_lengthens_no_more_suppressions_in_an_hour_than_it_can_make(world, engine):
    contacts = [f"1202555{place:04}" for place in range(30)]
    world.store(*(world.failure(20 * HOUR, code=WITHHELD, contact=contact) for contact in contacts))
    world.run(-20 * HOUR)
    until = {row.contact: row.until for row in world.all()}
    assert len(until) == 30
    report_withheld(world, engine, contacts)

    def lengthened():
        return sum(row.until > until[row.contact] for row in world.all())

    world.run(key_hourly_cap=10)
    assert lengthened() == 10
    world.run(30 * MINUTE, key_hourly_cap=10)
    assert lengthened() == 10
    world.run(61 * MINUTE, key_hourly_cap=10)
    assert lengthened() == 20


def test_a_webhook_s_extension_does_not_count_for_the_key_whose_report_came_before(world, engine):
    contacts = [f"1202555{place:04}" for place in range(10)]
    report_withheld(world, engine, contacts, age=20 * HOUR)
    world.run(-20 * HOUR, key_hourly_cap=10)
    assert len(world.all()) == 10
    world.store(*(world.failure(MINUTE, code=WITHHELD, contact=contact) for contact in contacts))
    report_withheld(world, engine, ["12025559999"])
    assert world.run(key_hourly_cap=10).extended == 10
    world.run(MINUTE, key_hourly_cap=10)
    assert "12025559999" in suppressed(world)


def test_failed_calls_that_another_key_makes_up_hide_no_silent_send(engine, now):
    sent = SendReport(
        message_id="wamid.1",
        phone_number_id=NUMBER,
        contact=UNREACHABLE_PEOPLE[0],
        template="",
        campaign="",
        category="",
        sent_at=now - 40 * MINUTE,
        error=None,
        endpoint="",
        request_json="",
    )
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, [sent], now - 40 * MINUTE, reported_by="shop")
    report_failed_calls(engine, 1, now - 39 * MINUTE, 131000, message_id="wamid.1", contact=sent.contact)
    for minutes in (38, 20, 0):
        follow_up(engine, now - minutes * MINUTE)
    with engine.connect() as connection:
        assert [each.silent for each in unreported(connection, now)] == [1]
