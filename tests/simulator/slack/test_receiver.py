"""The stand-in for Slack, asked over the loopback as Slack would be."""

import httpx
import pytest

from webhook_app.simulator.slack.receiver import (
    ERROR_IN_BODY,
    HANGS,
    NO_SERVICE,
    RATE_LIMITED,
    SERVER_ERROR,
    SlackReceiver,
)

MESSAGE = {"text": "131026 is 3.1 %"}


@pytest.fixture
def post():
    with httpx.Client(timeout=2.0, trust_env=False) as client:
        yield lambda url, body=MESSAGE, **how: client.post(url, json=body, **how)


def quiet(*script):
    return SlackReceiver(script, show=lambda _text: None)


def test_a_message_is_kept_shown_and_answered_with_ok(post):
    shown = []
    with SlackReceiver(show=shown.append) as slack:
        answer = post(slack.url)
    assert (answer.status_code, answer.text) == (200, "ok")
    assert slack.messages == [MESSAGE]
    assert slack.texts == ["131026 is 3.1 %"]
    assert "131026 is 3.1 %" in shown[0]


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        (RATE_LIMITED, 429, "rate_limited"),
        (SERVER_ERROR, 500, "server_error"),
        (NO_SERVICE, 404, "no_service"),
        (ERROR_IN_BODY, 200, '{"ok": false, "error": "invalid_blocks"}'),
    ],
)
def test_a_refused_message_is_received_but_not_shown_and_the_next_one_is(post, reply, status, body):
    with quiet(reply) as slack:
        refused, accepted = post(slack.url), post(slack.url)
    assert (refused.status_code, refused.text) == (status, body)
    assert accepted.text == "ok"
    assert slack.requests == [MESSAGE, MESSAGE]
    assert slack.messages == [MESSAGE]


def test_a_rate_limit_says_when_to_come_back(post):
    with quiet(RATE_LIMITED) as slack:
        assert post(slack.url).headers["Retry-After"] == "1"
        assert "Retry-After" not in post(slack.url).headers


def test_a_hanging_slack_does_not_answer_and_lets_go_when_closed(post):
    with quiet(HANGS) as slack, pytest.raises(httpx.ReadTimeout):
        post(slack.url, timeout=0.05)
    assert slack.messages == []
    assert slack.requests == [MESSAGE]


@pytest.mark.parametrize("body", [b"no json", b"[1]", b"\xff"])
def test_what_is_no_message_is_refused_as_slack_does(body):
    with quiet() as slack, httpx.Client(trust_env=False) as client:
        answer = client.post(slack.url, content=body)
    assert (answer.status_code, answer.text) == (400, "invalid_payload")
    assert slack.requests == []


def test_the_port_can_be_chosen():
    with quiet() as first:
        port = httpx.URL(first.url).port
    with SlackReceiver(port=port, show=lambda _text: None) as again:
        assert httpx.URL(again.url).port == port
