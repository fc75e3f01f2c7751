"""Actions of people on alerts, and their effect on notifications and later evaluations."""

from datetime import datetime, timedelta

import pytest
from msgspec import convert
from sqlalchemy import Engine, text
from webhook_app.pipeline.incidents.alert_actions import acknowledge, add_silence, end_silence, snooze

from tests.support.traffic import Traffic
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.store.incidents import alerts

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
RULE = Rule(name="r", threshold=0.02, resolve_below=0.015, for_evaluations=1, channels=("slack", "log"))


def notified(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT channel, reason FROM notifications ORDER BY id"))
        return [(row.channel, row.reason) for row in rows]


def evaluate_at(engine: Engine, now: datetime, rule: Rule = RULE):
    return evaluate(engine, [rule], now, channels=["slack", "log"], public_url="https://a.example")


def fire(engine: Engine, traffic: Traffic, now: datetime) -> int:
    traffic.failed(60, now, 131026)
    evaluate_at(engine, now)
    with engine.connect() as connection:
        return alerts.open_alerts(connection)[0].id


def test_an_acknowledgement_is_notified_once_on_every_notified_channel(engine, traffic, now):
    alert_id = fire(engine, traffic, now)
    with engine.begin() as connection:
        alert = acknowledge(connection, alert_id, actor="anna", now=now + MINUTE)
        again = acknowledge(connection, alert_id, actor="bert", now=now + 2 * MINUTE)
    assert (alert.acknowledged_by, again.acknowledged_by) == ("anna", "anna")
    assert notified(engine)[2:] == [("log", "acknowledged"), ("slack", "acknowledged")]
    with engine.connect() as connection:
        payload = (
            connection.execute(text("SELECT payload FROM notifications ORDER BY id DESC")).scalars().first()
        )
    words = convert(payload, Notification)
    assert (words.actor, words.at, words.link) == (
        "anna",
        now + MINUTE,
        f"https://a.example/alerts/{alert_id}",
    )


def test_a_snooze_names_its_end_and_holds_back_reminders_until_then(engine, traffic, now):
    alert_id = fire(engine, traffic, now)
    with engine.begin() as connection:
        alert = snooze(connection, alert_id, until=now + 6 * HOUR, actor="anna", now=now)
    assert (alert.snoozed_until, alert.snoozed_by) == (now + 6 * HOUR, "anna")
    assert evaluate_at(engine, now + 5 * HOUR).notifications == 0
    assert evaluate_at(engine, now + 6 * HOUR).notifications == 2
    assert [reason for channel, reason in notified(engine) if channel == "slack"] == [
        "fired",
        "snoozed",
        "repeated",
    ]


def test_a_resolved_or_unknown_alert_cannot_be_acknowledged_or_snoozed(engine, traffic, now):
    alert_id = fire(engine, traffic, now)
    evaluate(engine, [], now + MINUTE)
    with engine.begin() as connection:
        for known in (alert_id, 999):
            assert acknowledge(connection, known, actor="anna", now=now) is None
            assert snooze(connection, known, until=now + HOUR, actor="anna", now=now) is None


def test_a_silenced_alert_is_notified_when_the_silence_ends(engine, traffic, now):
    with engine.begin() as connection:
        silence = add_silence(
            connection, matchers={"code": 131026}, author="anna", until=now + HOUR, comment="", now=now
        )
    fire(engine, traffic, now)
    assert notified(engine) == []
    evaluate_at(engine, now + MINUTE)
    with engine.begin() as connection:
        assert end_silence(connection, silence.id, actor="bert", now=now + 2 * MINUTE).ended_by == "bert"
        assert end_silence(connection, 999, actor="bert", now=now) is None
    evaluate_at(engine, now + 3 * MINUTE)
    assert notified(engine) == [("slack", "fired"), ("log", "fired")]


def test_a_silence_mutes_reminders_but_not_the_end_of_a_notified_alert(engine, traffic, now):
    fire(engine, traffic, now)
    with engine.begin() as connection:
        add_silence(
            connection, matchers={"rule": "r"}, author="a", until=now + 48 * HOUR, comment="", now=now
        )
    evaluate_at(engine, now + 12 * HOUR)
    evaluate(engine, [], now + 13 * HOUR, channels=["slack", "log"])
    assert [reason for channel, reason in notified(engine) if channel == "slack"] == ["fired", "resolved"]


def test_the_end_of_an_alert_that_was_not_notified_is_not_notified(engine, traffic, now):
    with engine.begin() as connection:
        add_silence(
            connection, matchers={"rule": "r"}, author="a", until=now + 48 * HOUR, comment="", now=now
        )
    fire(engine, traffic, now)
    evaluate(engine, [], now + HOUR)
    assert notified(engine) == []


def test_a_silence_without_meaning_is_refused(engine, now):
    with engine.begin() as connection:
        with pytest.raises(ValueError, match="future"):
            add_silence(connection, matchers={"rule": "r"}, author="a", until=now, comment="", now=now)
        with pytest.raises(ValueError, match="matchers"):
            add_silence(connection, matchers={}, author="a", until=now + HOUR, comment="", now=now)
