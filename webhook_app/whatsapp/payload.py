"""parse(body): everything one signed POST holds, as values, and what was left out and why.

Never raises and never drops: what is not understood comes back as Unreadable. Neither stores nor decides.
The shapes and their oddities: Meta's webhook reference, state of September 2026.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from webhook_app.whatsapp import health, inbound, statuses
from webhook_app.whatsapp.events import Parsed, Unreadable
from webhook_app.whatsapp.json_text import canonical, scrub

Change = Mapping[str, Any]

_decode = msgspec.json.Decoder().decode
_TEST_ENTRY = "0"
_TEST_NUMBER = "123456123"  # Meta's dashboard "Test" button: dummy ids, kept out of all figures


def parse(body: bytes) -> Parsed:
    """Sort every item of a verified body into applied kinds, ignored and unreadable."""
    parsed = Parsed()
    try:
        document = decode(body)
    except (ValueError, RecursionError) as fault:
        return Parsed(unreadable=[whole(body, f"not readable as JSON: {type(fault).__name__}")])
    try:
        _document(document, parsed)
    except RecursionError:
        return Parsed(unreadable=[whole(body, "nested too deeply")])
    return parsed


def whole(body: bytes, reason: str) -> Unreadable:
    """A body of which nothing can be used, to be kept as it is."""
    return Unreadable(reason, "", "", "", hashlib.sha256(body).digest(), body)


def decode(body: bytes) -> Any:
    """JSON to plain values whose text the database accepts; tolerant of what Meta's wire form never holds.

    Raises ValueError for what is no JSON at all, RecursionError for depth bombs.
    """
    try:
        document = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Lone surrogates, numbers out of range, NaN, broken UTF-8: the slow decoder takes them, scrub mends them.
        return scrub(json.loads(body.decode("utf-8", "replace"), parse_int=_bounded_int, strict=False))
    return scrub(document) if b"\\u0000" in body else document


def _bounded_int(digits: str) -> int | str:
    return int(digits) if len(digits) < 19 else digits


def _document(document: Any, parsed: Parsed) -> None:
    if type(document) is not dict:
        return _set_aside(parsed, "the body is not an object", "", "", document)
    if document.get("object") != "whatsapp_business_account":
        return _ignore(parsed, "other object")
    entries = document.get("entry")
    if type(entries) is not list:
        return _set_aside(parsed, "entry is not a list", "", "", document)
    for entry in entries:
        if type(entry) is not dict:
            _set_aside(parsed, "an entry is not an object", "", "", entry)
        else:
            _entry(entry, parsed)
    return None


def _entry(entry: Change, parsed: Parsed) -> None:
    waba_id = identifier(entry.get("id"))
    changes = entry.get("changes")
    if type(changes) is not list:
        if "changed_fields" in entry:  # the app is subscribed without "include values"
            return _ignore(parsed, "changed_fields without values")
        return _set_aside(parsed, "changes is not a list", "", waba_id, entry)
    for change in changes:
        value = change.get("value") if type(change) is dict else None
        if type(value) is not dict:
            _set_aside(parsed, "a change without an object as value", "", waba_id, change)
        elif waba_id == _TEST_ENTRY or _number_of(value) == _TEST_NUMBER:
            _ignore(parsed, "dashboard test", count=_item_count(value))
        else:
            _change(entry, change, value, waba_id, parsed)
    return None


def _change(entry: Change, change: Change, value: Change, waba_id: str, parsed: Parsed) -> None:
    field = change.get("field")
    if type(field) is not str:
        field = _field_by_keys(value)
    if field == "messages":
        _messages(value, waba_id, parsed)
    elif field == "calls":
        _calls(value, waba_id, parsed)
    elif field == "user_preferences":
        _each(value, "user_preferences", field, waba_id, parsed, inbound.read_preference)
    elif field in health.FIELDS:
        _signal(entry, field, value, waba_id, parsed)
    else:
        _ignore(parsed, f"field {field[:64]}" if field else "no field")


def _signal(entry: Change, field: str, value: Change, waba_id: str, parsed: Parsed) -> None:
    try:
        parsed.signals.append(health.read_signal(entry, field, value, waba_id))
    except (TypeError, ValueError, AttributeError) as fault:
        _set_aside(parsed, f"{field}: {fault}"[:200], field, waba_id, {**entry, "changes": [value]})


def _messages(value: Change, waba_id: str, parsed: Parsed) -> None:
    before = parsed.received
    _each(value, "statuses", "messages", waba_id, parsed, statuses.read_status)
    _each(value, "messages", "messages", waba_id, parsed, inbound.read_message)
    _each(value, "errors", "messages", waba_id, parsed, partial(health.read_error, value))
    actions = value.get("user_actions")
    if type(actions) is list and actions:
        _ignore(parsed, "user_actions", count=len(actions))
    if parsed.received == before:
        _ignore(parsed, "messages without items")


def _calls(value: Change, waba_id: str, parsed: Parsed) -> None:
    """Call events share the key `statuses` with messages: only what opens a 24-hour window is of use here."""
    before = parsed.received
    _each(value, "calls", "calls", waba_id, parsed, inbound.read_call)
    rings = value.get("statuses")
    if type(rings) is list and rings:
        _ignore(parsed, "call status", count=len(rings))
    if parsed.received == before:
        _ignore(parsed, "calls without items")


_LISTS: dict[str, str] = {"statuses": "statuses", "messages": "inbound", "calls": "inbound"}
_LISTS |= {"user_preferences": "preferences", "errors": "signals"}


def _each(
    value: Change, key: str, field: str, waba_id: str, parsed: Parsed, read: Callable[..., Any]
) -> None:
    items = value.get(key)
    if items is None:
        return
    if type(items) is not list:
        _set_aside(parsed, f"{key} is not a list", field, waba_id, items)
        return
    number = _number_of(value)
    found = getattr(parsed, _LISTS[key])
    for item in items:
        try:
            event = read(item, waba_id, number)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as fault:
            _set_aside(parsed, f"{key}: {fault}"[:200], field, waba_id, item)
            continue
        if type(event) is str:
            _ignore(parsed, event)
        else:
            found.append(event)


def _field_by_keys(value: Change) -> str:
    """Meta has left out `field` in one of its own examples: the keys tell."""
    if "statuses" in value or "messages" in value:
        return "messages"
    if "event" in value and ("waba_info" in value or "ban_info" in value or "violation_info" in value):
        return "account_update"
    return ""


def _number_of(value: Change) -> str:
    metadata = value.get("metadata")
    return identifier(metadata.get("phone_number_id")) if type(metadata) is dict else ""


def identifier(value: Any) -> str:
    """An id as text, whether Meta wrote it as string or number; empty when it is neither."""
    if type(value) is str:
        return value if len(value) <= 64 else value[:64]
    return str(value) if type(value) is int else ""


def _item_count(value: Change) -> int:
    lists = [value.get(key) for key in ("statuses", "messages", "errors", "user_preferences", "calls")]
    return sum(len(items) for items in lists if type(items) is list) or 1


def _ignore(parsed: Parsed, reason: str, count: int = 1) -> None:
    parsed.ignored[reason] = parsed.ignored.get(reason, 0) + count


def _set_aside(parsed: Parsed, reason: str, field: str, waba_id: str, item: Any) -> None:
    text = canonical(item)
    identity = hashlib.sha256(text.encode()).digest()
    parsed.unreadable.append(Unreadable(reason, field, waba_id, text, identity))
