"""What Slack posts when somebody presses a button: whether it is really from Slack, and what is wanted.

https://docs.slack.dev/authentication/verifying-requests-from-slack (read 2026-11). Acting on it is the caller's job.
"""

import hmac
from typing import Literal
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

REPLAY_S = 300
"""How old a request may be, and how far ahead of our clock."""

Action = Literal["acknowledge", "snooze", "silence"]


class Interaction(Struct, frozen=True):
    """A person pressed a button. `code` is set for `silence`."""

    action: Action
    alert_id: int
    actor: str
    code: int | None = None


class _User(Struct):
    id: str
    username: str = ""
    name: str = ""


class _Pressed(Struct):
    action_id: str
    value: str = ""


class _Payload(Struct):
    type: str
    user: _User
    actions: list[_Pressed]


def signature(body: bytes, timestamp: str, signing_secret: str) -> str:
    """The X-Slack-Signature of a body."""
    signed = b"v0:" + timestamp.encode() + b":" + body
    return f"v0={hmac.digest(signing_secret.encode(), signed, 'sha256').hex()}"


def verify(body: bytes, timestamp: str, given: str, signing_secret: str, now_s: float) -> bool:
    """Whether Slack has signed this body within the last five minutes. Compares in constant time."""
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    fresh = abs(now_s - int(timestamp)) <= REPLAY_S
    known = hmac.compare_digest(signature(body, timestamp, signing_secret).encode(), given.encode())
    return fresh and known


def parse(body: bytes) -> Interaction | None:
    """The first of our buttons that was pressed; None when none was. ValueError when it cannot be read."""
    try:
        fields = parse_qs(body.decode(), max_num_fields=20)
        payload = msgspec.json.decode(fields["payload"][0], type=_Payload)
    except (KeyError, UnicodeDecodeError, msgspec.DecodeError) as fault:
        raise ValueError("not a payload of Slack's interactivity") from fault
    if payload.type != "block_actions":
        return None
    user = payload.user
    actor = f"{user.username or user.name or user.id} (Slack)"
    return next((found for pressed in payload.actions if (found := _read(pressed, actor))), None)


def _read(pressed: _Pressed, actor: str) -> Interaction | None:
    alert, _, code = pressed.value.partition(":")
    match pressed.action_id:
        case "acknowledge" | "snooze" as action:
            return Interaction(action, _number(alert), actor)
        case "silence":
            return Interaction("silence", _number(alert), actor, _number(code))
    return None


def _number(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError("not a number of ours")
    return number
