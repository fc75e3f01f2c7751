"""Sorts the items of a webhook document into events, ignored and unreadable items.

Formats from Meta's webhook reference as of September 2026.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from webhook_app.whatsapp.accounts import health_signals
from webhook_app.whatsapp.events import InboundMessage, NumberChange, Parsed, Unreadable
from webhook_app.whatsapp.json_text import canonical
from webhook_app.whatsapp.people import identity
from webhook_app.whatsapp.people.keywords import Keywords
from webhook_app.whatsapp.receiving import inbound, statuses
from webhook_app.whatsapp.receiving.plain_delivery import TEST_ENTRY, TEST_NUMBER

Object = Mapping[str, Any]

_OBJECT = "whatsapp_business_account"
_MAX_CONTACTS = 3
"""Copied into a quarantined item. Inbound messages come with one; copies of many would multiply in size."""


class _Change(Struct, frozen=True, gc=False):
    entry: Object
    field: str
    value: Object
    waba_id: str
    number: str


class DocumentParser:
    """Adds the items of one webhook document to `parsed`."""

    def __init__(self, words: Keywords) -> None:
        self.parsed = Parsed()
        self._words = words

    def read(self, document: Any) -> None:
        """Add all items of a decoded document."""
        if type(document) is not dict:
            return self._quarantine("the body is not an object", "", "", document, document)
        if document.get("object") != _OBJECT:
            return self._ignore("other object")
        entries = document.get("entry")
        if type(entries) is not list:
            return self._quarantine("entry is not a list", "", "", document, document)
        for entry in entries:
            if type(entry) is dict:
                self._read_entry(entry)
            else:
                self._quarantine("an entry is not an object", "", "", entry, _webhook(entry))
        return None

    def _read_entry(self, entry: Object) -> None:
        waba_id = _identifier(entry.get("id"))
        changes = entry.get("changes")
        if type(changes) is not list:
            if "changed_fields" in entry:  # the app is subscribed without "include values"
                return self._ignore("changed_fields without values")
            return self._quarantine("changes is not a list", "", waba_id, entry, _webhook(entry))
        for change in changes:
            value = change.get("value") if type(change) is dict else None
            if type(value) is not dict:
                document = _webhook({"id": waba_id, "changes": [change]})
                self._quarantine("a change without an object as value", "", waba_id, change, document)
                continue
            number = _number_of(value)
            if waba_id == TEST_ENTRY or number == TEST_NUMBER:
                self._ignore("dashboard test", count=_item_count(value))
            else:
                field = change.get("field")
                field = field if type(field) is str else _field_by_keys(value)
                self._read_change(_Change(entry, field, value, waba_id, number))
        return None

    def _read_change(self, change: _Change) -> None:
        if change.field == "messages":
            self._read_messages(change)
        elif change.field == "calls":
            self._read_calls(change)
        elif change.field == "user_preferences":
            self.parsed.links.update(identity.links_in(change.value))
            self._read_items(
                change, "user_preferences", inbound.read_preference, self.parsed.preferences.append
            )
        elif change.field in health_signals.FIELDS:
            self._read_signal(change)
        else:
            self._ignore(f"field {change.field[:64]}" if change.field else "no field")

    def _read_signal(self, change: _Change) -> None:
        entry, field, value, waba_id = change.entry, change.field, change.value, change.waba_id
        try:
            self.parsed.signals.append(health_signals.read_signal(entry, field, value, waba_id))
        except (TypeError, ValueError, AttributeError) as fault:
            item = {**entry, "changes": [value]}
            document = _webhook({**entry, "changes": [{"field": field, "value": value}]})
            self._quarantine(f"{field}: {fault}"[:200], field, waba_id, item, document)

    def _read_messages(self, change: _Change) -> None:
        value, parsed = change.value, self.parsed
        before = parsed.received
        parsed.links.update(identity.links_in(value))
        if change.number:
            display = value["metadata"].get("display_phone_number")
            parsed.numbers.add((change.number, display if type(display) is str else "", change.waba_id))
        self._read_items(change, "statuses", statuses.read_status, parsed.statuses.append)
        if "messages" in value:
            read = partial(inbound.read_message, self._words, identity.only_contact(value))
            self._read_items(change, "messages", read, self._add_message)
        if "errors" in value:
            read_error = partial(health_signals.read_error, change.entry, value)
            self._read_items(change, "errors", read_error, parsed.signals.append)
        actions = value.get("user_actions")
        if type(actions) is list and actions:
            self._ignore("user_actions", count=len(actions))
        if parsed.received == before:
            self._ignore("messages without items")

    def _add_message(self, event: InboundMessage | NumberChange) -> None:
        if isinstance(event, NumberChange):
            self.parsed.number_changes.append(event)
        else:
            self.parsed.inbound.append(event)

    def _read_calls(self, change: _Change) -> None:
        """Read calls, which can open the 24-hour window, and ignore their statuses."""
        before = self.parsed.received
        self.parsed.links.update(identity.links_in(change.value))
        self._read_items(change, "calls", inbound.read_call, self.parsed.inbound.append)
        call_statuses = change.value.get("statuses")
        if type(call_statuses) is list and call_statuses:
            self._ignore("call status", count=len(call_statuses))
        if self.parsed.received == before:
            self._ignore("calls without items")

    def _read_items(
        self, change: _Change, key: str, read: Callable[..., Any], add: Callable[[Any], None]
    ) -> None:
        items = change.value.get(key)
        if items is None:
            return
        if type(items) is not list:
            document = _webhook_with(change, key, items)
            self._quarantine(f"{key} is not a list", change.field, change.waba_id, items, document)
            return
        for item in items:
            try:
                event = read(item, change.waba_id, change.number)
            except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as fault:
                document = _webhook_with(change, key, [item])
                self._quarantine(f"{key}: {fault}"[:200], change.field, change.waba_id, item, document)
                continue
            if type(event) is str:
                self._ignore(event)
            else:
                add(event)

    def _ignore(self, reason: str, count: int = 1) -> None:
        self.parsed.ignored[reason] = self.parsed.ignored.get(reason, 0) + count

    def _quarantine(self, reason: str, field: str, waba_id: str, item: Any, document: Any) -> None:
        text = canonical(item)
        digest = hashlib.sha256(text.encode()).digest()
        self.parsed.unreadable.append(
            Unreadable(reason, field, waba_id, text, digest, document_json=canonical(document))
        )


_KEYS_OF_FIELD = {
    "account_update": ("waba_info", "ban_info", "violation_info", "restriction_info"),
    "message_template_quality_update": ("new_quality_score",),
    "template_category_update": ("new_category",),
    "account_alerts": ("alert_info",),
}


def _field_by_keys(value: Object) -> str:
    """Infer a missing `field`, as in one of Meta's examples, from the keys of the value."""
    if "statuses" in value or "messages" in value:
        return "messages"
    return next((field for field, keys in _KEYS_OF_FIELD.items() if any(map(value.__contains__, keys))), "")


