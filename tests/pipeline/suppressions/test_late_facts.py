"""An outage that becomes known afterwards, or that hits a small sender, suppresses nobody."""

from collections import Counter

import pytest

from tests.pipeline.world import (
    CROWD,
    DAY,
    HOUR,
    MINUTE,
    RULE,
    UNREACHABLE,
    World,
    others_sent,
    scattered_failures,
)
from tests.support.factories import body, status
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.suppressions import explanations
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import explained_periods

OTHER = "12025559999"


@pytest.fixture
def world(world: World) -> World:
    world.rules = tuple(parse_rules(default_rules_text()))
    return world


def failed_twice_before(world: World, contacts: list[str]) -> None:
    """Each of these failed on two days, on which the number worked."""
    world.store(*scattered_failures(world, contacts, 5, 4))
    for day in (5, 4):
        for hour in range(0, 24, 3):
            world.store(*others_sent(world, 60, day * DAY - 12 * HOUR + hour * HOUR))
    world.run()
    assert world.all() == []


@pytest.mark.parametrize(
    ("every_minutes", "failing"), [(2, 1.0), (2, 0.3), (20, 1.0)], ids=["total", "partial", "small sender"]
)
def test_an_outage_of_six_hours_that_arrives_at_once_suppresses_nobody(world, every_minutes, failing):
    tried = [CROWD[place] for place in range(360 // every_minutes)]
    failed_twice_before(world, tried[:20])
    backlog = [
        world.failure(8 * HOUR - place * every_minutes * MINUTE, contact=contact)
        if place % 10 < failing * 10
        else body(status(f"wamid.ok{place}", "sent", world.now - 8 * HOUR + place * every_minutes * MINUTE))
        for place, contact in enumerate(tried)
    ]
    world.store(*others_sent(world, 100, 10 * HOUR), *backlog)
    for minutes in (0, 1, 30, 24 * 60, 3 * 24 * 60):
        world.run(minutes * MINUTE)
        assert world.all() == []
    assert world.changes() == []


def test_a_backlog_is_no_excuse_for_a_contact_that_failed_while_the_others_arrived(world):
    failed_twice_before(world, CROWD[:1])
    backlog = others_sent(world, 300, 3 * HOUR)
    world.store(*backlog, world.failure(3 * HOUR, contact=CROWD[0]))
    world.run()
    assert [row.contact for row in world.all()] == [CROWD[0]]


def test_the_outage_of_a_small_sender_suppresses_none_of_its_contacts(world, engine):
    """40 contacts, one message each on three days, all failing, with rules that need many messages."""
    world.rules = (RULE,)
    for day in (2, 1, 0):
        at = day * DAY
        world.store(
            *(world.failure(at + place * MINUTE, contact=contact) for place, contact in enumerate(CROWD[:40]))
        )
        evaluate(engine, world.rules, world.now - at)
        world.run(-at)
        assert world.all() == []
    world.run(2 * DAY)
    assert world.all() == []


def test_a_contact_of_a_small_sender_whose_other_messages_arrive_is_suppressed(world):
    for day in (3, 2, 1):
        world.store(*others_sent(world, 4, day * DAY), world.failure(day * DAY, contact=CROWD[0]))
    world.rules = (RULE,)
    world.run()
    assert [(row.contact, row.code) for row in world.all()] == [(CROWD[0], UNREACHABLE)]


def test_failures_of_invented_times_do_not_hold_a_run(world, monkeypatch):
    read = []
    real = explained_periods.rates.read_window
    monkeypatch.setattr(
        explained_periods.rates,
        "read_window",
        lambda *given, **more: (read.append(1), real(*given, **more))[1],
    )
    world.fail(*(20 * 365 * DAY + minutes * HOUR for minutes in range(400)), contact=CROWD[0])
    world.run()
    assert len(read) < 50
    assert world.count("considered_at IS NULL") == 0


def test_failures_spread_over_many_hours_are_considered_over_several_transactions(world, monkeypatch):
    monkeypatch.setattr(explanations, "_MAX_WINDOWS", 20)
    world.fail(*(40 * DAY + hours * HOUR for hours in range(60)), contact=CROWD[0])
    world.run()
    world.run()
    assert world.count("considered_at IS NULL") == 0


@pytest.fixture
def read(monkeypatch):
    """How many windows each transaction has read."""
    counted, real = Counter(), explained_periods.rates.read_window

    def read_window(connection, *given, **more):
        counted[connection.get_transaction()] += 1
        return real(connection, *given, **more)

    monkeypatch.setattr(explained_periods.rates, "read_window", read_window)
    return counted


def fail_on_own_numbers(world, days, more=()):
    """20 contacts fail on these days, each on a number of its own that reaches others on days 3, 2 and 1."""
    for place, contact in enumerate(CROWD[:20]):
        number = f"9{place:03}"
        world.store(*(world.failure(age, contact=contact, number=number) for age in days))
        others = CROWD[100 + 3 * place : 103 + 3 * place]
        world.store(*(world.failure(age, contact=each, number=number) for age in more for each in others))
        for day in (3, 2, 1):
            at = world.now - day * DAY
            reached = [status(f"wamid.{number}.{day}.{n}", "sent", at, recipient=OTHER) for n in range(6)]
            world.store(body(*reached, number=number))
    for day in (3, 2, 1):
        world.store(*others_sent(world, 1000, day * DAY))


def test_contacts_of_many_numbers_are_decided_over_several_transactions(world, monkeypatch, read):
    monkeypatch.setattr(explanations, "_MAX_WINDOWS", 5)
    world.rules = (RULE,)
    fail_on_own_numbers(world, [3 * DAY, 2 * DAY, DAY])
    world.run()
    assert {row.contact for row in world.all()} == set(CROWD[:20])
    assert max(read.values()) < 30
    assert sum(read.values()) > 60
    assert world.count("considered_at IS NULL") == 0


def test_held_failures_of_many_numbers_are_reviewed_in_turn(world, monkeypatch, read):
    """All four messages of each number failed today, so nobody knows whether it works."""
    world.rules = (RULE,)
    world.now = (world.now - DAY).replace(hour=12)
    fail_on_own_numbers(world, [3 * DAY, 2 * DAY, MINUTE], more=[MINUTE])
    world.run()
    assert world.all() == []
    held = world.count("considered_at IS NULL")
    assert held >= 20
    monkeypatch.setattr(explanations, "_MAX_WINDOWS", 5)
    read.clear()
    world.run(MINUTE)
    assert 0 < max(read.values()) < 15
    assert world.count("considered_at IS NULL") == held
