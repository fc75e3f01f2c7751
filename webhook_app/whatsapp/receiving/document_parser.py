"""Sorts the items of a webhook document into events, ignored and unreadable items.

The work per document is bounded: after MAX_ITEMS items that are not ordinary statuses, the rest of each list is
quarantined unread, as one entry. Many unreadable items with the same reason share an entry, too.
Formats from Meta's webhook reference as of September 2026.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import inf
from typing import Any, NamedTuple

from msgspec import Struct

from webhook_app.whatsapp.accounts import health_signals
from webhook_app.whatsapp.events import InboundMessage, NumberChange, Parsed, StatusEvent, Unreadable
from webhook_app.whatsapp.json_text import canonical, compact
from webhook_app.whatsapp.people import identity
from webhook_app.whatsapp.people.keywords import Keywords
from webhook_app.whatsapp.receiving import handovers, inbound, statuses
from webhook_app.whatsapp.receiving.plain_delivery import TEST_ENTRY, TEST_NUMBER

Object = Mapping[str, Any]

MAX_ITEMS = 5_000
"""Items other than statuses that are read of one document; Meta sends up to 1 000 updates in one."""
MAX_STATUSES = 20_000
"""Statuses that are read of one document here; plain_delivery.py reads any number of ordinary ones."""

_OBJECT = "whatsapp_business_account"
_MAX_SINGLE = 10  # unreadable items with the same reason that are quarantined one by one; more share an entry
_MAX_TEXT = 2**16
"""Bytes of unreadable items of a document that are kept as text, twice and in ASCII: six times what was received."""
_MAX_REASONS = 20  # that are told apart in one document, of unreadable and of ignored items
_MAX_CONTACTS = 3
"""Copied into a quarantined item. Inbound messages come with one; copies of many would multiply in size."""


class _ChangeOrigin(Struct, frozen=True, gc=False):
    entry: Object
    field: str
    value: Object
    waba_id: str
    number: str


class _Unreadable(NamedTuple):
    """An item that could not be read, and an entry of a webhook that holds it alone."""

    reason: str
    field: str
    waba_id: str
    item: Any
    entry: Any


class DocumentParser:
    """Adds the items of one webhook document to `parsed`. `limited`: bound the work, as for received documents."""

    def __init__(self, words: Keywords, *, limited: bool = True) -> None:
        self.parsed = Parsed()
        self._words = words
        self._count = 0
        self._unreadable: dict[tuple[str, ...], list[_Unreadable]] = {}
        self._text_left = _MAX_TEXT
        self._items_left: float = MAX_ITEMS if limited else inf
        self._statuses_left: float = MAX_STATUSES if limited else inf

    def read(self, document: Any) -> None:
        """Add all items of a decoded document."""
        if type(document) is not dict:
            return self._add_unreadable("the body is not an object", "", "", document, document)
        if document.get("object") != _OBJECT:
            return self._ignore("other object")
        entries = document.get("entry")
        if type(entries) is not list:
            return self._add_unreadable("entry is not a list", "", "", document, document)
        for position, entry in enumerate(entries):
            if self._items_left <= 0:
                rest = entries[position:]
                self._add_rest("", "", rest, _webhook(rest), _entry_items(rest))
                break
            self._read_entry(entry)
        for alike in self._unreadable.values():
            self._add_alike(alike)
        return None

    def _read_entry(self, entry: Any) -> None:
        changes = entry.get("changes") if type(entry) is dict else None
        if type(changes) is not list:
            self._items_left -= 1
            if type(entry) is not dict:
                return self._quarantine("an entry is not an object", "", "", entry, entry)
            if entry.get("changed_fields") is not None:  # the app is subscribed without "include values"
                return self._ignore("changed_fields without values")
            return self._quarantine("changes is not a list", "", _identifier(entry.get("id")), entry, entry)
        waba_id = _identifier(entry.get("id"))
        for position, change in enumerate(changes):
            if self._items_left <= 0:
                rest = changes[position:]
                self._add_rest("", waba_id, rest, _webhook([_entry(waba_id, rest)]), _change_items(rest))
                break
            self._items_left -= 1
            value = change.get("value") if type(change) is dict else None
            if type(value) is not dict:
                reason = "a change without an object as value"
                self._quarantine(reason, "", waba_id, change, _entry(waba_id, [change]))
                continue
            field = change.get("field")
            field = field if type(field) is str else _field_by_keys(value)
            number = _number_of(value, "recipient" if field == handovers.FIELD else "metadata")
            if waba_id == TEST_ENTRY or number == TEST_NUMBER:
                self._ignore("dashboard test", count=_item_count(value))
            else:
                self._read_change(_ChangeOrigin(entry, field, value, waba_id, number))
        return None

    def _read_change(self, change: _ChangeOrigin) -> None:
        if change.field == "messages":
            self._read_messages(change)
        elif change.field == "calls":
            self._read_calls(change)
        elif change.field == "user_preferences":
            self._read_links(change.value)
            self._read_items(
                change, "user_preferences", inbound.read_preference, self.parsed.preferences.append
            )
        elif change.field == handovers.FIELD:
            self._read_handover(change)
        elif change.field in health_signals.FIELDS:
            self._read_signal(change)
        else:
            self._ignore(f"field {change.field[:64]}" if change.field else "no field")

    def _read_handover(self, change: _ChangeOrigin) -> None:
        field, value, waba_id = change.field, change.value, change.waba_id
        try:
            event, links = handovers.read_handover(value, waba_id, change.number)
        except (TypeError, ValueError, AttributeError) as fault:
            lone = _entry(waba_id, [{"field": field, "value": value}])
            self._quarantine(f"{field}: {fault}"[:200], field, waba_id, value, lone)
        else:
            identity.add_links(self.parsed.links, links, event.timestamp)
            self.parsed.handovers.append(event)
            self._count += 1

    def _read_signal(self, change: _ChangeOrigin) -> None:
        entry, field, value, waba_id = change.entry, change.field, change.value, change.waba_id
        try:
            self.parsed.signals.append(health_signals.read_signal(entry, field, value, waba_id))
            self._count += 1
        except (TypeError, ValueError, AttributeError) as fault:
            context = {name: entry[name] for name in ("id", "time") if name in entry}
            item = context | {"changes": [value]}
            lone = context | {"changes": [{"field": field, "value": value}]}
            self._quarantine(f"{field}: {fault}"[:200], field, waba_id, item, lone)

    def _read_messages(self, change: _ChangeOrigin) -> None:
        value, parsed = change.value, self.parsed
        before = self._count
        if change.number:
            display = value["metadata"].get("display_phone_number")
            parsed.numbers.add((change.number, display[:160] if type(display) is str else "", change.waba_id))
        known = len(parsed.statuses)
        self._read_items(change, "statuses", statuses.read_status, parsed.statuses.append)
        self._read_links(value, parsed.statuses[known:])
        if "messages" in value:
            read = partial(inbound.read_message, self._words, identity.only_contact(value))
            self._read_items(change, "messages", read, self._add_message)
        if "errors" in value:
            read_error = partial(health_signals.read_error, change.entry, value)
            self._read_items(change, "errors", read_error, parsed.signals.append)
        actions = value.get("user_actions")
        if type(actions) is list and actions:
            self._ignore("user_actions", count=len(actions))
        if self._count == before:
            self._ignore("messages without items")

    def _read_links(self, value: Object, events: Iterable[StatusEvent] = ()) -> None:
        for link, at in identity.links_in(value, events).items():
            identity.add_links(self.parsed.links, (link,), at)

    def _add_message(self, event: InboundMessage | NumberChange) -> None:
        if isinstance(event, NumberChange):
            self.parsed.number_changes.append(event)
        else:
            self.parsed.inbound.append(event)

    def _read_calls(self, change: _ChangeOrigin) -> None:
        """Read calls, which can open the 24-hour window, and ignore their statuses."""
        before = self._count
        self._read_links(change.value)
        self._read_items(change, "calls", inbound.read_call, self.parsed.inbound.append)
        call_statuses = change.value.get("statuses")
        if type(call_statuses) is list and call_statuses:
            self._ignore("call status", count=len(call_statuses))
        if self._count == before:
            self._ignore("calls without items")

    def _read_items(
        self, change: _ChangeOrigin, key: str, read: Callable[..., Any], add: Callable[[Any], None]
    ) -> None:
        items = change.value.get(key)
        if items is None:
            return
        if type(items) is not list:
            lone = _entry_with(change, key, items)
            self._quarantine(f"{key} is not a list", change.field, change.waba_id, items, lone)
            return
        for position, item in enumerate(items):
            if self._items_left <= 0 or self._statuses_left <= 0:
                rest = items[position:]
                document = _webhook([_entry_with(change, key, rest)])
                self._add_rest(change.field, change.waba_id, rest, document, len(rest))
                break
            try:
                event = read(item, change.waba_id, change.number)
            except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as fault:
                self._items_left -= 1
                lone = _entry_with(change, key, [item])
                self._quarantine(f"{key}: {fault}"[:200], change.field, change.waba_id, item, lone)
                continue
            if type(event) is str:
                self._items_left -= 1
                self._ignore(event)
            else:
                if key == "statuses":
                    self._statuses_left -= 1
                else:
                    self._items_left -= 1
                self._count += 1
                add(event)

    def _ignore(self, reason: str, count: int = 1) -> None:
        ignored = self.parsed.ignored
        if reason not in ignored and len(ignored) >= _MAX_REASONS:
            reason = "others"
        ignored[reason] = ignored.get(reason, 0) + count
        self._count += count

    def _quarantine(self, reason: str, field: str, waba_id: str, item: Any, entry: Any) -> None:
        """Quarantine an item at the end of the document, together with others of the same reason."""
        self._count += 1
        key: tuple[str, ...] = (reason, field, waba_id)
        if key not in self._unreadable and len(self._unreadable) >= _MAX_REASONS:
            key = ("others",)
        self._unreadable.setdefault(key, []).append(_Unreadable(reason, field, waba_id, item, entry))

    def _add_alike(self, alike: list[_Unreadable]) -> None:
        if len(alike) <= _MAX_SINGLE:
            for reason, field, waba_id, item, entry in alike:
                self._add_unreadable(reason, field, waba_id, item, _webhook([entry]))
            return
        first, reasons = alike[0], {each.reason for each in alike}
        reason = first.reason if len(reasons) == 1 else f"several faults, such as {first.reason}"[:200]
        field = first.field if len({each.field for each in alike}) == 1 else ""
        waba_id = first.waba_id if len({each.waba_id for each in alike}) == 1 else ""
        document = _webhook([each.entry for each in alike])
        self._add_unreadable(reason, field, waba_id, [each.item for each in alike], document, len(alike))

    def _add_rest(self, field: str, waba_id: str, items: list[Any], document: Any, count: int) -> None:
        """Quarantine the unread rest of a list as one entry."""
        self._count += count
        reason = f"not read: the body has more than {MAX_ITEMS} items"
        self._add_unreadable(reason, field, waba_id, items, document, count)

    def _add_unreadable(
        self, reason: str, field: str, waba_id: str, item: Any, document: Any, count: int = 1
    ) -> None:
        body = compact(document)
        self._text_left -= len(body)
        text = document_json = ""
        if self._text_left >= 0:
            text, document_json, body = canonical(item), canonical(document), b""
        digest = hashlib.sha256(body or text.encode()).digest()
        found = Unreadable(reason, field, waba_id, text, digest, body, document_json, count)
        self.parsed.unreadable.append(found)


_KEYS_OF_FIELD = {
    "messages": ("statuses", "messages"),
    "calls": ("calls",),
    "user_preferences": ("user_preferences",),
    "account_update": ("waba_info", "ban_info", "violation_info", "restriction_info"),
    "message_template_quality_update": ("new_quality_score",),
    "template_category_update": ("new_category",),
    "account_alerts": ("alert_info",),
    handovers.FIELD: (handovers.PASSED, handovers.TAKEN),
}


def _field_by_keys(value: Object) -> str:
    """Infer a missing `field`, as in one of Meta's examples, from the keys of the value."""
    for field, keys in _KEYS_OF_FIELD.items():
        if any(value.get(key) is not None for key in keys):
            return field
    return ""


