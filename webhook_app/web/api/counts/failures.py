"""/v1/failures: what failed, by whatever one knows of it; each with its meaning and what to do."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from webhook_app.store.counts import failures
from webhook_app.store.counts.failure_filters import FailureFilters
from webhook_app.store.counts.failure_search import search
from webhook_app.store.counts.failures import Failure, FailurePosition
from webhook_app.store.people import contacts
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Code, Contact, Limit, NextCursor, PhoneNumberId, Time, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.errors.catalogue import Domain, ErrorCode, FailureClass, explain
from webhook_app.whatsapp.errors.retry import RetryAdvice, retry_advice, retry_at
from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.people.contacts import InvalidAddress, display, parse_address

_Text = Annotated[str, Meta(max_length=1000, pattern=r"^[^\x00]*$")]
_Place = tuple[Time, _Text, _Text, _Text, Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]]
"""What ids and cursors are made of, as it may come back."""

_Part = Annotated[
    str,
    Meta(
        min_length=1, max_length=200, pattern=r"^[^\x00]*$", description="Part of the title or the details."
    ),
]
_Flag = Annotated[
    bool,
    Meta(description="true: only what is not to be sent again, for good or because the tries are used up."),
]
_Cursor = Annotated[str, Meta(max_length=4000, description="next_cursor of the page before.")]
FailureId = Annotated[str, Meta(description="`id` of a failure, as lists give it.")]
Source = Annotated[
    Literal["webhook", "send"], Meta(description="Who told of it: Meta's webhook, or a sender's failed call.")
]
_MaybeCode = Annotated[int | None, Meta(description="null: it came without one.")]


class Selection(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which failures; an empty text asks for those without the value."""

    code: Code | None = None
    subcode: Code | None = None
    class_: FailureClass | None = field(name="class", default=None)
    domain: Domain | None = None
    contact: Contact | None = None
    phone_number_id: PhoneNumberId | None = None
    waba_id: Word | None = None
    template: Word | None = None
    campaign: Word | None = None
    country: Annotated[Word, Meta(description="ISO 3166, two letters.")] | None = None
    since: Annotated[Time, Meta(description="Not before this time.")] | None = None
    until: Annotated[Time, Meta(description="Before this time.")] | None = None
    text: _Part | None = None
    source: Source | None = None
    dead_letter: _Flag = False


class FailuresQuery(Selection, kw_only=True):
    limit: Limit = 100
    cursor: _Cursor | None = None


class FailureEntry(Struct, kw_only=True):
    """One failure: the error as it came, what it means, what to do. An empty text means that nobody said."""

    id: str
    occurred_at: Time
    received_at: Time
    source: Source
    message_id: Annotated[str, Meta(description="`send:…` for a call that failed before Meta gave an id.")]
    contact: str
    participant: Annotated[str, Meta(description="Group messages: whose copy of it failed.")]
    phone_number_id: str
    waba_id: str
    template: str
    campaign: str
    country: str
    code: _MaybeCode
    subcode: _MaybeCode
    title: str
    details: str
    fbtrace_id: str
    errors: Annotated[Any, Meta(description="All error objects as received.")]
    domain: Domain
    failure_class: FailureClass
    meaning: ErrorCode
    tries: Annotated[
        int,
        Meta(
            description="How often the same (contact, number, template, campaign) had failed with this code before"
            " on that day (UTC); 0 where the advice does not limit the tries."
        ),
    ]
    retry_advice: RetryAdvice
    retry_at: Annotated[
        Time | None, Meta(description="When to send again at the earliest; null: never, or not known.")
    ]
    dead_letter: bool
    contact_affected: Annotated[bool, Meta(description="Whether it counts against the contact.")]


class FailureList(Struct):
    """Failures, the newest first."""

    failures: list[FailureEntry]
    next_cursor: NextCursor


def list_failures(call: Call, query: FailuresQuery) -> FailureList:
    """What failed, the newest first, each with its error object, its meaning and advice.

    All parameters narrow together. A contact is found under every number and user id that belongs to the person.
    """
    before = None if query.cursor is None else _place(query.cursor)
    found = search(call.connection, wanted(call, query), query.limit + 1, before)
    page = found[: query.limit]
    following = cursor.encode(page[-1].place) if len(found) > len(page) else None
    return FailureList([entry_of(failure) for failure in page], following)


def get_failure(call: Call, id: FailureId) -> FailureEntry:  # noqa: A002  the path's name for it
    """One failure."""
    return entry_of(find(call, id))


def find(call: Call, given: str) -> Failure:
    """The failure with this id. Raises ApiError 404."""
    try:
        place = _place(given)
    except ApiError:
        place = None
    found = None if place is None else failures.find(call.connection, place)
    if found is None:
        raise ApiError(404, "not_found", "There is no such failure, or it was too long ago.")
    return found


def wanted(call: Call, query: Selection) -> FailureFilters:
    """The selection as the search takes it. Raises ApiError 400 for a contact that cannot be one."""
    return FailureFilters(
        code=query.code,
        subcode=query.subcode,
        failure_class=query.class_,
        domain=query.domain,
        source=query.source,
        text=query.text,
        phone_number_id=query.phone_number_id,
        waba_id=query.waba_id,
        template=query.template,
        campaign=query.campaign,
        country=query.country,
        contacts=None if query.contact is None else _keys(call, query.contact),
        since=query.since,
        until=query.until,
        dead_letter=query.dead_letter,
    )


def entry_of(failure: Failure) -> FailureEntry:
    subcode = None if failure.error_subcode == NO_CODE else failure.error_subcode
    meaning = explain(failure.error_code, subcode)
    advice = retry_advice(meaning, failure.tries)
    return FailureEntry(
        id=cursor.encode(failure.place),
        occurred_at=failure.occurred_at,
        received_at=failure.received_at,
        source="send" if failure.source == "send" else "webhook",
        message_id=failure.message_id,
        contact=display(failure.contact),
        participant=failure.participant,
        phone_number_id=failure.phone_number_id,
        waba_id=failure.waba_id,
        template=failure.template,
        campaign=failure.campaign,
        country=failure.country,
        code=None if failure.error_code == NO_CODE else failure.error_code,
        subcode=subcode,
        title=failure.title,
        details=failure.details,
        fbtrace_id=failure.fbtrace_id,
        errors=failure.errors,
        domain=meaning.domain,
        failure_class=meaning.failure_class,
        meaning=meaning,
        tries=failure.tries,
        retry_advice=advice,
        retry_at=retry_at(advice, failure.occurred_at),
        dead_letter=advice.final,
        contact_affected=meaning.contact_effect != "none"
        and failure.contact != ""
        and failure.participant == "",
    )


def _keys(call: Call, contact: str) -> tuple[str, ...]:
    address = parse_address(contact)
    if isinstance(address, InvalidAddress):
        raise ApiError(400, "bad_contact", f"The contact cannot be used: {address.reason}.")
    return contacts.keys_of(call.connection, address.key)


def _place(given: str) -> FailurePosition:
    return FailurePosition(*cursor.decode_as(given, _Place))


ENDPOINTS = (
    Endpoint("GET", "/v1/failures", list_failures, "viewer"),
    Endpoint("GET", "/v1/failures/{id}", get_failure, "sender"),
)
