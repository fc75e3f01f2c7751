"""Verifies and parses the requests that Slack sends for a pressed button. The caller carries out the action.

https://docs.slack.dev/authentication/verifying-requests-from-slack (read 2026-11).
"""

import hmac
import re
from typing import Literal
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

REPLAY_S = 300
"""How far the time of a request may differ from our clock, in both directions."""

_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")

Action = Literal["acknowledge", "snooze", "silence"]


class Interaction(Struct, frozen=True):
    """One button press. `code` is set for `silence`, `phone_number_id` if it is about one business number."""

    action: Action
    incident_id: int
    actor: str
    code: int | None = None
    phone_number_id: str = ""


class _User(Struct):
    id: str
    username: str = ""
    name: str = ""


class _PressedButton(Struct):
    action_id: str
    value: str = ""


class _Payload(Struct):
    type: str
    user: _User
    actions: list[_PressedButton]


def signature(body: bytes, timestamp: str, signing_secret: str) -> str:
    """The X-Slack-Signature of a body."""
    signed = b"v0:" + timestamp.encode() + b":" + body
    return f"v0={hmac.digest(signing_secret.encode(), signed, 'sha256').hex()}"


def may_be_signed(timestamp: str, given: str, now_s: float) -> bool:
    """Whether the headers have a time of the last five minutes and a signature in its form; known before the body."""
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    return abs(now_s - int(timestamp)) <= REPLAY_S and _SIGNATURE.fullmatch(given) is not None


def verify(body: bytes, timestamp: str, given: str, signing_secret: str, now_s: float) -> bool:
    """Whether Slack signed this body within the last five minutes. Compares in constant time."""
    if not may_be_signed(timestamp, given, now_s):
        return False
    return hmac.compare_digest(signature(body, timestamp, signing_secret).encode(), given.encode())


def parse(body: bytes) -> Interaction | None:
    """The first known button press; None if there is none. ValueError if the body is invalid."""
    try:
        fields = parse_qs(body.decode(), max_num_fields=20)
        payload = msgspec.json.decode(fields["payload"][0], type=_Payload)
    except (KeyError, UnicodeDecodeError, msgspec.DecodeError) as fault:
        raise ValueError("not a Slack interaction payload") from fault
    if payload.type != "block_actions":
        return None
    user = payload.user
    actor = f"{user.username or user.name or user.id} (Slack)"
    return next((found for pressed in payload.actions if (found := _read(pressed, actor))), None)


def _read(pressed: _PressedButton, actor: str) -> Interaction | None:
    incident, _, silenced = pressed.value.partition(":")
    code, _, phone_number_id = silenced.partition(":")
    match pressed.action_id:
        case "acknowledge" | "snooze" as action:
            return Interaction(action, _number(incident), actor)
        case "silence":
            return Interaction("silence", _number(incident), actor, _number(code), phone_number_id)
    return None


def _number(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError("the number is out of range")
    return number
