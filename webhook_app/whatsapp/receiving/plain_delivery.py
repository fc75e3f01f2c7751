"""A parser for deliveries that hold only ordinary statuses, as nearly all do. Takes half the time of the full parser.

Returns None for anything unusual, which payload.parse then handles. Where both parse a body, the results are equal;
tests/whatsapp/receiving/test_plain_delivery.py compares them. No decisions here.
A body parsed here is stored as it came, so that all its fields are known ones: none can hold the text of a message.
"""

from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from webhook_app.whatsapp.events import NO_CODE, Parsed, StatusEvent
from webhook_app.whatsapp.json_text import has_long_numbers
from webhook_app.whatsapp.people.identity import (
    Link,
    LinkTimes,
    add_links,
    first_times,
    links_of,
    links_of_events,
    links_to_recipient,
)
from webhook_app.whatsapp.receiving.pricing import pricing_number
from webhook_app.whatsapp.receiving.statuses import (
    CALL_ID,
    MAX_ID_BYTES,
    digits,
    keys_and_country,
    read_callback,
    read_errors,
    read_timestamp,
)

TEST_ENTRY = "0"
TEST_NUMBER = "123456123"  # dummy ids sent by the "Test" button in Meta's dashboard; not counted

_ID_LENGTH, _SECONDS_LENGTH = 64, 10


_ErrorKey = Literal["code", "title", "message", "error_data", "href", "details"]
_Scalar = str | int | float | bool | None
_Error = dict[_ErrorKey, _Scalar | dict[Literal["details"], _Scalar]]


class _Known(Struct, gc=False, forbid_unknown_fields=True):
    """An object that holds no other fields. Those without a default are required."""


class _Pricing(_Known):
    category: str | UnsetType = UNSET
    billable: bool | None = None
    pricing_model: str | None = None
    type: str | None = None


class _Origin(_Known):
    type: str | None = None


class _Conversation(_Known):
    id: str | None = None
    origin: _Origin | None = None
    expiration_timestamp: str | int | None = None


class _Status(_Known):
    id: str
    status: Literal["sent", "delivered", "read", "played", "failed"]
    timestamp: str
    recipient_id: str = ""
    recipient_user_id: str = ""
    recipient_parent_user_id: str = ""
    parent_recipient_user_id: str = ""
    biz_opaque_callback_data: str = ""
    pricing: _Pricing | None = None
    errors: list[_Error] | None = None
    conversation: _Conversation | None = None
    recipient_type: None = None
    type: None = None
    payment: None = None
    recipient_identity_key_hash: str | None = None
    template_id: str = ""


class _Profile(_Known):
    name: str | None = None
    username: str | None = None


class _Contact(_Known):
    wa_id: str | None = None
    user_id: str | None = None
    parent_user_id: str | None = None
    profile: _Profile | None = None
    identity_key_hash: str | None = None


class _Number(_Known):
    phone_number_id: str
    display_phone_number: str = ""


class _Value(_Known):
    statuses: list[_Status]
    metadata: _Number
    contacts: list[_Contact] = []
    messaging_product: str | None = None


class _Change(_Known):
    field: Literal["messages"]
    value: _Value


class _Entry(_Known):
    id: str
    changes: list[_Change]
    time: int | None = None


class _Document(_Known):
    object: Literal["whatsapp_business_account"]
    entry: list[_Entry]


_decode = msgspec.json.Decoder(_Document).decode


class _UnusualError(ValueError):
    """The delivery needs the full parser."""


def read_plain(body: bytes) -> Parsed | None:
    """Parse a body that holds only ordinary statuses; None for any other body."""
    if b"\\u00" in body or has_long_numbers(body):  # such an escape can spell a NUL or a known key
        return None
    parsed = Parsed()
    try:
        for entry in _decode(body).entry:
            for change in entry.changes:
                _read_value(change.value, entry.id, parsed)
    except (ValueError, RecursionError):  # includes msgspec's and Unicode errors
        return None
    return parsed


