"""Signals and their changes are stored once, under Meta's time, whatever their order, repetition and batching."""

import json
import random
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.factories import NUMBER, WABA, body, document
from tests.support.folders import PAYLOADS
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.receiving import health_signals

CHANGES = "SELECT subject, subject_id, aspect, value, detail, name, language, waba_id, occurred_at FROM health_changes"


@pytest.fixture
def feed(writer):
    return lambda at, *bodies: writer.store([Delivery(each) for each in bodies], at)


@pytest.fixture
def rows(engine):
    def read(statement):
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    return read


def post(field, value, time=None):
    held = document(value, field=field)
    if time is not None:
        held["entry"][0]["time"] = time
    return json.dumps(held).encode()


def test_a_change_has_the_time_and_names_of_its_signal(feed, rows, now):
    feed(now, (PAYLOADS / "message_template_quality_update.json").read_bytes())
    ((*told, occurred_at),) = rows(CHANGES)
    assert told == [
        *("template", "918273645501928", "quality", "RED", {"before": "YELLOW"}),
        *("promo_coupon_v3", "en_US", WABA),
    ]
    assert occurred_at.timestamp() == 1793001000


def test_all_samples_give_the_same_changes_in_any_order_and_repetition(engine, feed, rows, now):
    samples = [path.read_bytes() for path in sorted(PAYLOADS.glob("*.json"))]
    found = []
    for seed in range(3):
        shuffled = samples * 2
        random.Random(seed).shuffle(shuffled)
        for start in range(0, len(shuffled), 7):
            feed(now, *shuffled[start : start + 7])
        found.append((sorted(rows(CHANGES), key=str), rows("SELECT count(*) FROM health_signals")))
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE health_changes, health_signals"))
    assert found[0] == found[1] == found[2]
    assert len(found[0][0]) > 40


def test_a_signal_without_a_time_keeps_the_time_of_its_first_delivery(feed, rows, now):
    paused = post("message_template_status_update", {"event": "PAUSED", "message_template_id": 7})
    for hours in (0, 5):
        feed(now + timedelta(hours=hours), paused, paused)
    assert rows("SELECT value, occurred_at FROM health_changes") == [("PAUSED", now)]
    assert rows("SELECT sum(applied)::int, sum(duplicate)::int FROM books") == [(1, 3)]


def test_an_equal_signal_without_a_time_in_another_delivery_is_new(feed, rows, now):
    value = {"event": "PAUSED", "message_template_id": 7}
    for minutes, more in ((0, {}), (1, {"reason": "NONE"}), (2, {"reason": None})):
        feed(now + timedelta(minutes=minutes), post("message_template_status_update", value | more))
    assert len(rows("SELECT 1 FROM health_changes")) == 3


def test_an_error_without_a_message_counts_once_per_time(feed, rows, now):
    at = int(now.timestamp())
    error = {"errors": [{"code": 130429, "title": "Rate limit hit"}], "metadata": {"phone_number_id": NUMBER}}
    early, late = post("messages", error, at - 60), post("messages", error, at)
    for body_ in (late, early, late, early):
        feed(now, body_)
    assert rows(
        "SELECT error_code, phone_number_id, occurred_at FROM health_signals ORDER BY occurred_at"
    ) == [
        (130429, NUMBER, now - timedelta(minutes=1)),
        (130429, NUMBER, now),
    ]


def test_the_number_of_each_of_metas_ids_is_stored(feed, rows, now):
    feed(now, body(messages=[]), body(messages=[], number="2"), body(messages=[]))
    known = "SELECT phone_number_id, display_phone_number, waba_id FROM business_numbers ORDER BY 1"
    assert rows(known) == [("2", "13125550199", WABA), (NUMBER, "13125550199", WABA)]


@pytest.mark.parametrize("stamp", [None, "soon", 10**12])
def test_a_preference_without_a_usable_time_is_stored_once(feed, rows, now, stamp):
    said = {"wa_id": "12025550117", "category": "marketing_messages", "value": "stop", "timestamp": stamp}
    stop = post("user_preferences", {"metadata": {"phone_number_id": NUMBER}, "user_preferences": [said]})
    feed(now, stop)
    feed(now + timedelta(hours=5), stop, stop)
    assert rows("SELECT contact, value, occurred_at FROM preferences") == [("12025550117", "stop", now)]
    assert rows("SELECT sum(applied)::int, sum(duplicate)::int FROM books") == [(1, 2)]


def test_a_later_preference_without_a_usable_time_is_stored_beside_an_earlier_one(feed, rows, now):
    for hours, value in enumerate(("stop", "resume", "stop")):
        said = {
            "wa_id": "12025550117",
            "category": "marketing_messages",
            "value": value,
            "detail": str(hours),
        }
        held = {"metadata": {"phone_number_id": NUMBER}, "user_preferences": [said]}
        feed(now + timedelta(hours=hours), post("user_preferences", held))
    assert rows("SELECT value, occurred_at FROM preferences ORDER BY occurred_at") == [
        ("stop", now),
        ("resume", now + timedelta(hours=1)),
        ("stop", now + timedelta(hours=2)),
    ]