def _number_of(value: Object, key: str) -> str:
    described = value.get(key)
    return _identifier(described.get("phone_number_id")) if type(described) is dict else ""


def _identifier(value: Any) -> str:
    """Return an id, given as string or number, as text; empty if it is neither."""
    return value[:64] if type(value) is str else str(value)[:64] if type(value) is int else ""


def _item_count(value: Object) -> int:
    lists = [value.get(key) for key in ("statuses", "messages", "errors", "user_preferences", "calls")]
    return sum(len(items) for items in lists if type(items) is list) or 1


def _change_items(changes: list[Any]) -> int:
    values = (change.get("value") if type(change) is dict else None for change in changes)
    return sum(_item_count(value) if type(value) is dict else 1 for value in values)


def _entry_items(entries: list[Any]) -> int:
    found = (entry.get("changes") if type(entry) is dict else None for entry in entries)
    return sum(_change_items(changes) if type(changes) is list else 1 for changes in found)


def _webhook(entries: list[Any]) -> dict[str, Any]:
    return {"object": _OBJECT, "entry": entries}


def _entry(waba_id: str, changes: list[Any]) -> dict[str, Any]:
    return {"id": waba_id, "changes": changes}


def _entry_with(change: _ChangeOrigin, key: str, items: Any) -> dict[str, Any]:
    """Build an entry with only these items and the ids of their context, to keep it small."""
    metadata, contacts = change.value.get("metadata"), change.value.get("contacts")
    context: dict[str, Any] = {"metadata": _ids(metadata, "display_phone_number", "phone_number_id")}
    if type(contacts) is list and len(contacts) <= _MAX_CONTACTS:
        context["contacts"] = [_ids(each, "wa_id", "user_id", "parent_user_id") for each in contacts]
    return _entry(change.waba_id, [{"field": change.field, "value": context | {key: items}}])


def _ids(source: Any, *names: str) -> dict[str, str]:
    given = source if type(source) is dict else {}
    return {name: str(given[name])[:160] for name in names if type(given.get(name)) in (str, int)}
