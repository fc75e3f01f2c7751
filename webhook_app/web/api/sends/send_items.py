"""One item of POST /v1/sends: its form, and how it is validated. Each becomes a report, or has a fault."""

import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from webhook_app.web.api.people.addresses import parse_addresses
from webhook_app.web.api.values import Contact, Time, Word, decode_item
from webhook_app.whatsapp.people.contacts import Address, InvalidAddress, if_stored, parse_address, phone_key
from webhook_app.whatsapp.receiving.statuses import MAX_ID_BYTES
from webhook_app.whatsapp.sends.call_redaction import without_credentials
from webhook_app.whatsapp.sends.graph_errors import GraphError, check_size, read_graph_error
from webhook_app.whatsapp.sends.request_shape import request_shape
from webhook_app.whatsapp.sends.send_reports import GENERATED_ID_PREFIX, SendReport, generated_message_id

_MAX_ITEM_BYTES = 128 * 1024
_EARLIEST = datetime(2001, 1, 1, tzinfo=UTC)
_REPORTED_WITHIN = timedelta(days=1)
"""How long after a failed call it may be reported. Later ones would change what is known of days that are judged."""
_MAX_CLOCK_AHEAD_S = 300  # as for Meta's timestamps: further ahead comes from a wrong clock
_MAX_REQUEST_BYTES = 64 * 1024
_MAX_SHAPE_BYTES, _MAX_SHAPE_OF_ACCEPTED = 8 * 1024, 2 * 1024
"""Of a stored request. Accepted calls are many; a template with ten parameters takes 600 bytes."""
_CATEGORIES = (
    *("marketing", "utility", "authentication", "service"),
    *("authentication_international", "marketing_lite", "referral_conversion"),
)
"""Meta's: the four of templates and conversations, and what webhooks have besides."""
# Limits in bytes: an entry of a database index holds 2704. Template and campaign fit with 200 characters each.
_MAX_NUMBER_BYTES = 64

MessageId = Annotated[
    str,
    Meta(
        max_length=MAX_ID_BYTES,
        pattern=r"^[^\x00]*$",
        description="Meta's id of the message, `wamid.…`, at most 512 bytes. A failed call has none; the service"
        " generates one.",
    ),
]
_Name = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00]*$")]
_Number = Annotated[
    str,
    Meta(
        max_length=_MAX_NUMBER_BYTES,
        pattern=r"^[^\x00]*$",
        description="Meta's id of the business number that sent it, at most 64 bytes.",
    ),
]
_SentAt = Annotated[
    Time,
    Meta(
        description="When the call was made; missing or more than five minutes ahead: now. A failed call of more than a"
        " day ago is invalid."
    ),
]
_Error = Annotated[
    dict[str, Any],
    Meta(
        description="Only for a failed call: the error object of Meta's answer, bare or inside `error`. Stored without"
        " credentials, at most 8 KiB.",
    ),
]
_Request = Annotated[
    dict[str, Any],
    Meta(
        description="The body sent to Meta, for the support bundle. Only its shape is stored: keys and types of Meta's"
        " format, the template's name and language, the lengths of texts. Other keys are counted. What exceeds 8 KiB,"
        " or 2 KiB of an accepted call, is left out.",
    ),
]


class SendItem(Struct, kw_only=True, forbid_unknown_fields=True):
    """One send call: accepted by Meta, or failed with `error`."""

    contact: Contact
    input: Annotated[
        Contact | None, Meta(description="`contacts[0].input` of Meta's answer; absent: `contact`.")
    ] = None
    wa_id: Annotated[
        Contact | None,
        Meta(
            description="`contacts[0].wa_id` of Meta's answer: which recipient the number has. Where it is another one,"
            " checks of this API key find its suppressions under the number as well."
        ),
    ] = None
    phone_number_id: _Number = ""
    message_id: MessageId | None = None
    template: _Name | None = None
    campaign: _Name | None = None
    category: (
        Annotated[
            _Name,
            Meta(
                description="marketing, utility, authentication or service, or another one that Meta's webhooks have."
                " Any other text is invalid."
            ),
        ]
        | None
    ) = None
    sent_at: _SentAt | None = None
    error: _Error | None = None
    endpoint: Annotated[Word, Meta(description="The URL called, for the support bundle.")] = ""
    request: _Request | None = None


class _ItemContact(Struct):
    contact: str


_decode_send = msgspec.json.Decoder(SendItem).decode
_decode_contact = msgspec.json.Decoder(_ItemContact).decode