def _number_of(value: Object) -> str:
    metadata = value.get("metadata")
    return _identifier(metadata.get("phone_number_id")) if type(metadata) is dict else ""


def _identifier(value: Any) -> str:
    """Return an id, given as string or number, as text; empty if it is neither."""
    return value[:64] if type(value) is str else str(value) if type(value) is int else ""


def _item_count(value: Object) -> int:
    lists = [value.get(key) for key in ("statuses", "messages", "errors", "user_preferences", "calls")]
    return sum(len(items) for items in lists if type(items) is list) or 1


def _webhook(entry: Any) -> dict[str, Any]:
    return {"object": _OBJECT, "entry": [entry]}


def _webhook_with(change: _Change, key: str, items: Any) -> dict[str, Any]:
    """Build a webhook with only these items and the ids of their context, to keep it small."""
    metadata, contacts = change.value.get("metadata"), change.value.get("contacts")
    context: dict[str, Any] = {"metadata": _ids(metadata, "display_phone_number", "phone_number_id")}
    if type(contacts) is list and len(contacts) <= _MAX_CONTACTS:
        context["contacts"] = [_ids(each, "wa_id", "user_id", "parent_user_id") for each in contacts]
    value = context | {key: items}
    return _webhook({"id": change.waba_id, "changes": [{"field": change.field, "value": value}]})


def _ids(source: Any, *names: str) -> dict[str, str]:
    given = source if type(source) is dict else {}
    return {name: str(given[name])[:160] for name in names if type(given.get(name)) in (str, int)}
