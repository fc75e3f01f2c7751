"""One PagerDuty incident per incident: triggered, acknowledged, resolved, triggered anew."""

from datetime import timedelta

import httpx
import pytest

from tests.channels.fake_slack import Answer, FakeSlack
from tests.channels.notifications import NOW, SINCE, notification
from webhook_app.channels import SendError
from webhook_app.channels.pagerduty import PagerDuty, dedup_key, event_of

SUCCESS = Answer(202, '{"status":"success","message":"Event processed","dedup_key":"k"}')


@pytest.fixture
def channel(slack: FakeSlack) -> PagerDuty:
    slack.usual = lambda _: SUCCESS
    return PagerDuty("hush", slack.base, httpx.Timeout(0.3))


def test_an_incident_triggers_with_everything_that_is_needed_on_call(slack, channel):
    channel.send(notification())
    assert slack.asked[0].path == "/v2/enqueue"
    [event] = slack.posted
    assert (event["routing_key"], event["event_action"]) == ("hush", "trigger")
    payload = event["payload"]
    assert payload["summary"].startswith("WARNING: 131026 Message undeliverable")
    assert (payload["severity"], payload["timestamp"]) == ("warning", SINCE.isoformat())
    assert payload["custom_details"]["What to do"] == "Do not send it again. Clean the list."
    assert event["client_url"] == "https://alerts.example/incidents/12"
    assert [link["text"] for link in event["links"]] == ["Open the incident", "Runbook"]


@pytest.mark.parametrize(
    ("reason", "action"),
    [
        ("fired", "trigger"),
        ("again", "trigger"),
        ("repeated", "trigger"),
        ("escalated", "trigger"),
        ("acknowledged", "acknowledge"),
        ("snoozed", "acknowledge"),
        ("resolved", "resolve"),
        ("past", "resolve"),
    ],
)
def test_every_reason_is_an_action_on_the_same_incident(reason, action):
    event = event_of(notification(reason=reason, resolved_at=NOW))
    assert (event["event_action"], event["dedup_key"]) == (action, dedup_key(notification()))


@pytest.mark.parametrize("reason", ["fired", "repeated", "escalated", "acknowledged", "resolved", "past"])
def test_a_late_notification_does_not_open_a_resolved_incident_again(slack, channel, reason):
    resolved = channel.send(notification(reason="resolved", resolved_at=NOW))
    channel.send(notification(reason=reason), resolved)
    assert [event["event_action"] for event in slack.posted] == ["resolve"]


def test_an_incident_that_opens_again_after_its_end_triggers_anew_and_can_end_again(slack, channel):
    ended = channel.send(notification(reason="resolved", resolved_at=NOW))
    again = channel.send(notification(reason="again", again=1), ended)
    channel.send(notification(reason="repeated", again=1), again)
    channel.send(notification(reason="resolved", resolved_at=NOW, again=1), again)
    assert [event["event_action"] for event in slack.posted] == ["resolve", "trigger", "trigger", "resolve"]
    assert len({event["dedup_key"] for event in slack.posted}) == 1


def test_a_past_incident_pages_nobody(slack, channel):
    channel.send(notification(reason="past", resolved_at=NOW))
    assert "trigger" not in [event["event_action"] for event in slack.posted]


def test_another_incident_has_another_key_and_the_same_one_keeps_its_key():
    others = [{"incident_id": 13}, {"opened_at": SINCE + timedelta(seconds=1)}]
    keys = {dedup_key(notification(**other)) for other in [{}, *others]}
    assert len(keys) == 3
    changed = {
        "group": {},
        "since": SINCE - timedelta(hours=1),
        "rule": "other",
        "title": "wider",
        "again": 1,
    }
    assert dedup_key(notification(**changed)) == dedup_key(notification())
    assert max(map(len, keys)) <= 255


@pytest.mark.parametrize("severity", ["info", "warning", "error", "critical"])
def test_severities_are_pagerdutys_own(severity):
    assert event_of(notification(severity=severity))["payload"]["severity"] == severity


def test_no_summary_is_longer_than_pagerduty_takes():
    assert len(event_of(notification(title="x" * 5000))["payload"]["summary"]) == 1024


@pytest.mark.parametrize(
    ("answer", "permanent", "retry_after"),
    [
        (Answer(400, '{"status":"invalid event"}'), True, None),
        (Answer(404, ""), True, None),
        (Answer(403, ""), False, None),
        (Answer(429, "", "7"), False, 7.0),
        (Answer(500, ""), False, None),
        (Answer(202, '{"status":"invalid"}'), False, None),
        (Answer(202, "<html>"), False, None),
        (Answer(202, "[]"), False, None),
        (Answer(200, '{"status":"success"}'), False, None),
        (Answer(hang=True), False, None),
    ],
    ids=lambda value: f"{value.status} {value.body}" if isinstance(value, Answer) else None,
)
def test_any_answer_but_queued_is_an_error_that_says_whether_to_retry(
    slack, channel, answer, permanent, retry_after
):
    slack.answers.append(answer)
    with pytest.raises(SendError) as raised:
        channel.send(notification())
    assert (raised.value.permanent, raised.value.retry_after) == (permanent, retry_after)
    assert "hush" not in str(raised.value)