def test_a_repeated_preference_from_the_future_keeps_its_time(feed, rows, now):
    ahead = int((now + timedelta(minutes=20)).timestamp())
    said = {"wa_id": "12025550117", "category": "marketing_messages", "value": "stop", "timestamp": ahead}
    stop = post("user_preferences", {"metadata": {"phone_number_id": NUMBER}, "user_preferences": [said]})
    feed(now, stop)
    feed(now + timedelta(hours=1), stop)
    assert rows("SELECT occurred_at FROM preferences") == [(now,)]


@pytest.fixture
def few_new(monkeypatch):
    monkeypatch.setattr(health_signals, "MAX_NEW_PER_ACCOUNT", 5)
    monkeypatch.setattr(health_signals, "MAX_NEW", 8)


@pytest.mark.usefixtures("few_new")
def test_new_business_numbers_have_a_ceiling_too_and_known_ones_use_none_of_it(feed, rows, engine, now):
    at = now.replace(minute=5)
    for until in (3, 30):
        feed(at, *(body(messages=[], number=str(n)) for n in range(until)))
    assert rows("SELECT count(*)::int FROM business_numbers") == [(5,)]
    with engine.connect() as connection:
        assert health_signals.is_at_ceiling(connection, at)
    feed(at + timedelta(hours=1), *(body(messages=[], number=str(n)) for n in range(30)))
    assert rows("SELECT count(*)::int FROM business_numbers") == [(10,)]


def rejected(*places, waba=WABA):
    field = "message_template_status_update"
    values = [
        {"event": "REJECTED", "message_template_id": n, "message_template_name": f"t{n}"} for n in places
    ]
    held = document(*values, field=field, waba=waba)
    held["entry"][0]["time"] = 1_793_001_000
    return json.dumps(held).encode()


STATES = "SELECT subject_id, aspect, name FROM health_changes ORDER BY 1"


@pytest.mark.usefixtures("few_new")
def test_states_beyond_the_ceiling_of_an_hour_share_one_and_are_their_own_in_the_next(
    feed, rows, engine, now
):
    feed(now, rejected(*range(100, 104)))
    feed(now, rejected(*range(103, 120)))
    own = [(str(n), "status", f"t{n}") for n in range(100, 105)]
    assert rows(STATES) == [("(other)", "status", ""), *own]
    assert rows("SELECT sum(applied)::int FROM books") == [(21 - 1,)], "every signal is stored"
    with engine.begin() as connection:
        assert health_signals.is_at_ceiling(connection, now - timedelta(hours=1))
        connection.execute(text("UPDATE health_changes SET new_at = new_at - interval '1 hour'"))
        assert not health_signals.is_at_ceiling(connection, now - timedelta(minutes=5))
    feed(now, rejected(110), rejected(100))
    assert ("110", "status", "t110") in rows(STATES)


def test_states_beyond_the_ceiling_of_all_share_one_in_every_hour(feed, rows, engine, now, monkeypatch):
    monkeypatch.setattr(health_signals, "MAX_STATES", 6)
    feed(now, rejected(*range(100, 104)))
    with engine.begin() as connection:
        assert not health_signals.is_at_ceiling(connection, now)
        connection.execute(text("UPDATE health_changes SET new_at = new_at - interval '5 hours'"))
    feed(now, rejected(*range(103, 120)), rejected(101))
    assert [row[0] for row in rows(STATES)] == ["(other)", *map(str, range(100, 106))]
    with engine.connect() as connection:
        assert health_signals.is_at_ceiling(connection, now)


@pytest.mark.usefixtures("few_new")
def test_made_up_accounts_and_aspects_are_bound_too(feed, rows, now):
    feed(now, *(rejected(n, waba=f"W{n}") for n in range(20)))
    kinds = [{"restriction_type": f"RESTRICTED_{n}"} for n in range(20)]
    feed(
        now,
        post("account_update", {"event": "ACCOUNT_RESTRICTION", "restriction_info": kinds}, 1_793_001_000),
    )
    assert len(rows(STATES)) == 8 + 2
    assert ("(other)", "restriction", "") in rows(STATES)


@pytest.mark.usefixtures("few_new")
def test_a_known_state_changes_whatever_else_is_new(feed, rows, now):
    feed(now, rejected(1), rejected(*range(2, 20)))
    value = {"event": "APPROVED", "message_template_id": 1}
    feed(now, post("message_template_status_update", value, 1_793_001_060))
    found = rows("SELECT value FROM health_changes WHERE subject_id = '1' ORDER BY occurred_at")
    assert found == [("REJECTED",), ("APPROVED",)]
