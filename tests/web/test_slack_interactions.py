"""POST /slack/interactions: a signed button press acts, and the message shows who pressed it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from flask import Flask
from msgspec import to_builtins
from sqlalchemy import Engine, text
from werkzeug.test import EnvironBuilder, TestResponse

from tests.channels.fake_slack import Answer, FakeSlack
from tests.channels.notifications import NUMBER, notification
from tests.support.clocks import Stopwatch
from tests.support.incidents import store_incident
from webhook_app.channels.slack_bot import SlackBot
from webhook_app.channels.slack_interactions import signature
from webhook_app.pipeline.incidents.notifications.notify import notify
from webhook_app.store.incidents import incidents, outbox, silences
from webhook_app.store.incidents.incidents import Incident

SECRET = "a signing secret for tests"
Press = Callable[..., TestResponse]


@pytest.fixture
def press(make_app: Callable[..., Flask]) -> Press:
    client = make_app(slack_signing_secret=SECRET).test_client()

    def post(action: str, value: str, *, secret: str = SECRET, age_s: int = 0) -> TestResponse:
        user = {"id": "U1", "username": "ada"}
        pressed = {"type": "block_actions", "user": user, "actions": [{"action_id": action, "value": value}]}
        body = urlencode({"payload": json.dumps(pressed)}).encode()
        at = str(int(datetime.now(UTC).timestamp()) - age_s)
        headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": signature(body, at, secret)}
        return client.post("/slack/interactions", data=body, headers=headers)

    return post


@pytest.fixture
def incident_id(engine: Engine, now: datetime) -> int:
    """An open incident with a notification for Slack."""
    group = {"code": 131026, "phone_number_id": NUMBER}
    made = store_incident(engine, now, {"group": group, "codes": [131026]}, codes=[131026], notified_at=now)
    with engine.begin() as connection:
        message = notification(incident_id=made, at=now, since=now)
        outbox.add(connection, made, "slack", "fired", to_builtins(message), now)
    return made


def held(engine: Engine, incident_id: int) -> Incident:
    with engine.connect() as connection:
        found = incidents.get(connection, incident_id)
    assert found is not None
    return found


def shown(engine: Engine, slack: FakeSlack) -> list[dict[str, Any]]:
    """What the bot posts for all due notifications."""
    slack.usual = lambda _: Answer(200, '{"ok":true,"channel":"C7","ts":"1.1"}')
    bot = SlackBot("xoxb", "#alerts", slack.base, httpx.Timeout(2.0))
    notify(engine, bot, Stopwatch().clock(datetime.now(UTC)))
    return slack.posted


def test_acknowledge_is_carried_out_and_the_message_shows_who_pressed(press, engine, incident_id, slack):
    assert len(shown(engine, slack)) == 1
    answer = press("acknowledge", str(incident_id))
    assert (answer.status_code, answer.data) == (200, b"")
    assert held(engine, incident_id).acknowledged_by == "ada (Slack)"
    with engine.begin() as connection:  # the pace of a second is not waited for
        connection.exec_driver_sql("DELETE FROM channel_states")
    _, edit, reply = shown(engine, slack)
    assert edit["ts"] == "1.1"
    assert "*Acknowledged:* by ada (Slack)" in json.dumps(edit["blocks"])
    assert reply["text"] == "Acknowledged by ada (Slack)"


def test_pressing_twice_changes_nothing_more(press, engine, incident_id):
    press("acknowledge", str(incident_id))
    first = held(engine, incident_id)
    assert press("acknowledge", str(incident_id)).status_code == 200
    assert held(engine, incident_id) == first


def test_snooze_lasts_an_hour(press, engine, incident_id):
    assert press("snooze", str(incident_id)).status_code == 200
    until = held(engine, incident_id).snoozed_until
    assert until is not None
    assert 3590 < (until - datetime.now(UTC)).total_seconds() <= 3600


def test_silence_covers_the_code_on_the_number_for_a_day_and_is_shown(press, engine, incident_id, slack):
    assert press("silence", f"{incident_id}:131026:{NUMBER}").status_code == 200
    with engine.connect() as connection:
        [silence] = silences.active(connection, datetime.now(UTC))
    assert silence.matchers == {"code": 131026, "phone_number_id": NUMBER}
    assert (silence.author, silence.comment) == ("ada (Slack)", f"Slack button of incident {incident_id}")
    assert 86_390 < (silence.until - datetime.now(UTC)).total_seconds() <= 86_400
    assert "by ada (Slack), who silenced 131026" in json.dumps(shown(engine, slack))


def test_a_request_that_is_sent_again_adds_no_second_silence(press, engine, incident_id):
    for code in (131026, 131026, 131047, 131026):
        assert press("silence", f"{incident_id}:{code}:{NUMBER}").status_code == 200
    with engine.connect() as connection:
        found = silences.active(connection, datetime.now(UTC))
    assert [silence.matchers["code"] for silence in found] == [131026, 131047]
    with engine.begin() as connection:
        connection.execute(text("UPDATE silences SET since = since - interval '6 minutes'"))
    assert press("silence", f"{incident_id}:131026:{NUMBER}").status_code == 200
    with engine.connect() as connection:
        assert len(silences.active(connection, datetime.now(UTC))) == 3


def test_an_unknown_incident_does_not_change(press, engine, incident_id):
    for action, value in (("acknowledge", "999"), ("snooze", "999"), ("silence", "999:1")):
        assert press(action, value).status_code == 200
    with engine.connect() as connection:
        assert silences.active(connection, datetime.now(UTC)) == []


@pytest.mark.parametrize("wrong", [{"secret": "other"}, {"age_s": 301}, {"age_s": -302}], ids=str)
def test_a_request_without_a_recent_slack_signature_is_refused(press, engine, incident_id, wrong):
    answer = press("acknowledge", str(incident_id), **wrong)
    assert answer.status_code == 401
    assert held(engine, incident_id).acknowledged_at is None


def test_what_cannot_be_read_is_a_400(press):
    assert press("snooze", "x").status_code == 400


def test_an_evaluation_that_holds_the_incident_for_long_makes_slack_say_that_it_failed(
    press, engine, incident_id
):
    with engine.begin() as connection:
        incidents.lock(connection, [incident_id])
        began = datetime.now(UTC)
        assert press("acknowledge", str(incident_id)).status_code == 503
        assert (datetime.now(UTC) - began).total_seconds() < 3
    assert press("acknowledge", str(incident_id)).status_code == 200


class Unread:
    """A body that must not be read."""

    def read(self, *_: object) -> bytes:
        raise AssertionError("the body was read")


@pytest.mark.parametrize(
    "wrong",
    [
        {"HTTP_X_SLACK_SIGNATURE": ""},
        {"HTTP_X_SLACK_SIGNATURE": "v0=" + "0" * 63},
        {"HTTP_X_SLACK_SIGNATURE": "v0=" + "g" * 64},
        {"HTTP_X_SLACK_REQUEST_TIMESTAMP": ""},
        {"HTTP_X_SLACK_REQUEST_TIMESTAMP": "1000000000"},
    ],
    ids=str,
)
def test_a_body_without_a_recent_time_and_a_signature_in_its_form_is_not_read(make_app, wrong):
    app = make_app(slack_signing_secret=SECRET)
    headers = {
        "HTTP_X_SLACK_REQUEST_TIMESTAMP": str(int(datetime.now(UTC).timestamp())),
        "HTTP_X_SLACK_SIGNATURE": "v0=" + "0" * 64,
    }
    environ = EnvironBuilder("/slack/interactions", method="POST", data=b" " * 1000).get_environ()
    statuses: list[str] = []
    b"".join(
        app.wsgi_app(
            environ | headers | wrong | {"wsgi.input": Unread()}, lambda status, *_: statuses.append(status)
        )
    )
    assert statuses == ["401 UNAUTHORIZED"]


def test_without_a_signing_secret_there_are_no_buttons(make_app):
    assert make_app().test_client().post("/slack/interactions", data=b"x").status_code == 404