def _read_value(value: _Value, waba_id: str, parsed: Parsed) -> None:
    number, statuses, contacts = value.metadata.phone_number_id, value.statuses, value.contacts
    is_test = waba_id == TEST_ENTRY or number == TEST_NUMBER
    if is_test or not statuses or len(waba_id) > _ID_LENGTH or len(number) > _ID_LENGTH:
        raise _UnusualError
    if number:
        parsed.numbers.add((number, value.metadata.display_phone_number[:160], waba_id))
    events = [_event(status, number, waba_id) for status in statuses]
    parsed.statuses += events
    if contacts:
        _read_contacts(contacts, statuses, events, parsed.links)


def _read_contacts(
    contacts: list[_Contact], statuses: list[_Status], events: list[StatusEvent], links: LinkTimes
) -> None:
    """Add the links of contacts[] that the events do not show themselves, which is rare."""
    if _are_recipients(contacts, statuses, events):
        return
    shown: set[Link] = set()
    for person in contacts:
        shown.update(links_of(person.wa_id or "", person.user_id or "", person.parent_user_id or ""))
    if len(contacts) == len(statuses) == 1:
        person, status = contacts[0], statuses[0]
        shown.update(
            links_to_recipient(
                person.wa_id or "", person.user_id or "", status.recipient_id, status.recipient_user_id
            )
        )
    shown.difference_update([(e.user_id, e.contact) for e in events])
    if shown and (shown := shown - links_of_events(events)):
        first_at, first = first_times([(e.contact, e.timestamp) for e in events])
        for link in shown:
            add_links(links, (link,), first_at.get(link[1], first))


def _are_recipients(contacts: list[_Contact], statuses: list[_Status], events: list[StatusEvent]) -> bool:
    """Whether each contact is the recipient of a status, in the order of the statuses: failed ones may have none."""
    rest = zip(statuses, events, strict=True)
    for person in contacts:
        for status, event in rest:
            if _is_recipient(person, status, event):
                break
        else:
            return False
    return True


def _is_recipient(person: _Contact, status: _Status, event: StatusEvent) -> bool:
    """Whether all keys of the person are keys of the event: the same ids, each of them valid as it is."""
    return (
        person.wa_id == status.recipient_id
        and (person.user_id or "") == status.recipient_user_id
        and (event.user_id != "" or not person.user_id)
        and not person.parent_user_id
    )


def _event(s: _Status, number: str, waba_id: str) -> StatusEvent:
    if (
        s.id.startswith(CALL_ID)
        or not 0 < len(s.id) <= MAX_ID_BYTES
        or not s.id.isascii()
        or len(s.timestamp) != _SECONDS_LENGTH
    ):
        raise _UnusualError
    callback = s.biz_opaque_callback_data[:1024]
    template, campaign = read_callback(callback) if callback else ("", "")
    if s.template_id and not template:
        template = digits(s.template_id)
    failed = s.status == "failed"
    code, title, details, errors = read_errors(s.errors) if failed else (NO_CODE, "", "", "")
    recipient = s.recipient_id
    if not recipient.isdigit() or len(recipient) > _ID_LENGTH:
        recipient = digits(recipient)
    parent = s.recipient_parent_user_id or s.parent_recipient_user_id
    contact, country, user_id, parent = keys_and_country(recipient, s.recipient_user_id[:160], parent[:160])
    return StatusEvent(
        s.id,
        number,
        waba_id,
        s.status,
        read_timestamp(s.timestamp),
        s.timestamp,
        contact,
        recipient,
        user_id,
        parent,
        "",
        False,
        template,
        campaign,
        country,
        *_category_and_pricing(s),
        callback,
        code,
        title,
        details,
        errors,
    )


def _category_and_pricing(status: _Status) -> tuple[str, int]:
    pricing = status.pricing
    if pricing is None or pricing.category is UNSET:
        if pricing is not None or status.conversation is not None:
            raise _UnusualError
        return "", 0
    number = pricing_number(pricing.billable, pricing.pricing_model, pricing.type)
    return pricing.category[:64].replace("-", "_"), number
