"""The stand-in for Slack over the loopback, and Slack messages as plain text."""

import httpx
import pytest

from webhook_app.simulator.slack import (
    ERROR_IN_BODY,
    HANGS,
    NO_SERVICE,
    RATE_LIMITED,
    SERVER_ERROR,
    SlackReceiver,
    plain_text,
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


def test_a_rate_limit_has_a_retry_after_header(post):
    with quiet(RATE_LIMITED) as slack:
        assert post(slack.url).headers["Retry-After"] == "1"
        assert "Retry-After" not in post(slack.url).headers


def test_a_hanging_slack_does_not_answer_and_stops_when_closed(post):
    with quiet(HANGS) as slack, pytest.raises(httpx.ReadTimeout):
        post(slack.url, timeout=0.05)
    assert slack.messages == []
    assert slack.requests == [MESSAGE]


@pytest.mark.parametrize("body", [b"no json", b"[1]", b"\xff"])
def test_a_body_that_is_no_message_is_refused_as_slack_does(body):
    with quiet() as slack, httpx.Client(trust_env=False) as client:
        answer = client.post(slack.url, content=body)
    assert (answer.status_code, answer.text) == (400, "invalid_payload")
    assert slack.requests == []


def test_the_port_can_be_chosen():
    with quiet() as first:
        port = httpx.URL(first.url).port
    with SlackReceiver(port=port, show=lambda _text: None) as again:
        assert httpx.URL(again.url).port == port


def mrkdwn(text):
    return {"type": "mrkdwn", "text": text}


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("*131026* is up", "131026 is up"),
        ("see <https://a.test/x|the runbook>", "see the runbook (https://a.test/x)"),
        ("see <https://a.test/x>", "see https://a.test/x"),
        ("2 &lt; 3 &amp; 4", "2 < 3 & 4"),
        ("a * b * c", "a * b * c"),
        ("3*4*5", "3*4*5"),
        ("`code` stays", "`code` stays"),
        ("<!here> look", "!here look"),
    ],
)
def test_markup_is_removed_and_words_are_kept(marked, plain):
    assert plain_text({"text": marked}) == plain


def test_blocks_are_shown_line_by_line_instead_of_the_fallback():
    message = {
        "text": "fallback",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "131026 is *high*"}},
            {"type": "section", "text": mrkdwn("*3.1 %* of 1 204"), "fields": [mrkdwn("a"), mrkdwn("b")]},
            {"type": "divider"},
            {"type": "context", "elements": [mrkdwn("rule"), mrkdwn("*window*")]},
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "text": {"type": "plain_text", "text": "Acknowledge"}},
                    {"type": "button", "text": {"type": "plain_text", "text": "Snooze"}},
                ],
            },
        ],
    }
    assert plain_text(message).splitlines() == [
        "131026 is *high*",
        "3.1 % of 1 204",
        "a",
        "b",
        "-" * 40,
        "rule · window",
        "[Acknowledge] [Snooze]",
    ]


def test_a_button_beside_a_section_is_shown():
    button = {"type": "button", "text": {"type": "plain_text", "text": "Open"}}
    assert (
        plain_text({"blocks": [{"type": "section", "text": mrkdwn("x"), "accessory": button}]}) == "x\n[Open]"
    )


@pytest.mark.parametrize(
    ("attachment", "shown"),
    [
        ({"text": "*a*"}, "a"),
        ({"fallback": "b"}, "b"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "c"}}], "fallback": "no"}, "c"),
        ({}, ""),
    ],
)
def test_attachments_are_shown_too(attachment, shown):
    assert plain_text({"attachments": [attachment]}) == shown


def test_an_empty_message_is_empty_text():
    assert plain_text({}) == ""
