"""parse(body): everything one signed POST holds, as values, and what was left out and why.

Never raises and never drops: what is not understood comes back as Unreadable. Neither stores nor decides.
The shapes and their oddities: Meta's webhook reference, state of September 2026.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from webhook_app.whatsapp.accounts import health_signals
from webhook_app.whatsapp.events import InboundMessage, NumberChange, Parsed, Unreadable
from webhook_app.whatsapp.json_text import canonical, decode, shallow
from webhook_app.whatsapp.people import identity
from webhook_app.whatsapp.people.keywords import DEFAULT, Keywords
from webhook_app.whatsapp.receiving import inbound, statuses
from webhook_app.whatsapp.receiving.plain_delivery import TEST_ENTRY, TEST_NUMBER, read_plain
from webhook_app.whatsapp.receiving.redaction import without_text

Change = Mapping[str, Any]

_OBJECT = "whatsapp_business_account"
_FEW = 3  # an inbound message comes with one contact; many items with many contacts would multiply


def parse(body: bytes, words: Keywords = DEFAULT) -> Parsed:
    """Sort every item of a verified body into applied kinds, ignored and unreadable."""
    return receive(body, words)[1]


def receive(body: bytes, words: Keywords = DEFAULT) -> tuple[bytes, Parsed]:
    """What may be kept of a verified body, without the text of messages, and everything found in that."""
    plain = read_plain(body)
    if plain is not None:
        return body, plain
    kept = without_text(body, words)
    return kept, read_any(kept, words)


def read_any(body: bytes, words: Keywords = DEFAULT) -> Parsed:
    """The same for every shape, ordinary or not."""
    try:
        try:
            return _parse(body, words)
        except RecursionError:  # a depth bomb in one item is no reason to lose its neighbours
            return _parse(shallow(body), words)
    except (ValueError, RecursionError) as fault:
        return Parsed(unreadable=[whole(body, f"not readable as JSON: {type(fault).__name__}")])


def _parse(body: bytes, words: Keywords) -> Parsed:
    parsed = Parsed()
    _document(decode(body), parsed, words)
    if parsed.signals or parsed.preferences:
        _tell_apart(parsed, hashlib.sha256(body).digest())
    return parsed


def _tell_apart(parsed: Parsed, digest: bytes) -> None:
    """What comes without a usable time and without an id is known by its POST: retries repeat the whole of it."""
    parsed.signals = [health_signals.of_post(s, digest) if s.timestamp is None else s for s in parsed.signals]
    parsed.preferences = [
        inbound.of_post(p, digest) if p.timestamp is None else p for p in parsed.preferences
    ]


def whole(body: bytes, reason: str) -> Unreadable:
    """A body of which nothing can be used, to be kept as it is."""
    return Unreadable(reason, "", "", "", hashlib.sha256(body).digest(), body)


def _document(document: Any, parsed: Parsed, words: Keywords) -> None:
    if type(document) is not dict:
        return _set_aside(parsed, "the body is not an object", "", "", document, document)
    if document.get("object") != _OBJECT:
        return _ignore(parsed, "other object")
    entries = document.get("entry")
    if type(entries) is not list:
        return _set_aside(parsed, "entry is not a list", "", "", document, document)
    for entry in entries:
        if type(entry) is not dict:
            _set_aside(parsed, "an entry is not an object", "", "", entry, _webhook(entry))
        else:
            _entry(entry, parsed, words)
    return None


def _entry(entry: Change, parsed: Parsed, words: Keywords) -> None:
    waba_id = identifier(entry.get("id"))
    changes = entry.get("changes")
    if type(changes) is not list:
        if "changed_fields" in entry:  # the app is subscribed without "include values"
            return _ignore(parsed, "changed_fields without values")
        return _set_aside(parsed, "changes is not a list", "", waba_id, entry, _webhook(entry))
    for change in changes:
        value = change.get("value") if type(change) is dict else None
        if type(value) is not dict:
            around = _webhook({"id": waba_id, "changes": [change]})
            _set_aside(parsed, "a change without an object as value", "", waba_id, change, around)
        elif waba_id == TEST_ENTRY or _number_of(value) == TEST_NUMBER:
            _ignore(parsed, "dashboard test", count=_item_count(value))
        else:
            _change(entry, change, value, waba_id, parsed, words)
    return None


def _change(
    entry: Change, change: Change, value: Change, waba_id: str, parsed: Parsed, words: Keywords
) -> None:
    field = change.get("field")
    if type(field) is not str:
        field = _field_by_keys(value)
    if field == "messages":
        _messages(entry, value, waba_id, parsed, words)
    elif field == "calls":
        _calls(value, waba_id, parsed)
    elif field == "user_preferences":
        parsed.links.update(identity.links_in(value))
        _each(
            value,
            "user_preferences",
            field,
            waba_id,
            parsed,
            inbound.read_preference,
            parsed.preferences.append,
        )
    elif field in health_signals.FIELDS:
        _signal(entry, field, value, waba_id, parsed)
    else:
        _ignore(parsed, f"field {field[:64]}" if field else "no field")


def _signal(entry: Change, field: str, value: Change, waba_id: str, parsed: Parsed) -> None:
    try:
        parsed.signals.append(health_signals.read_signal(entry, field, value, waba_id))
    except (TypeError, ValueError, AttributeError) as fault:
        around = _webhook({**entry, "changes": [{"field": field, "value": value}]})
        _set_aside(parsed, f"{field}: {fault}"[:200], field, waba_id, {**entry, "changes": [value]}, around)


def _messages(entry: Change, value: Change, waba_id: str, parsed: Parsed, words: Keywords) -> None:
    before = parsed.received
    parsed.links.update(identity.links_in(value))
    if number := _number_of(value):
        display = value["metadata"].get("display_phone_number")
        parsed.numbers.add((number, display if type(display) is str else "", waba_id))
    _each(value, "statuses", "messages", waba_id, parsed, statuses.read_status, parsed.statuses.append)
    if "messages" in value:
        read = partial(inbound.read_message, words, identity.sole_contact(value))
        _each(value, "messages", "messages", waba_id, parsed, read, partial(_keep_message, parsed))
    if "errors" in value:
        read_error = partial(health_signals.read_error, entry, value)
        _each(value, "errors", "messages", waba_id, parsed, read_error, parsed.signals.append)
    actions = value.get("user_actions")
    if type(actions) is list and actions:
        _ignore(parsed, "user_actions", count=len(actions))
    if parsed.received == before:
        _ignore(parsed, "messages without items")


def _keep_message(parsed: Parsed, event: InboundMessage | NumberChange) -> None:
    if isinstance(event, NumberChange):
        parsed.number_changes.append(event)
    else:
        parsed.inbound.append(event)


def _calls(value: Change, waba_id: str, parsed: Parsed) -> None:
    """Call events share the key `statuses` with messages: only what opens a 24-hour window is of use here."""
    before = parsed.received
    parsed.links.update(identity.links_in(value))
    _each(value, "calls", "calls", waba_id, parsed, inbound.read_call, parsed.inbound.append)
    rings = value.get("statuses")
    if type(rings) is list and rings:
        _ignore(parsed, "call status", count=len(rings))
    if parsed.received == before:
        _ignore(parsed, "calls without items")


def _each(
    value: Change,
    key: str,
    field: str,
    waba_id: str,
    parsed: Parsed,
    read: Callable[..., Any],
    keep: Callable[[Any], None],
) -> None:
    items = value.get(key)
    if items is None:
        return
    if type(items) is not list:
        around = _lone(value, key, items, field, waba_id)
        _set_aside(parsed, f"{key} is not a list", field, waba_id, items, around)
        return
    number = _number_of(value)
    for item in items:
        try:
            event = read(item, waba_id, number)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as fault:
            around = _lone(value, key, [item], field, waba_id)
            _set_aside(parsed, f"{key}: {fault}"[:200], field, waba_id, item, around)
            continue
        if type(event) is str:
            _ignore(parsed, event)
        else:
            keep(event)


_TELLING_KEYS = {
    "account_update": ("waba_info", "ban_info", "violation_info", "restriction_info"),
    "message_template_quality_update": ("new_quality_score",),
    "template_category_update": ("new_category",),
    "account_alerts": ("alert_info",),
}


def _field_by_keys(value: Change) -> str:
    """Meta has left out `field` in one of its own examples: the keys tell."""
    if "statuses" in value or "messages" in value:
        return "messages"
    return next((field for field, keys in _TELLING_KEYS.items() if any(map(value.__contains__, keys))), "")


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


def _set_aside(parsed: Parsed, reason: str, field: str, waba_id: str, item: Any, around: Any) -> None:
    text = canonical(item)
    identity = hashlib.sha256(text.encode()).digest()
    kept = Unreadable(reason, field, waba_id, text, identity, document_json=canonical(around))
    parsed.unreadable.append(kept)


def _webhook(entry: Any) -> dict[str, Any]:
    return {"object": _OBJECT, "entry": [entry]}


def _lone(value: Change, key: str, items: Any, field: str, waba_id: str) -> dict[str, Any]:
    """A webhook with these items alone, and of what stood around them only the ids: it must stay small."""
    metadata, contacts = value.get("metadata"), value.get("contacts")
    around: dict[str, Any] = {"metadata": _ids(metadata, "display_phone_number", "phone_number_id")}
    if type(contacts) is list and len(contacts) <= _FEW:
        around["contacts"] = [_ids(each, "wa_id", "user_id", "parent_user_id") for each in contacts]
    return _webhook({"id": waba_id, "changes": [{"field": field, "value": around | {key: items}}]})


def _ids(held: Any, *names: str) -> dict[str, str]:
    given = held if type(held) is dict else {}
    return {name: str(given[name])[:160] for name in names if type(given.get(name)) in (str, int)}
