"""Preferences, words and buttons: of each source, the newest statement counts."""

import itertools

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from tests.pipeline.world import (
    CONTACT,
    DAY,
    HOUR,
    MINUTE,
)
from tests.support.factories import NUMBER
from webhook_app.pipeline.suppressions import consent
from webhook_app.store.suppressions import consent as consent_store
from webhook_app.store.suppressions import suppressions

PREFERENCES = [(5, "stop"), (4, "resume"), (3, "stop"), (2, "resume")]


@pytest.mark.parametrize("said", [PREFERENCES[:1], PREFERENCES[:2], PREFERENCES[:3], PREFERENCES])
def test_the_newest_preference_wins_in_any_order(world, said):
    orders = {f"1505555{place:04}": order for place, order in enumerate(itertools.permutations(said))}
    for step in range(len(said)):
        for contact, order in orders.items():
            hours, preference = order[step]
            world.prefer(hours * HOUR, preference, contact)
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
def test_the_newest_word_wins_in_any_order(world, words):
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


def test_an_opt_out_outhistories_its_message(world, engine):
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


def test_start_lifts_an_opt_out_entered_by_hand_for_all_numbers(world, engine, now):
    with engine.begin() as connection:
        suppressions.put(connection, CONTACT, reason="opted_out", actor="import", now=now - DAY)
    world.write(HOUR, "start")
    world.run()
    assert world.rows() == []


MARKETING_WORDS = ("cancel", "stop promotions")


@pytest.mark.parametrize("word", MARKETING_WORDS)
@pytest.mark.parametrize("lift", ["start", "resume"])
def test_a_word_that_stops_marketing_is_lifted_by_start_and_by_a_resume_at_meta(world, word, lift):
    world.write(3 * HOUR, word)
    world.run()
    assert [(row.scope, row.review) for row in world.rows()] == [("marketing", word == "cancel")]
    if lift == "start":
        world.write(HOUR, "start")
    else:
        world.prefer(HOUR, "resume")
    world.run()
    assert world.rows() == []


def test_start_leaves_what_was_stopped_at_meta_beside_a_word(world):
    world.prefer(4 * HOUR, "stop")
    world.write(3 * HOUR, "cancel")
    world.run()
    assert [(row.scope, row.review, len(row.evidence)) for row in world.rows()] == [("marketing", False, 2)]
    world.write(2 * HOUR, "start")
    world.run()
    (row,) = world.rows()
    assert (row.scope, row.since) == ("marketing", world.now - 4 * HOUR)
    assert [each.what for each in row.evidence] == ["stop"]


@pytest.mark.parametrize("arriving", list(itertools.permutations(range(4))))
def test_an_ambiguous_word_waits_for_review_unless_a_clear_one_says_the_same(world, arriving):
    said = [(5, "stop promotions"), (4, "start"), (3, "cancel"), (2, "quit")]
    for place in arriving:
        hours, word = said[place]
        world.write(hours * HOUR, word)
        world.run()
    (row,) = world.rows()
    assert (row.review, row.since) == (True, world.now - 2 * HOUR)
    world.write(HOUR, "stop promotions")
    world.run()
    (row,) = world.rows()
    assert (row.review, row.since) == (False, world.now - HOUR)


def test_a_confirmed_ambiguous_word_stays_confirmed(world, engine):
    world.write(5 * HOUR, "cancel")
    world.run()
    (row,) = world.rows()
    with engine.begin() as connection:
        confirmed = replace(row, review=False, actor="ops")
        suppressions.apply(connection, [confirmed], [], world.now)
    world.run()
    assert world.rows() == [confirmed]
    world.write(HOUR, "quit")
    world.run()
    assert [row.review for row in world.rows()] == [False]


def test_an_ambiguous_word_outlives_its_message(world, engine):
    world.write(3 * HOUR, "cancel")
    world.run()
    before = world.rows()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM inbound_messages"))
    world.write(4 * HOUR, "start")
    world.run()
    assert world.rows() == before
    world.write(HOUR, "start")
    world.run()
    assert world.rows() == []


def test_start_does_not_lift_an_opt_out_of_marketing_entered_by_hand(world, engine, now):
    with engine.begin() as connection:
        suppressions.put(
            connection, CONTACT, reason="opted_out", scope="marketing", actor="import", now=now - DAY
        )
    world.write(HOUR, "start")
    world.run()
    assert [row.scope for row in world.rows()] == ["marketing"]
    world.prefer(MINUTE, "resume")
    world.run()
    assert world.rows() == []


def test_opt_outs_from_more_numbers_than_anybody_has_apply_to_every_number(world, monkeypatch):
    monkeypatch.setattr(consent, "MOST_NUMBERS", 3)
    for place in range(3):
        world.write((20 - place) * HOUR, "stop", number=f"n{place}")
        world.run()
    assert [row.phone_number_id for row in world.rows()] == ["n0", "n1", "n2"]
    for place in range(5):
        world.write((10 - place) * HOUR, "stop", number=f"a{place}")
    world.run()
    assert [row.phone_number_id for row in world.rows()] == ["", "n0", "n1", "n2"]
    world.write(HOUR, "start", number="n1")
    world.run()
    assert [row.phone_number_id for row in world.rows()] == ["n0", "n2"]


def test_of_a_key_with_thousands_of_statements_the_newest_count(world, engine, now):
    world.write(20 * HOUR, "stop")
    world.run()
    many = text(
        "INSERT INTO inbound_messages (message_id, phone_number_id, occurred_at, contact, kind, keyword, opens_window,"
        " received_at, considered_at) SELECT 'w' || i, 'n' || i, :at, :contact, 'text', 'stop', TRUE, :at, :at"
        " FROM generate_series(1, 5000) i"
    )
    with engine.begin() as connection:
        connection.execute(many, {"contact": CONTACT, "at": now - 2 * HOUR})
        assert len(consent_store.keywords(connection, {CONTACT: 200})) == 200
    world.write(HOUR, "start")
    world.run()
    assert NUMBER not in {row.phone_number_id for row in world.rows()}
