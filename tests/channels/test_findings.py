"""Messages about findings: their text, and what each channel that takes them sends."""

import io
import json
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from tests.channels.fake_slack import Answer, FakeSlack
from webhook_app.channels.alertmanager import Alertmanager
from webhook_app.channels.email import Email, finding_mail
from webhook_app.channels.findings import (
    FINDING_CHANNELS,
    FindingChannel,
    FindingEntry,
    FindingMessage,
    compose_findings,
    describe_evidence,
    describe_impact,
)
from webhook_app.channels.log import LogChannel
from webhook_app.channels.pagerduty import PagerDuty
from webhook_app.channels.slack import SlackWebhook
from webhook_app.channels.slack_bot import SlackBot
from webhook_app.channels.webhook import Webhook, findings_body

NOW = datetime(2026, 3, 16, 8, tzinfo=UTC)
CHRONIC = {
    "days": [
        {"day": "2026-03-09", "attempts": 300, "failures": 12},
        {"day": "2026-03-10", "attempts": 0, "failures": 0},
    ],
    "threshold": 0.02,
}


def entry(**more: Any) -> FindingEntry:
    plain = {
        "finding_id": 7,
        "kind": "chronic",
        "title": "131026 Message undeliverable: fails every day, business number n0",
        "severity": "warning",
        "codes": (131026,),
        "slice": {"phone_number_id": ("n0",)},
        "impact": {"failures": 84, "contacts": 80, "share": 0.04},
        "evidence": CHRONIC,
        "advice": "Clean the list.",
        "since": NOW - timedelta(days=7),
        "link": "https://alerts.example/findings#finding-7",
    }
    return FindingEntry(**(plain | more))


def message(*findings: FindingEntry, **more: Any) -> FindingMessage:
    plain: dict[str, Any] = {"id": 5, "reason": "finding", "at": NOW, "findings": findings or (entry(),)}
    return FindingMessage(**(plain | more))


def test_one_finding_says_what_its_impact_since_when_and_what_to_do() -> None:
    composed = compose_findings(message())
    facts = dict(composed.facts)
    assert composed.headline == "Finding: 131026 Message undeliverable: fails every day, business number n0"
    assert facts["Since"] == "2026-03-09 08:00 UTC"
    assert facts["Impact"] == "84 failed messages to 80 contacts, 4 %"
    assert facts["Counted"] == "failed by day: 12 of 300; the threshold is 2 %"
    assert facts["What to do"] == "Clean the list."
    assert composed.links == (("Open the finding", "https://alerts.example/findings#finding-7"),)
    assert "not an incident" in composed.footer


def test_several_findings_are_a_line_each() -> None:
    composed = compose_findings(message(entry(), entry(finding_id=8, title="Another")))
    assert composed.headline == "2 new findings"
    assert [text for _, text in composed.facts] == [
        f"{entry().title} (84 failed messages to 80 contacts, 4 %)",
        "Another (84 failed messages to 80 contacts, 4 %)",
    ]


def test_the_digest_counts_open_and_fixed_ones() -> None:
    composed = compose_findings(message(reason="digest", fixed=(entry(title="Over"),)))
    assert composed.headline == "Findings of the week: 1 open, 1 fixed this week"
    assert ("Fixed", "Over") in composed.facts


@pytest.mark.parametrize(
    ("kind", "evidence", "text"),
    [
        ("chronic", {"incident_id": 7, "threshold": 0.02}, "incident 7 lasted seven days"),
        (
            "recurring",
            {"at": "04:30", "incidents": [{"incident_id": 1}, {"incident_id": 1}, {"incident_id": 2}]},
            "at about 04:30 UTC on 3 days; incidents 1, 2",
        ),
        (
            "template_quality",
            {"quality": "YELLOW", "before": "GREEN"},
            "reported by Meta: YELLOW, before GREEN",
        ),
        (
            "unlabelled_sends",
            {"unlabelled": 700, "messages": 1000},
            "700 of 1 000 messages of a week name neither template nor campaign",
        ),
        ("unreached_list", {"unreached": 412, "contacts": 1204}, "412 of 1 204 contacts were never reached"),
    ],
)
def test_what_was_counted_is_said_in_words(kind: str, evidence: dict[str, Any], text: str) -> None:
    assert describe_evidence(kind, evidence) == text


def test_what_is_not_counted_is_not_said() -> None:
    assert describe_impact({}) == ""
    assert describe_impact({"failures": 43, "days": 7}) == "43 failed messages on 7 days"
    assert describe_impact({"messages": 700, "share": 0.7}) == "700 messages in a week, 70 %"


def test_slack_gets_a_message_without_buttons(slack: FakeSlack) -> None:
    slack.usual = lambda _: Answer(200, '{"ok": true, "channel": "C7", "ts": "1.1"}')
    bot = SlackBot("xoxb", "#alerts", slack.base)
    bot.send_findings(message())
    [posted] = slack.posted
    assert [block["type"] for block in posted["blocks"]].count("actions") == 0
    assert "Finding: 131026" in posted["text"]


def test_a_slack_webhook_gets_the_same_text(slack: FakeSlack, slack_webhook: SlackWebhook) -> None:
    slack_webhook.send_findings(message())
    [posted] = slack.posted
    assert "Finding: 131026" in posted["text"]


def test_the_webhook_gets_the_finding_as_json() -> None:
    body = json.loads(findings_body(message()))
    assert body["type"] == "finding.found"
    assert body["data"]["findings"][0]["finding_id"] == 7
    assert body["data"]["headline"].startswith("Finding: 131026")
    assert json.loads(findings_body(message(reason="digest")))["type"] == "finding.digest"


def test_the_mail_is_a_conversation_of_its_own() -> None:
    mail: EmailMessage = finding_mail(message(), "a@example.org", ["b@example.org"])
    assert mail["Subject"].startswith("Finding: 131026")
    assert mail["In-Reply-To"] is None
    assert "What to do: Clean the list." in str(mail.get_body(("plain",)).get_content())


def test_the_log_writes_it() -> None:
    stream = io.StringIO()
    LogChannel(stream).send_findings(message())
    assert stream.getvalue().startswith("Finding: 131026")


def test_pagerduty_and_alertmanager_take_no_findings() -> None:
    assert not isinstance(PagerDuty("key"), FindingChannel)
    assert not isinstance(Alertmanager("https://example.org"), FindingChannel)
    for kind in (SlackBot, SlackWebhook, Email, Webhook, LogChannel):
        assert hasattr(kind, "send_findings")
        assert kind.name in FINDING_CHANNELS