def parse_send(item: Any, now: datetime, stored: Collection[str] = ()) -> tuple[SendReport | None, str]:
    """Return the report, or None, and the fault of the item or its contact. `stored`: odd keys that are stored.

    `item`: JSON as received, or decoded.
    """
    try:
        if isinstance(item, msgspec.Raw):
            send = decode_item(item, _decode_send, _MAX_ITEM_BYTES)
        else:
            send = msgspec.convert(item, SendItem)
        check_message_id(send.message_id or "")
        category = _category(send.category or "")
        _check_bytes("phone_number_id", send.phone_number_id, _MAX_NUMBER_BYTES)
        error = None if send.error is None else _within("error", read_graph_error, send.error)
        if send.request is not None:
            _within("request", _check_request, send.request)
        sent_at = _sent_at(send.sent_at, now)
        _check_age(error, sent_at, now)
    except ValueError as fault:
        return None, _message_of(fault)
    address, given = _recipient(send, stored)
    contact, fault_of_contact = "", ""
    if isinstance(address, InvalidAddress):
        fault_of_contact = f"contact: {address.reason}"
        if error is None or send.message_id:  # it would name a message of anybody
            return None, fault_of_contact
    else:
        contact = address.key
    message_id = send.message_id or _generated_id(send, contact, error, sent_at, now)
    report = SendReport(
        message_id=message_id,
        phone_number_id=send.phone_number_id,
        contact=contact,
        template=send.template or "",
        campaign=send.campaign or "",
        category=category,
        sent_at=(sent_at or now).replace(microsecond=0),
        error=error,
        endpoint=str(without_credentials(send.endpoint)),
        request_json=_shape(send),
        given=given if given != contact else "",
    )
    return report, fault_of_contact


def _recipient(send: SendItem, stored: Collection[str]) -> tuple[Address | InvalidAddress, str]:
    """Return the recipient, and the key of the number that the sender wrote to if Meta named the recipient."""
    address = if_stored(parse_address(send.contact), stored)
    recipient = phone_key(send.wa_id or "") if send.error is None else ""
    if not recipient:
        return address, ""
    given = parse_address(send.input) if send.input else address
    key = given.literal if isinstance(given, InvalidAddress) else given.key
    return Address(recipient, send.contact, "phone", is_variant=False), key


def literal_contacts(sends: Iterable[msgspec.Raw]) -> set[str]:
    """The keys of contacts that no numbering plan knows, which count if they are stored."""
    texts = []
    for item in sends:
        with suppress(ValueError):
            texts.append(decode_item(item, _decode_contact, _MAX_ITEM_BYTES).contact)
    return {found.literal for found in parse_addresses(texts) if found.literal}


def _generated_id(
    send: SendItem, contact: str, error: GraphError | None, sent_at: datetime | None, now: datetime
) -> str:
    addressee = contact or send.contact
    return generated_message_id(
        addressee, send.phone_number_id, send.template or "", send.campaign or "", error, sent_at, now
    )


def _check_bytes(key: str, value: str, limit: int) -> None:
    if len(value.encode()) > limit:
        raise ValueError(f"{key}: longer than {limit} bytes")


def check_message_id(message_id: str) -> None:
    """Raise ValueError for an id that is too long or in the form of generated ones."""
    _check_bytes("message_id", message_id, MAX_ID_BYTES)
    if message_id.startswith(GENERATED_ID_PREFIX):
        raise ValueError(f"message_id: begins with `{GENERATED_ID_PREFIX}`, as only ids of this service do")


def _category(given: str) -> str:
    """Return the category as webhooks spell it. Raises ValueError for one that Meta does not have."""
    category = given.lower().replace("-", "_")
    if category and category not in _CATEGORIES:
        raise ValueError(f"category: expected one of {', '.join(_CATEGORIES)}")
    return category


def _within(key: str, read: Any, raw: Any) -> Any:
    try:
        return read(raw)
    except RecursionError:
        raise ValueError(f"{key}: nested too deeply") from None
    except ValueError as fault:
        raise ValueError(f"{key}: {fault}") from None


def _check_request(raw: dict[str, Any]) -> None:
    check_size(raw, _MAX_REQUEST_BYTES)


def _shape(send: SendItem) -> str:
    most = _MAX_SHAPE_OF_ACCEPTED if send.error is None else _MAX_SHAPE_BYTES
    return "" if send.request is None else request_shape(send.request, most)


def _sent_at(given: datetime | None, now: datetime) -> datetime | None:
    if given is None or (given - now).total_seconds() > _MAX_CLOCK_AHEAD_S:
        return None
    if given < _EARLIEST:
        raise ValueError("sent_at: before 2001")
    return given.astimezone(UTC)


def _check_age(error: GraphError | None, sent_at: datetime | None, now: datetime) -> None:
    if error is not None and sent_at is not None and now - sent_at > _REPORTED_WITHIN:
        raise ValueError("sent_at: more than a day ago; a failed call can be reported for a day")


def _message_of(fault: Exception) -> str:
    """msgspec's message, with the path first."""
    found = re.fullmatch(r"(.*) - at `\$\.?(.*)`", str(fault), re.DOTALL)
    return f"{found[2]}: {found[1]}" if found and found[2] else str(fault)
