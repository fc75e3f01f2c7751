"""Verification and parsing of button presses in Slack."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from webhook_app.channels.slack_interactions import REPLAY_S, Interaction, parse, signature, verify

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
AT = 1531420618
# The example of Slack's documentation on verifying requests.
BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SIGNED = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def pressed(*actions: dict[str, Any], **more: Any) -> bytes:
    user = {"id": "U1", "username": "ada"}
    payload = {"type": "block_actions", "user": user, "actions": list(actions)} | more
    return urlencode({"payload": json.dumps(payload)}).encode()


def test_the_example_of_slacks_documentation_holds():
    assert signature(BODY, str(AT), SECRET) == SIGNED
    assert verify(BODY, str(AT), SIGNED, SECRET, AT + 1)


@pytest.mark.parametrize("seconds", [-REPLAY_S, 0, REPLAY_S])
def test_five_minutes_either_way_are_allowed(seconds):
    assert verify(BODY, str(AT), SIGNED, SECRET, AT + seconds)
    beyond = seconds + (1 if seconds >= 0 else -1) * (REPLAY_S + 1 - abs(seconds))
    assert not verify(BODY, str(AT), SIGNED, SECRET, AT + beyond)


@pytest.mark.parametrize(
    ("body", "timestamp", "given", "secret"),
    [
        (BODY + b"x", str(AT), SIGNED, SECRET),
        (BODY, str(AT + 1), SIGNED, SECRET),
        (BODY, str(AT), SIGNED.replace("v0", "v1"), SECRET),
        (BODY, str(AT), SIGNED.upper(), SECRET),
        (BODY, str(AT), "", SECRET),
        (BODY, str(AT), "é", SECRET),
        (BODY, str(AT), SIGNED, "other"),
        (BODY, "", SIGNED, SECRET),
        (BODY, "now", SIGNED, SECRET),
        (BODY, "-1", SIGNED, SECRET),
        (BODY, "9" * 5000, SIGNED, SECRET),
        (BODY, "١٢٣", SIGNED, SECRET),
    ],
)
def test_any_other_signature_is_refused(body, timestamp, given, secret):
    assert not verify(body, timestamp, given, secret, AT)


@pytest.mark.parametrize(
    ("action", "interaction"),
    [
        ({"action_id": "acknowledge", "value": "12"}, Interaction("acknowledge", 12, "ada (Slack)")),
        ({"action_id": "snooze", "value": "12"}, Interaction("snooze", 12, "ada (Slack)")),
        ({"action_id": "silence", "value": "12:-1"}, Interaction("silence", 12, "ada (Slack)", -1)),
        ({"action_id": "silence", "value": "12:190:"}, Interaction("silence", 12, "ada (Slack)", 190)),
        (
            {"action_id": "silence", "value": "12:190:55"},
            Interaction("silence", 12, "ada (Slack)", 190, "55"),
        ),
        ({"action_id": "open", "value": "12"}, None),
    ],
)
def test_each_button_has_its_action(action, interaction):
    assert parse(pressed(action)) == interaction


def test_other_interactions_are_ignored():
    ours = {"action_id": "snooze", "value": "7"}
    found = parse(pressed({"action_id": "link"}, ours))
    assert found == Interaction("snooze", 7, "ada (Slack)")
    assert parse(pressed(type="view_submission")) is None


def test_a_user_without_a_name_is_called_by_id():
    found = parse(pressed({"action_id": "snooze", "value": "7"}, user={"id": "U1"}))
    assert found is not None
    assert found.actor == "U1 (Slack)"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload=",
        b"payload={}",
        b"payload=%FF%FE",
        b"\xff",
        b"&".join(b"a=1" for _ in range(30)),
        pressed({"action_id": "snooze", "value": "x"}),
        pressed({"action_id": "snooze", "value": ""}),
        pressed({"action_id": "silence", "value": "12"}),
        pressed({"action_id": "snooze", "value": "9" * 30}),
        pressed({"action_id": "snooze", "value": 7}),
    ],
)
def test_an_unreadable_body_is_refused(body):
    with pytest.raises(ValueError):
        parse(body)
