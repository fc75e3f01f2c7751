"""Parses inbound messages, calls and marketing preferences. Of message text, only a keyword is kept."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from webhook_app.whatsapp.events import Handover, InboundMessage, NumberChange, Preference
from webhook_app.whatsapp.people.contacts import contact_key
from webhook_app.whatsapp.people.identity import read_number_change
from webhook_app.whatsapp.people.keywords import Keywords
from webhook_app.whatsapp.people.phrase_patterns import Meaning
from webhook_app.whatsapp.receiving.statuses import bounded_text, digits, read_message_id, read_timestamp

WithoutId = TypeVar("WithoutId", Preference, Handover)

_WINDOW_UNCHANGED = frozenset(("reaction", "edit", "revoke"))
"""Meta does not say that these open the 24-hour window."""


def read_message(
    words: Keywords, only_contact: str, item: Mapping[str, Any], waba_id: str, number: str
) -> InboundMessage | NumberChange | str:
    """Parse one element of `messages[]`: a message, a number change, or the reason for ignoring it.

    `only_contact` is the key of the only contact in the value, used if the item has no sender.
    """
    kind = bounded_text(item.get("type"), 40) or "unknown"
    if kind == "system":
        return read_number_change(item, waba_id, number)
    contact = (
        contact_key(digits(item.get("from")), bounded_text(item.get("from_user_id"), 160)) or only_contact
    )
    keyword = _keyword(item, kind, contact, words)
    # A stop asks for no reply.
    opens_window = item.get("group_id") is None and kind not in _WINDOW_UNCHANGED and keyword != "stop"
    return InboundMessage(
        read_message_id(item),
        number,
        waba_id,
        read_timestamp(item.get("timestamp")),
        contact,
        _reply_kind(item) or kind,
        keyword,
        opens_window,
    )


_REPLIES = frozenset(("button_reply", "list_reply", "nfm_reply"))


def _reply_kind(item: Mapping[str, Any]) -> str:
    """Return the kind of reply for the unspecific types `interactive` and `contacts`, else empty."""
    if item.get("origin") == "contact_request":
        return "contact_request"
    part = item.get("interactive")
    kind = bounded_text(part.get("type"), 40) if type(part) is dict else ""
    return kind if kind in _REPLIES else ""


def read_call(item: Mapping[str, Any], waba_id: str, number: str) -> InboundMessage | str:
    """Parse one element of `calls[]`. A call by the person opens the 24-hour window like a message."""
    if item.get("direction") != "USER_INITIATED":
        return "call by the business"
    if item.get("event") == "terminate":
        return "end of a call"
    contact = contact_key(digits(item.get("from")), bounded_text(item.get("from_user_id"), 160))
    timestamp = read_timestamp(item.get("timestamp"))
    return InboundMessage(
        read_message_id(item), number, waba_id, timestamp, contact, "call", "", opens_window=True
    )


def read_preference(item: Mapping[str, Any], waba_id: str, number: str) -> Preference | str:
    """Parse one element of `user_preferences[]`: marketing stopped or resumed."""
    preference = item.get("value")
    if preference == "signup":
        return "preference signup"
    if preference not in ("stop", "resume"):
        raise ValueError(f"unknown preference {str(preference)[:40]!r}")
    contact = contact_key(digits(item.get("wa_id")), bounded_text(item.get("user_id"), 160))
    if not contact:
        raise ValueError("neither wa_id nor user_id")
    category = bounded_text(item.get("category"), 64)
    raw = item.get("timestamp")
    return Preference(number, waba_id, read_timestamp(raw), contact, category, preference, str(raw)[:64])


def with_body_digest(item: WithoutId, body_digest: bytes) -> WithoutId:
    """Add the delivery's digest to an item without id and valid time, to distinguish it from a later one."""
    return replace(item, raw_timestamp=f"{item.raw_timestamp[:64]} {body_digest.hex()}")


def _keyword(item: Mapping[str, Any], kind: str, contact: str, words: Keywords) -> Meaning:
    """What the message says about further messages. In a group it says nothing to the business."""
    if item.get("group_id") is not None:
        return ""
    part = item.get(kind)
    if type(part) is not dict:
        return ""
    if kind == "text":
        return words.typed(bounded_text(part.get("body"), 200), contact)
    return next(filter(None, (words.tapped(text, contact) for text in _tapped_texts(part, kind))), "")


def _tapped_texts(part: Mapping[str, Any], kind: str) -> list[str]:
    """Return titles and payloads of the button, list row or flow that was answered."""
    if kind == "button":
        return [bounded_text(part.get("text"), 200), bounded_text(part.get("payload"), 200)]
    if kind != "interactive":
        return []
    texts: list[str] = []
    for reply in (part.get("button_reply"), part.get("list_reply")):
        if type(reply) is dict:
            texts += [bounded_text(reply.get("id"), 200), bounded_text(reply.get("title"), 200)]
    form = part.get("nfm_reply")
    if type(form) is dict:
        texts += _form_texts(form.get("response_json"))
    return texts


def _form_texts(text: Any) -> list[str]:
    """Return the answers of a flow, which are JSON in a string."""
    try:
        answers = json.loads(text) if type(text) is str else None
    except (ValueError, RecursionError):
        return []
    if type(answers) is not dict:
        return []
    # The flow token comes from the business.
    given = [answer for key, answer in answers.items() if key != "flow_token"]
    chosen = [each for answer in given if type(answer) is list for each in answer]
    return [bounded_text(answer, 200) for answer in (*given, *chosen)]
