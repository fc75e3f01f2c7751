"""The meaning of Slack's answers, from a real server on loopback, and the posted messages."""

import json
import socket

import pytest
from msgspec.structs import replace

from tests.channels.fake_slack import Answer
from tests.channels.notifications import NOW, UNDELIVERABLE, notification
from webhook_app.channels import SendError
from webhook_app.channels.incident_text import Digest, MessageText, compose, compose_digest
from webhook_app.channels.slack import DIGEST_SIZE, SlackWebhook
from webhook_app.channels.slack_blocks import digest_payload, payload


def refusal(channel: SlackWebhook) -> SendError:
    with pytest.raises(SendError) as raised:
        channel.send(notification())
    return raised.value


def test_the_message_is_posted_as_json_once(slack, slack_webhook):
    slack_webhook.send(notification())
    assert slack.posted == [payload(compose(notification()))]


@pytest.mark.parametrize(
    ("answer", "permanent", "retry_after"),
    [
        (Answer(429, "rate_limited", "30"), False, 30.0),
        (Answer(429, "rate_limited"), False, None),
        (Answer(429, "rate_limited", "Wed, 21 Oct 2015 07:28:00 GMT"), False, 0.0),
        (Answer(429, "rate_limited", "soon"), False, None),
        (Answer(503, "", "2.5"), False, 2.5),
        (Answer(429, "rate_limited", "999999"), False, 3600.0),
        (Answer(500, "rollup_error"), False, None),
        (Answer(503, ""), False, None),
        (Answer(302, ""), False, None),
        (Answer(408, ""), False, None),
        (Answer(200, "missing_text_or_fallback_or_attachments"), False, None),
        (Answer(200, ""), False, None),
        (Answer(201, "ok"), False, None),
        (Answer(400, "invalid_payload"), True, None),
        (Answer(400, "user_not_found"), True, None),
        (Answer(403, "action_prohibited"), True, None),
        (Answer(404, "no_service"), True, None),
        (Answer(404, "channel_not_found"), True, None),
        (Answer(410, "channel_is_archived"), True, None),
    ],
    ids=lambda value: f"{value.status} {value.body}" if isinstance(value, Answer) else None,
)
def test_any_answer_but_ok_is_an_error_that_says_whether_to_retry(
    slack, slack_webhook, answer, permanent, retry_after
):
    slack.answers.append(answer)
    fault = refusal(slack_webhook)
    assert (fault.permanent, fault.retry_after) == (permanent, retry_after)
    assert f"{answer.status} {answer.body!r}" in str(fault)


def test_a_missing_answer_times_out_and_is_retried(slack, slack_webhook):
    slack.answers.append(Answer(hang=True))
    fault = refusal(slack_webhook)
    assert (fault.permanent, str(fault)) == (False, "Slack cannot be reached (ReadTimeout)")
    slack_webhook.send(notification())


def test_a_server_that_is_down_is_retried():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        channel = SlackWebhook(f"http://127.0.0.1:{unused.getsockname()[1]}/services/secret")
        fault = refusal(channel)
    assert not fault.permanent
    assert "secret" not in str(fault)


@pytest.mark.parametrize("url", ["hooks.slack.com/services/secret", "https://host:port/secret"])
def test_an_invalid_address_is_a_permanent_error_without_the_address(url):
    channel = SlackWebhook(url)
    fault = refusal(channel)
    assert fault.permanent
    assert "secret" not in str(fault)


def test_every_fact_is_in_the_blocks_and_in_the_fallback_text():
    message = compose(notification())
    shown = payload(message)
    assert shown["blocks"][0]["text"]["text"] == message.headline
    for _, text in message.facts:
        assert text in json.dumps(shown["blocks"], ensure_ascii=False)
        assert text in shown["text"]
    assert "<https://alerts.example/incidents/12|Open the incident>" in json.dumps(shown)


def test_no_text_becomes_a_link_or_mentions_the_channel():
    rude = replace(UNDELIVERABLE, title="<!channel>", meaning="a & b <https://x.example|y>")
    shown = json.dumps(payload(compose(notification(codes=(rude,)))))
    assert "<!channel>" not in shown
    assert "&lt;!channel&gt;" in shown
    assert "a &amp; b &lt;https://x.example|y&gt;" in shown


def test_a_link_cannot_break_out_of_its_brackets():
    shown = json.dumps(payload(compose(notification(runbook="https://wiki.example/a|b>c&d"))))
    assert "<https://wiki.example/a%7Cb%3Ec&amp;d|Runbook>" in shown


@pytest.mark.parametrize("text", ["x" * 9000, "&" * 9000, "<>" * 4500], ids=lambda text: text[:2])
def test_no_text_is_longer_than_slack_takes(text):
    shown = payload(MessageText(text, (("Label", text),), (), text))
    header, section, context = shown["blocks"]
    assert len(header["text"]["text"]) <= 150
    assert len(section["text"]["text"]) <= 3000
    assert len(context["elements"][0]["text"]) <= 3000
    assert len(shown["text"]) <= 40_000


def test_a_digest_lists_each_incident_with_a_link(slack, slack_webhook):
    several = [
        notification(
            incident_id=number, title=f"131026, number {number}:", link=f"https://a.example/{number}"
        )
        for number in range(DIGEST_SIZE)
    ]
    several[1] = notification(incident_id=1, reason="resolved", resolved_at=NOW)
    slack_webhook.send_digest(several)
    [posted] = slack.posted
    assert posted == digest_payload(compose_digest(several))
    assert posted["blocks"][0]["text"]["text"] == "News of 30 incidents: 29 opened, 1 ended"
    shown = json.dumps(posted["blocks"], ensure_ascii=False)
    places = [shown.index(f"131026, number {number}:") for number in range(2, DIGEST_SIZE)]
    assert places == sorted(places)
    assert "<https://a.example/29|WARNING: 131026, number 29:" in shown
    assert "Ended after 25 min (recovered): 131026" in shown


def test_no_digest_is_longer_than_slack_takes():
    shown = digest_payload(
        Digest("&" * 900, tuple(("<>" * 400, f"https://a.example/{'x' * n}") for n in range(90)))
    )
    assert len(shown["blocks"]) <= 50
    assert all(len(block["text"]["text"]) <= 3000 for block in shown["blocks"])
    assert len(shown["text"]) <= 40_000
