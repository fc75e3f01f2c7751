"""One message per incident, edited in place, with its history in the thread and action buttons."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.channels.fake_slack import Answer, Asked, FakeSlack
from tests.channels.notifications import NOW, NUMBER, notification
from webhook_app.channels import Receipt, SendError
from webhook_app.channels.slack_bot import SlackBot

RECEIPT = Receipt('{"channel":"C7","ts":"1.1"}')
DIGEST = Receipt('{"channel":"C7","ts":"9.9"}', shared=True)


def error(name: str) -> Answer:
    return Answer(200, json.dumps({"ok": False, "error": name}))


@pytest.fixture
def api(slack: FakeSlack) -> FakeSlack:
    """Answers every call with success, as Slack does."""

    def usual(asked: Asked) -> Answer:
        return Answer(200, json.dumps({"ok": True, "channel": "C7", "ts": f"{len(slack.asked)}.1"}))

    slack.usual = usual
    return slack


@pytest.fixture
def bot(slack: FakeSlack) -> SlackBot:
    return SlackBot("xoxb-hush", "#alerts", f"{slack.base}/api/", httpx.Timeout(0.3))


def calls(api: FakeSlack) -> list[str]:
    return [asked.path.removeprefix("/api/") for asked in api.asked]


def buttons(posted: dict[str, Any]) -> dict[str, str]:
    rows = [block["elements"] for block in posted["blocks"] if block["type"] == "actions"]
    return {button["action_id"]: button["value"] for row in rows for button in row}


def test_an_incident_begins_with_one_message_with_buttons_and_a_receipt(api, bot):
    assert bot.send(notification()) == RECEIPT
    [posted] = api.posted
    assert calls(api) == ["chat.postMessage"]
    assert api.asked[0].headers["authorization"] == "Bearer xoxb-hush"
    assert posted["channel"] == "#alerts"
    assert posted["blocks"][0]["text"]["text"].startswith(":large_orange_circle: WARNING: 131026")
    assert posted["text"].startswith("WARNING: 131026")
    assert buttons(posted) == {"acknowledge": "12", "snooze": "12", "silence": f"12:131026:{NUMBER}"}
    assert f"on business number {NUMBER} for 24 hours" in json.dumps(posted)


def test_a_change_edits_the_message_and_is_added_to_its_thread(api, bot):
    taken = notification(reason="acknowledged", actor="ada", acknowledged_by="ada", acknowledged_at=NOW)
    assert bot.send(taken, RECEIPT) is None
    assert calls(api) == ["chat.update", "chat.postMessage"]
    edit, reply = api.posted
    assert (edit["channel"], edit["ts"]) == ("C7", "1.1")
    assert edit["blocks"][0]["text"]["text"].startswith(":eyes: Acknowledged by ada")
    assert "*Acknowledged:* by ada, 2026-11-20 03:39 UTC" in json.dumps(edit["blocks"])
    assert buttons(edit).keys() == {"snooze", "silence"}
    assert reply == {"channel": "C7", "thread_ts": "1.1", "text": "Acknowledged by ada"}


def test_the_end_removes_the_buttons(api, bot):
    bot.send(notification(reason="resolved", resolved_at=NOW, ended_how="recovered"), RECEIPT)
    edit, reply = api.posted
    assert buttons(edit) == {}
    assert edit["blocks"][0]["text"]["text"].startswith(":large_green_circle: Ended after 25 min (recovered)")
    assert reply["text"].startswith("Ended after 25 min.")


@pytest.mark.parametrize(
    ("how", "symbol"),
    [
        ("recovered", "green"),
        ("faded", "green"),
        ("quiet", "white"),
        ("chronic", "white"),
        ("rules", "white"),
    ],
)
def test_only_an_end_without_the_failure_is_green(api, bot, how, symbol):
    bot.send(notification(reason="resolved", resolved_at=NOW, ended_how=how))
    assert symbol in api.posted[0]["blocks"][0]["text"]["text"].partition(" ")[0]


def test_an_incident_that_opens_again_is_edited_back_to_open_and_broadcast(api, bot):
    ended = bot.send(notification(reason="resolved", resolved_at=NOW), RECEIPT)
    again = bot.send(notification(reason="again", again=1), ended)
    assert again == RECEIPT
    edit, reply = api.posted[2:]
    assert (edit["ts"], edit["blocks"][0]["text"]["text"]) == (
        "1.1",
        f":large_orange_circle: WARNING again: {notification().title}: 3.85 % of messages fail",
    )
    assert buttons(edit).keys() == {"acknowledge", "snooze", "silence"}
    assert (reply["thread_ts"], reply["reply_broadcast"]) == ("1.1", True)
    assert reply["text"].startswith("Opened again: 40 of 1 040 messages failed")
    bot.send(notification(reason="resolved", resolved_at=NOW, again=1), again)
    assert calls(api)[-2:] == ["chat.update", "chat.postMessage"]


def test_a_past_incident_has_no_buttons_and_nothing_shows_it_as_open(api, bot):
    receipt = bot.send(notification(reason="past", resolved_at=NOW))
    assert buttons(api.posted[0]) == {}
    assert bot.send(notification(reason="repeated"), receipt) is None
    assert calls(api) == ["chat.postMessage", "chat.postMessage"]


def test_only_a_rise_in_severity_is_shown_to_the_whole_channel_again(api, bot):
    bot.send(notification(reason="repeated"), RECEIPT)
    bot.send(notification(reason="escalated", severity="critical"), RECEIPT)
    assert [posted.get("reply_broadcast") for posted in api.posted] == [None, None, None, True]


def test_after_the_end_a_late_notification_goes_to_the_thread_and_the_message_stays(api, bot):
    ended = bot.send(notification(reason="resolved", resolved_at=NOW), RECEIPT)
    assert bot.send(notification(), ended) is None
    assert calls(api) == ["chat.update", "chat.postMessage", "chat.postMessage"]
    late = api.posted[2]
    assert (late["thread_ts"], "blocks" in late) == ("1.1", False)
    assert late["text"].startswith("WARNING: 131026")


@pytest.mark.parametrize("name", ["message_not_found", "cant_update_message"])
def test_a_message_that_cannot_be_edited_is_posted_again(api, bot, name):
    api.answers.append(error(name))
    assert bot.send(notification(reason="repeated"), RECEIPT) == Receipt('{"channel":"C7","ts":"2.1"}')
    assert calls(api) == ["chat.update", "chat.postMessage"]


def test_a_digest_has_a_shared_receipt_and_its_thread_has_the_ends(api, bot):
    receipt = bot.send_digest([notification(), notification(incident_id=13)])
    assert receipt == Receipt('{"channel":"C7","ts":"1.1"}', shared=True)
    ended = bot.send(notification(reason="resolved", resolved_at=NOW), DIGEST)
    assert ended == Receipt('{"channel":"C7","ts":"9.9","ended":true}', shared=True)
    assert api.posted[1]["thread_ts"] == "9.9"
    assert api.posted[1]["text"].startswith("Ended after 25 min (recovered): 131026")


def test_an_incident_of_a_digest_that_is_still_open_gets_its_own_message(api, bot):
    assert bot.send(notification(reason="repeated"), DIGEST) == RECEIPT
    assert "thread_ts" not in api.posted[0]
    assert buttons(api.posted[0])


@pytest.mark.parametrize(
    ("answer", "permanent", "of_message", "retry_after"),
    [
        (Answer(429, '{"ok": false, "error": "ratelimited"}', "30"), False, False, 30.0),
        (Answer(429, "slow down", "30"), False, False, 30.0),
        (error("ratelimited"), False, False, None),
        (error("internal_error"), False, False, None),
        (error("something_new"), False, False, None),
        (error("invalid_auth"), True, False, None),
        (error("channel_not_found"), True, False, None),
        (error("is_archived"), True, False, None),
        (error("invalid_blocks"), True, True, None),
        (Answer(500, ""), False, False, None),
        (Answer(503, '{"ok": true, "ts": "1.1"}'), False, False, None),
        (Answer(200, "<html>"), False, False, None),
        (Answer(200, "{}"), False, False, None),
        (Answer(200, '{"ok": "yes"}'), False, False, None),
        (Answer(200, '{"ok": true}'), False, False, None),
        (Answer(hang=True), False, False, None),
        (Answer(drop=True), False, False, None),
    ],
    ids=lambda value: f"{value.status} {value.body}" if isinstance(value, Answer) else None,
)
def test_the_answer_of_slack_decides_whether_to_retry(slack, bot, answer, permanent, of_message, retry_after):
    slack.answers.append(answer)
    with pytest.raises(SendError) as raised:
        bot.send(notification())
    fault = raised.value
    assert (fault.permanent, fault.of_message, fault.retry_after) == (permanent, of_message, retry_after)
    assert "xoxb" not in str(fault)


def test_a_silence_button_needs_a_code_and_says_what_it_covers(api, bot):
    bot.send(notification(codes=()))
    bot.send(notification(numbers=(NUMBER, "590238114470022")))
    assert buttons(api.posted[0]).keys() == {"acknowledge", "snooze"}
    assert "on all business numbers for 24 hours" in json.dumps(api.posted[1])
    assert buttons(api.posted[1])["silence"] == "12:131026:"


def test_a_snoozed_incident_says_until_when(api, bot):
    until = NOW + timedelta(hours=1)
    bot.send(notification(reason="snoozed", actor="ada", snoozed_until=until), RECEIPT)
    assert api.posted[1]["text"] == "Snoozed until 2026-11-20 04:39 UTC by ada"
