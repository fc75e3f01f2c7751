"""Which keys are one person's, as webhooks show it: contacts[] and items that carry several keys, system messages.

Odd values give no link, never an exception. Nobody is decided to be the same person by likeness of numbers here.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from webhook_app.whatsapp.events import NumberChange
from webhook_app.whatsapp.people.contacts import contact_key, phone_key, user_key
from webhook_app.whatsapp.receiving.statuses import digits, plain, read_timestamp

Link = tuple[str, str]
"""(user_id, contact) as the store keeps it."""

_PERSON_IN = {  # where an item of this list has the phone, the BSUID and the parent BSUID of its person
    "contacts": ("wa_id", "user_id", "parent_user_id"),
    "messages": ("from", "from_user_id", "from_parent_user_id"),
    "calls": ("from", "from_user_id", "from_parent_user_id"),
    "user_preferences": ("wa_id", "user_id", "parent_user_id"),
}
_CHANGES = frozenset(("user_changed_number", "customer_changed_number", "user_changed_user_id"))
"""The second is the first one's name in older versions of the Graph API."""


def links_in(value: Mapping[str, Any]) -> set[Link]:
    """Every link that a change's value shows; those within a message's status are the status' own.

    Hot: contacts[] is as long as the statuses beside it.
    """
    found: set[Link] = set()
    for name, (phone, user_id, parent_id) in _PERSON_IN.items():
        items = value.get(name)
        if type(items) is not list:
            continue
        for item in items:
            if type(item) is dict:
                get = item.get
                try:
                    found.update(links_of(get(phone), get(user_id), get(parent_id)))
                except TypeError:  # a list or an object where a text belongs
                    found.update(links_of(digits(get(phone)), digits(get(user_id)), digits(get(parent_id))))
                if name == "messages":
                    found.update(_told_by(item))
    found.update(_beside(value))
    return found


@lru_cache(maxsize=65536, typed=True)
def links_of(phone: Any, user_id: Any, parent_id: Any) -> tuple[Link, ...]:
    """A chain through the keys of one person; Meta repeats people, and so does the cache."""
    phone, user_id = digits(phone), digits(user_id)
    user, parent = user_key(user_id), user_key(digits(parent_id))
    contact = contact_key(phone, user_id)
    pairs = ((user, contact), (parent, contact))
    return tuple((one, other) for one, other in pairs if one and other and one != other)


def _told_by(item: Mapping[str, Any]) -> Iterable[Link]:
    """What a message says about its sender's keys: a change of them, or a phone number given on request."""
    system = item.get("system")
    if item.get("type") == "system" and type(system) is dict:
        yield from _old_and_new(item, system)
    elif item.get("origin") == "contact_request":
        yield from _given_number(item)


def _old_and_new(item: Mapping[str, Any], system: Mapping[str, Any]) -> Iterable[Link]:
    kind = _change_in(system)
    if not kind:
        return
    previous = (digits(system.get(f"previous_{name}")) for name in ("user_id", "parent_user_id"))
    present = (digits(system.get(name)) for name in ("user_id", "parent_user_id"))
    yield from links_of(digits(item.get("from")), *previous)
    yield from links_of(_new_phone(system), *present)
    before, after = _changed(kind, item, system)
    if before and after and before != after:
        yield before, after


def _given_number(item: Mapping[str, Any]) -> Iterable[Link]:
    """Asked for, people give their own number: one contact with one phone."""
    cards = item.get("contacts")
    card = cards[0] if type(cards) is list and len(cards) == 1 else None
    phones = card.get("phones") if type(card) is dict else None
    only = phones[0] if type(phones) is list and len(phones) == 1 else None
    if type(only) is dict:
        phone = phone_key(digits(only.get("wa_id")) or digits(only.get("phone")))
        user = user_key(digits(item.get("from_user_id")))
        if phone and user:
            yield user, phone


def _beside(value: Mapping[str, Any]) -> Iterable[Link]:
    """The one contact of a value is the person its one item is about, even where the two carry no common key."""
    contacts, statuses = value.get("contacts"), value.get("statuses")
    if not (type(contacts) is type(statuses) is list and len(contacts) == len(statuses) == 1):
        return
    person, status = contacts[0], statuses[0]
    if type(person) is dict and type(status) is dict and "recipient_type" not in status:
        yield from links_beside(
            digits(person.get("wa_id")),
            digits(person.get("user_id")),
            digits(status.get("recipient_id")),
            digits(status.get("recipient_user_id")),
        )


@lru_cache(maxsize=65536)
def links_beside(phone: Any, user_id: Any, recipient: str, recipient_user_id: str) -> tuple[Link, ...]:
    """The link between the one contact of a change and whom its one status was sent to, if their keys differ."""
    named = contact_key(digits(phone), digits(user_id))
    written_to = contact_key(digits(recipient), digits(recipient_user_id))
    if named and written_to and named != written_to:
        return ((max(named, written_to), min(named, written_to)),)
    return ()


def sole_contact(value: Mapping[str, Any]) -> str:
    """The key of the only contact beside a value's items; empty when there is none, or more than one."""
    contacts = value.get("contacts")
    person = contacts[0] if type(contacts) is list and len(contacts) == 1 else None
    return (
        contact_key(digits(person.get("wa_id")), digits(person.get("user_id")))
        if type(person) is dict
        else ""
    )


def read_number_change(item: Mapping[str, Any], waba_id: str, number: str) -> NumberChange | str:
    """A message of type `system`: from which key to which a person went, or why it is ignored.

    Raises ValueError when the change does not say both. https://developers.facebook.com/docs/whatsapp, August 2026.
    """
    system = item.get("system")
    kind = _change_in(system) if type(system) is dict else ""
    if type(system) is not dict or not kind:
        return "system message"
    message_id = item.get("id")
    if type(message_id) is not str or not 0 < len(message_id) <= 512:
        raise ValueError("the id is missing, no text or too long")
    old, new = _changed(kind, item, system)
    if not old or not new:
        raise ValueError(f"{kind} without an old and a new key")
    return NumberChange(message_id, number, waba_id, read_timestamp(item.get("timestamp")), old, new)


def _change_in(system: Mapping[str, Any]) -> str:
    kind = plain(system.get("type"), 40)
    return kind if kind in _CHANGES else ""


def _changed(kind: str, item: Mapping[str, Any], system: Mapping[str, Any]) -> tuple[str, str]:
    """The phone numbers if both are told and differ, else the user ids, else what there is."""
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
    return digits(system.get("wa_id") or system.get("new_wa_id"))  # the second name is that of older versions
