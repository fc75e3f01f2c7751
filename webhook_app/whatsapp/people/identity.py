"""Links between the keys of one person, read from contacts[], from items with several keys and from system messages.

Invalid values give no link, never an exception. Similar numbers alone never link two keys.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from webhook_app.whatsapp.events import NumberChange, StatusEvent
from webhook_app.whatsapp.people.contacts import contact_key, phone_key, user_key
from webhook_app.whatsapp.receiving.statuses import (
    bounded_text,
    cached_if_short,
    digits,
    read_message_id,
    read_timestamp,
)

Link = tuple[str, str]
"""(user_id, contact), as stored."""
LinkTimes = dict[Link, int | None]
"""Links with the earliest time of an item that shows them."""

_PERSON_IN = {  # the keys of phone, BSUID and parent BSUID in the items of each list
    "contacts": ("wa_id", "user_id", "parent_user_id"),
    "messages": ("from", "from_user_id", "from_parent_user_id"),
    "calls": ("from", "from_user_id", "from_parent_user_id"),
    "user_preferences": ("wa_id", "user_id", "parent_user_id"),
}
_TIMED = ("messages", "calls", "user_preferences")
_KEYS_IN = {  # the keys of phone and BSUID in the items that have a time
    "statuses": ("recipient_id", "recipient_user_id"),
    **{name: _PERSON_IN[name][:2] for name in _TIMED},
}
_CHANGES = frozenset(("user_changed_number", "customer_changed_number", "user_changed_user_id"))
"""The second is the name of the first in older versions of the Graph API."""


def links_in(value: Mapping[str, Any], events: Iterable[StatusEvent] = ()) -> LinkTimes:
    """Return all links in a change's value, except those that its status events show themselves.

    Hot path: contacts[] is as long as the list of statuses.
    """
    found: LinkTimes = {}
    _add_links_of_contacts(found, value, links_of_events(events))
    for name in _TIMED:
        items = value.get(name)
        for item in items if type(items) is list else ():
            if type(item) is dict:
                at = read_timestamp(item.get("timestamp"))
                add_links(found, _links_of_item(item, name), at)
                if name == "messages":
                    add_links(found, _links_of_message(item), at)
    return found


def _add_links_of_contacts(found: LinkTimes, value: Mapping[str, Any], own: set[Link]) -> None:
    contacts = value.get("contacts")
    if type(contacts) is not list:
        return
    shown = {link for item in contacts if type(item) is dict for link in _links_of_item(item, "contacts")}
    shown.update(_recipient_links(value))
    if shown := shown - own:
        first_at, first = first_times(_items_of_persons(value))
        for link in shown:
            add_links(found, (link,), first_at.get(link[1], first))


def _links_of_item(item: Mapping[str, Any], name: str) -> tuple[Link, ...]:
    phone, user_id, parent_id = map(item.get, _PERSON_IN[name])
    try:
        return links_of(phone, user_id, parent_id)
    except TypeError:  # a list or an object instead of a text
        return links_of(digits(phone), digits(user_id), digits(parent_id))


def add_links(found: LinkTimes, links: Iterable[Link], at: int | None) -> None:
    """Add links that an item of this time shows; the earliest time of a link counts."""
    for link in links:
        known = found.get(link)
        found[link] = at if known is None else known if at is None else min(known, at)


def links_of_events(events: Iterable[StatusEvent]) -> set[Link]:
    """Return the links that status events show themselves, with a time each."""
    return {(e.user_id, e.contact) for e in events} | {
        (e.parent_user_id, e.contact) for e in events if e.parent_user_id
    }


def first_times(items: Iterable[tuple[str, int | None]]) -> tuple[dict[str, int], int | None]:
    """The earliest time of the items that name each key, and of all items."""
    found: dict[str, int] = {}
    for key, at in items:
        if at is not None:
            known = found.get(key)
            if known is None or at < known:
                found[key] = at
    return found, min(found.values(), default=None)


def _items_of_persons(value: Mapping[str, Any]) -> Iterable[tuple[str, int | None]]:
    """Yield the key of the person and the time of each item of the value that has a time."""
    for name, (phone, user_id) in _KEYS_IN.items():
        items = value.get(name)
        for item in items if type(items) is list else ():
            if type(item) is dict:
                key = contact_key(digits(item.get(phone)), digits(item.get(user_id)))
                yield key, read_timestamp(item.get("timestamp"))


@cached_if_short(maxsize=65536)
def links_of(phone: Any, user_id: Any, parent_id: Any) -> tuple[Link, ...]:
    """Link the keys of one person. Cached, because the same people recur."""
    phone, user_id = digits(phone), digits(user_id)
    user, parent = user_key(user_id), user_key(digits(parent_id))
    contact = contact_key(phone, user_id)
    pairs = ((user, contact), (parent, contact))
    return tuple((one, other) for one, other in pairs if one and other and one != other)


def _links_of_message(item: Mapping[str, Any]) -> Iterable[Link]:
    """Yield the links from a message's content: a number change, or a phone number shared on request."""
    system = item.get("system")
    if item.get("type") == "system" and type(system) is dict:
        yield from _links_of_number_change(item, system)
    elif item.get("origin") == "contact_request":
        yield from _links_of_shared_contact(item)


