"""Actions of people on incidents, and their effect on notifications and later evaluations."""

from datetime import datetime, timedelta

import pytest
from msgspec import convert
from sqlalchemy import Engine, text

from tests.support.traffic import Traffic
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.incidents.actions import acknowledge, add_silence, end_silence, snooze
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.incidents import incidents

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
HOUR = timedelta(hours=1)
RULE = Rule(name="r", threshold=0.02, resolve_below=0.015, for_evaluations=1, channels=("slack", "log"))


def notified(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT channel, reason FROM notifications ORDER BY id"))
        return [(row.channel, row.reason) for row in rows]


def evaluate_at(engine: Engine, now: datetime, rule: Rule = RULE):
    return evaluate(engine, [rule], now, channels=["slack", "log"], public_url="https://a.example")


def fire(engine: Engine, traffic: Traffic, now: datetime) -> int:
    """Let an incident open and be announced half a minute later; returns its id."""
    traffic.failed(60, now, 131026)
    for seconds in (0, 15, 30):
        evaluate_at(engine, now + seconds * SECOND)
    with engine.connect() as connection:
        return incidents.open_incidents(connection)[0].id


def test_an_acknowledgement_is_notified_once_on_every_notified_channel(engine, traffic, now):
    incident_id = fire(engine, traffic, now)
    with engine.begin() as connection:
        incident = acknowledge(connection, incident_id, actor="anna", now=now + MINUTE)
        again = acknowledge(connection, incident_id, actor="bert", now=now + 2 * MINUTE)
    assert (incident.acknowledged_by, again.acknowledged_by) == ("anna", "anna")
    assert notified(engine)[2:] == [("log", "acknowledged"), ("slack", "acknowledged")]
    with engine.connect() as connection:
        payload = (
            connection.execute(text("SELECT payload FROM notifications ORDER BY id DESC")).scalars().first()
        )
    words = convert(payload, Notification)
    assert (words.actor, words.at, words.link) == (
        "anna",
        now + MINUTE,
        f"https://a.example/incidents/{incident_id}",
    )


def test_a_snooze_names_its_end_and_holds_back_reminders_until_then(engine, traffic, now):
    incident_id = fire(engine, traffic, now)
    with engine.begin() as connection:
        incident = snooze(connection, incident_id, until=now + 6 * HOUR, actor="anna", now=now)
    assert (incident.snoozed_until, incident.snoozed_by) == (now + 6 * HOUR, "anna")
    for minutes in range(20, 360, 20):
        traffic.failed(1, now + minutes * MINUTE, 131026)
        assert evaluate_at(engine, now + minutes * MINUTE).notifications == 0
    traffic.failed(1, now + 6 * HOUR, 131026)
    assert evaluate_at(engine, now + 6 * HOUR).notifications == 2
    assert [reason for channel, reason in notified(engine) if channel == "slack"] == [
        "fired",
        "snoozed",
        "repeated",
    ]


def test_an_ended_or_unknown_incident_cannot_be_acknowledged_or_snoozed(engine, traffic, now):
    incident_id = fire(engine, traffic, now)
    evaluate(engine, [], now + MINUTE)
    with engine.begin() as connection:
        for known in (incident_id, 999):
            assert acknowledge(connection, known, actor="anna", now=now) is None
            assert snooze(connection, known, until=now + HOUR, actor="anna", now=now) is None


def test_a_silenced_incident_is_notified_when_the_silence_ends(engine, traffic, now):
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


def test_a_silence_mutes_reminders_but_not_the_end_of_a_notified_incident(engine, traffic, now):
    fire(engine, traffic, now)
    with engine.begin() as connection:
        add_silence(
            connection, matchers={"rule": "r"}, author="a", until=now + 48 * HOUR, comment="", now=now
        )
    for minutes in range(20, 300, 20):
        traffic.failed(1, now + minutes * MINUTE, 131026)
        evaluate_at(engine, now + minutes * MINUTE)
    evaluate(engine, [], now + 5 * HOUR, channels=["slack", "log"])
    assert [reason for channel, reason in notified(engine) if channel == "slack"] == ["fired", "resolved"]


def test_the_end_of_an_incident_that_was_not_notified_is_not_notified(engine, traffic, now):
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
