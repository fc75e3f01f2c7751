"""What people do: messages, calls and marketing preferences. Message text is read for keywords and let go."""

import json
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from webhook_app.whatsapp.events import InboundMessage, NumberChange, Preference
from webhook_app.whatsapp.people.contacts import contact_key
from webhook_app.whatsapp.people.identity import read_number_change
from webhook_app.whatsapp.people.keywords import Keywords, keyword_in
from webhook_app.whatsapp.receiving.statuses import digits, plain, read_timestamp

_AFTERTHOUGHTS = frozenset(
    ("reaction", "edit", "revoke")
)  # Meta does not say that these open the 24-hour window


def read_message(
    words: Keywords, sole: str, item: Mapping[str, Any], waba_id: str, number: str
) -> InboundMessage | NumberChange | str:
    """One element of `messages[]`: who wrote and when, who has another number, or why it is ignored.

    `sole` is the key of the only contact beside it: whose message it is when the item does not say.
    """
    kind = plain(item.get("type"), 40) or "unknown"
    if kind == "system":
        return read_number_change(item, waba_id, number)
    contact = contact_key(digits(item.get("from")), plain(item.get("from_user_id"), 160))
    return InboundMessage(
        _id(item),
        number,
        waba_id,
        read_timestamp(item.get("timestamp")),
        contact or sole,
        _reply_kind(item) or kind,
        _keyword(item, kind, words),
        opens_window="group_id" not in item and kind not in _AFTERTHOUGHTS,
    )


_REPLIES = frozenset(("button_reply", "list_reply", "nfm_reply"))


def _reply_kind(item: Mapping[str, Any]) -> str:
    """What was pressed or filled in, where the type says no more than `interactive` or `contacts`."""
    if item.get("origin") == "contact_request":
        return "contact_request"
    part = item.get("interactive")
    kind = plain(part.get("type"), 40) if type(part) is dict else ""
    return kind if kind in _REPLIES else ""


def read_call(item: Mapping[str, Any], waba_id: str, number: str) -> InboundMessage | str:
    """One element of `calls[]`: a call by the person opens the 24-hour window like a message."""
    if item.get("direction") != "USER_INITIATED":
        return "call by the business"
    if item.get("event") == "terminate":
        return "end of a call"
    contact = contact_key(digits(item.get("from")), plain(item.get("from_user_id"), 160))
    timestamp = read_timestamp(item.get("timestamp"))
    return InboundMessage(_id(item), number, waba_id, timestamp, contact, "call", "", opens_window=True)


def read_preference(item: Mapping[str, Any], waba_id: str, number: str) -> Preference | str:
    """One element of `user_preferences[]`: marketing stopped or resumed."""
    wanted = item.get("value")
    if wanted == "signup":
        return "preference signup"
    if wanted not in ("stop", "resume"):
        raise ValueError(f"unknown preference {str(wanted)[:40]!r}")
    contact = contact_key(digits(item.get("wa_id")), plain(item.get("user_id"), 160))
    if not contact:
        raise ValueError("neither wa_id nor user_id")
    category = plain(item.get("category"), 64)
    raw = item.get("timestamp")
    return Preference(number, waba_id, read_timestamp(raw), contact, category, wanted, str(raw)[:64])


def of_post(preference: Preference, body_digest: bytes) -> Preference:
    """The same preference, told from a later one without a usable time by the POST it came in."""
    return replace(preference, raw_timestamp=f"{preference.raw_timestamp[:64]} {body_digest.hex()}")


def _id(item: Mapping[str, Any]) -> str:
    found = item.get("id")
    if type(found) is not str or not 0 < len(found) <= 512:
        raise ValueError("the id is missing, no text or too long")
    return found


def _keyword(item: Mapping[str, Any], kind: str, words: Keywords) -> str:
    for text in _texts(item, kind):
        if found := keyword_in(text, words):
            return found
    return ""


def _texts(item: Mapping[str, Any], kind: str) -> list[str]:
    """Every text by which a person can say STOP: typed, or by a button, list or flow reply."""
    part = item.get(kind)
    if type(part) is not dict:
        return []
    if kind == "text":
        return [plain(part.get("body"), 200)]
    if kind == "button":
        return [plain(part.get("text"), 200), plain(part.get("payload"), 200)]
    if kind != "interactive":
        return []
    texts: list[str] = []
    for reply in (part.get("button_reply"), part.get("list_reply")):
        if type(reply) is dict:
            texts += [plain(reply.get("id"), 200), plain(reply.get("title"), 200)]
    form = part.get("nfm_reply")
    if type(form) is dict:
        texts += _form_texts(form.get("response_json"))
    return texts


def _form_texts(text: Any) -> list[str]:
    """A flow's answers come as JSON inside a string."""
    try:
        answers = json.loads(text) if type(text) is str else None
    except (ValueError, RecursionError):
        return []
    if type(answers) is not dict:
        return []
    given = [
        answer for key, answer in answers.items() if key != "flow_token"
    ]  # the token is the sender's own
    chosen = [each for answer in given if type(answer) is list for each in answer]
    return [plain(answer, 200) for answer in (*given, *chosen)]