def _links_of_number_change(item: Mapping[str, Any], system: Mapping[str, Any]) -> Iterable[Link]:
    kind = _change_kind(system)
    if not kind:
        return
    previous = (digits(system.get(f"previous_{name}")) for name in ("user_id", "parent_user_id"))
    present = (digits(system.get(name)) for name in ("user_id", "parent_user_id"))
    yield from links_of(digits(item.get("from")), *previous)
    yield from links_of(_new_phone(system), *present)
    before, after = _old_and_new_keys(kind, item, system)
    if before and after and before != after:
        yield before, after


def _links_of_shared_contact(item: Mapping[str, Any]) -> Iterable[Link]:
    """Yield the link from a contact request's answer: one contact with one phone, which is the person's own.

    None if the message names its sender's number: then the card tells nothing new, or is somebody else's.
    """
    cards = item.get("contacts")
    card = cards[0] if type(cards) is list and len(cards) == 1 else None
    phones = card.get("phones") if type(card) is dict else None
    only = phones[0] if type(phones) is list and len(phones) == 1 else None
    if type(only) is dict:
        phone = phone_key(digits(only.get("wa_id")) or digits(only.get("phone")))
        user = user_key(digits(item.get("from_user_id")))
        if phone and user and not phone_key(digits(item.get("from"))):
            yield user, phone


def _recipient_links(value: Mapping[str, Any]) -> Iterable[Link]:
    """Link the only contact of a value to the recipient of its only status; they may have no common key."""
    contacts, statuses = value.get("contacts"), value.get("statuses")
    if not (type(contacts) is type(statuses) is list and len(contacts) == len(statuses) == 1):
        return
    person, status = contacts[0], statuses[0]
    if type(person) is dict and type(status) is dict and status.get("recipient_type") is None:
        yield from links_to_recipient(
            digits(person.get("wa_id")),
            digits(person.get("user_id")),
            digits(status.get("recipient_id")),
            digits(status.get("recipient_user_id")),
        )


@cached_if_short(maxsize=65536)
def links_to_recipient(phone: Any, user_id: Any, recipient: str, recipient_user_id: str) -> tuple[Link, ...]:
    """Link the only contact of a change to the recipient of its only status, if their keys differ."""
    contact = contact_key(digits(phone), digits(user_id))
    recipient_key = contact_key(digits(recipient), digits(recipient_user_id))
    if contact and recipient_key and contact != recipient_key:
        return ((max(contact, recipient_key), min(contact, recipient_key)),)
    return ()


def only_contact(value: Mapping[str, Any]) -> str:
    """Return the key of a value's only contact; empty if it has none or several."""
    contacts = value.get("contacts")
    person = contacts[0] if type(contacts) is list and len(contacts) == 1 else None
    return (
        contact_key(digits(person.get("wa_id")), digits(person.get("user_id")))
        if type(person) is dict
        else ""
    )


def read_number_change(item: Mapping[str, Any], waba_id: str, number: str) -> NumberChange | str:
    """Parse a message of type `system`: a change of key, or the reason for ignoring it.

    Raises ValueError if the old or the new key is missing. https://developers.facebook.com/docs/whatsapp, August 2026.
    """
    system = item.get("system")
    kind = _change_kind(system) if type(system) is dict else ""
    if type(system) is not dict or not kind:
        return "system message"
    message_id = read_message_id(item)
    old, new = _old_and_new_keys(kind, item, system)
    if not old or not new:
        raise ValueError(f"{kind} without an old and a new key")
    return NumberChange(message_id, number, waba_id, read_timestamp(item.get("timestamp")), old, new)


def _change_kind(system: Mapping[str, Any]) -> str:
    kind = bounded_text(system.get("type"), 40)
    return kind if kind in _CHANGES else ""


def _old_and_new_keys(kind: str, item: Mapping[str, Any], system: Mapping[str, Any]) -> tuple[str, str]:
    """Return old and new key: the phone numbers if both are given and differ, else the user ids, else any."""
    old_phone, new_phone = phone_key(digits(item.get("from"))), phone_key(_new_phone(system))
    old_user, new_user = (
        user_key(digits(system.get("previous_user_id"))),
        user_key(digits(system.get("user_id"))),
    )
    if old_phone and new_phone and old_phone != new_phone:
        return old_phone, new_phone
    if old_phone == new_phone or kind == "user_changed_user_id":
        return old_user, new_user
    return old_phone or old_user, new_phone or new_user


def _new_phone(system: Mapping[str, Any]) -> str:
    return digits(system.get("wa_id") or system.get("new_wa_id"))  # older versions use the second name
