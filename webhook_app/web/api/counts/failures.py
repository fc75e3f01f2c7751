"""/v1/failures: a search of failures, each with the meaning of its error and what to do."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, convert, field
from msgspec.structs import replace

from webhook_app.pipeline.incidents.details.incident_details import held_groups
from webhook_app.rules.sends.retries import Reason, State
from webhook_app.store.counts.failures import failures
from webhook_app.store.counts.failures.failure_filters import FailureFilters
from webhook_app.store.counts.failures.failure_search import search
from webhook_app.store.counts.failures.failures import Failure, FailurePosition
from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.people import contacts
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from, known_code
from webhook_app.web.api.people.addresses import require_address
from webhook_app.web.api.values import Code, Contact, Limit, NextCursor, PhoneNumberId, Time, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.errors.catalogue import Domain, ErrorCode, FailureClass, explain
from webhook_app.whatsapp.errors.retry import RetryAdvice, retry_advice, retry_at
from webhook_app.whatsapp.people.contacts import display

_Text = Annotated[str, Meta(max_length=1000, pattern=r"^[^\x00]*$")]
_Position = tuple[Time, _Text, _Text, _Text, Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]]
"""The contents of ids and cursors, with bounds for those that clients send back."""

_Part = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Part of the error's title or details.",
    ),
]
_Flag = Annotated[
    bool,
    Meta(
        description="true: only failures that must not be sent again: by their code, because all retries are used up,"
        " or because their retry was given up, has expired, or its contact may not be messaged."
    ),
]
_IncidentId = Annotated[
    int,
    Meta(
        ge=0,
        le=2**63 - 1,
        description="Only failures that this incident holds: with one of its codes, in the groups of its alerts.",
    ),
]
FailureCursor = Annotated[str, Meta(max_length=4000, description="`next_cursor` of the previous page.")]
FailureId = Annotated[str, Meta(description="The `id` of a failure in /v1/failures.")]
Source = Annotated[
    Literal["webhook", "send"],
    Meta(description="webhook: reported by Meta; send: a failed call, reported by a sender."),
]
_MaybeCode = Annotated[int | None, Meta(description="null: the failure has none.")]


class Selection(Struct, kw_only=True, forbid_unknown_fields=True):
    """Filters for failures. An empty text matches failures without the value."""

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
    since: Annotated[Time, Meta(description="Failures at or after this time.")] | None = None
    until: Annotated[Time, Meta(description="Failures before this time.")] | None = None
    text: _Part | None = None
    source: Source | None = None
    dead_letter: _Flag = False
    incident_id: _IncidentId | None = None


class FailuresQuery(Selection, kw_only=True):
    limit: Limit = 100
    cursor: FailureCursor | None = None


class FailureRetry(Struct, kw_only=True):
    """The retry of a failure, for those that senders claim with POST /v1/retries/claim."""

    id: int
    state: State
    reason: Annotated[Reason, Meta(description="Why it is done or dead.")]
    why: Annotated[str, Meta(description="Why its contact may not be messaged; else empty.")]
    attempts: int
    sent_message_id: Annotated[str, Meta(description="The message as which it was sent again; else empty.")]


class FailureEntry(Struct, kw_only=True):
    """One failure: the error as received, its meaning and what to do. An empty text means unknown."""

    id: str
    occurred_at: Time
    received_at: Time
    source: Source
    message_id: Annotated[
        str, Meta(description="`send:…` for a call that failed before Meta assigned an id.")
    ]
    contact: str
    participant: Annotated[str, Meta(description="For group messages: the participant whose copy failed.")]
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
            description="Earlier failures on the same day (UTC) with the same contact, number, template, campaign and"
            " code; 0 if the advice does not limit the attempts."
        ),
    ]
    retry_advice: RetryAdvice
    retry_at: Annotated[
        Time | None, Meta(description="Earliest time to send again; null: never, or unknown.")
    ]
    dead_letter: bool
    retry: Annotated[
        FailureRetry | None, Meta(description="null: its code has no retry, or nobody has claimed any since.")
    ]
    contact_affected: Annotated[bool, Meta(description="Whether it counts towards suppressing the contact.")]


class FailureList(Struct):
    """Failures, the newest first."""

    failures: list[FailureEntry]
    next_cursor: NextCursor


def list_failures(call: Call, query: FailuresQuery) -> FailureList:
    """Search failures, the newest first, each with its error object, its meaning and advice.

    A failure must match every parameter. A contact matches under every number and user id of the person,
    each for the time they held it.
    """
    before = None if query.cursor is None else _position(query.cursor)
    found = search(call.connection, failure_filters(call, query), query.limit + 1, before)
    page, following = cursor.cut(found, query.limit, lambda failure: failure.place)
    return FailureList([entry_of(failure) for failure in page], following)


def get_failure(call: Call, id: FailureId) -> FailureEntry:  # noqa: A002  the path's name for it
    """Return one failure."""
    return entry_of(find_failure(call, id))


def find_failure(call: Call, failure_id: str) -> Failure:
    """Return the failure with this id. Raises ApiError 404."""
    try:
        position = _position(failure_id)
    except ApiError:
        position = None
    found = None if position is None else failures.find(call.connection, position)
    if found is None:
        raise ApiError(
            404, "not_found", "There is no such failure, or it is older than the retention period."
        )
    return found


def failure_filters(call: Call, query: Selection) -> FailureFilters:
    """Return the filters for the search. Raises ApiError 400 for an invalid contact or incident."""
    spans = None
    if query.contact is not None:
        key = require_address(call.connection, query.contact).key
        spans = contacts.spans_of_many(call.connection, [key])[key]
    filters = convert(query, FailureFilters, from_attributes=True)
    filters = replace(filters, failure_class=query.class_, spans=spans)
    return filters if query.incident_id is None else _of_incident(call, query.incident_id, filters)


def _of_incident(call: Call, incident_id: int, filters: FailureFilters) -> FailureFilters:
    """Narrow the filters to all failures that the incident holds, from its start to its end."""
    incident = incidents.get(call.connection, incident_id)
    if incident is None:
        raise ApiError(400, "bad_incident", f"incident_id: there is no incident {incident_id}.")
    members = alerts.of_incidents(call.connection, [incident.id])
    # `until` is exclusive.
    ends = [] if incident.ended_at is None else [incident.ended_at + timedelta(microseconds=1)]
    ends += [] if filters.until is None else [filters.until]
    return replace(
        filters,
        codes=tuple(incident.codes),
        groups=tuple(held_groups(incident, members)),
        since=max(incident.began_at, filters.since or incident.began_at),
        until=min(ends, default=None),
    )


def entry_of(failure: Failure) -> FailureEntry:
    subcode = known_code(failure.error_subcode)
    meaning = explain(failure.error_code, subcode)
    advice = retry_advice(meaning, failure.tries)
    retry = _retry(failure)
    dead = advice.final or (retry is not None and retry.state == "dead")
    due_at = failure.retry_due_at if retry is not None else retry_at(advice, failure.occurred_at)
    return entry_from(
        failure,
        FailureEntry,
        id=cursor.encode(failure.place),
        source="send" if failure.source == "send" else "webhook",
        contact=display(failure.contact),
        code=known_code(failure.error_code),
        subcode=subcode,
        domain=meaning.domain,
        failure_class=meaning.failure_class,
        meaning=meaning,
        retry_advice=advice,
        retry_at=None if dead or (retry is not None and retry.state in ("sent", "done")) else due_at,
        dead_letter=dead,
        retry=retry,
        contact_affected=meaning.contact_effect != "none"
        and failure.contact != ""
        and failure.participant == "",
    )


def _retry(failure: Failure) -> FailureRetry | None:
    if failure.retry_id is None:
        return None
    names = ("state", "reason", "why", "attempts", "sent_message_id")
    values = {name: getattr(failure, f"retry_{name}") for name in names}
    return convert({"id": failure.retry_id, **values}, FailureRetry)


def _position(given: str) -> FailurePosition:
    return FailurePosition(*cursor.decode_as(given, _Position))


ENDPOINTS = (
    Endpoint("GET", "/v1/failures", list_failures, "viewer"),
    Endpoint("GET", "/v1/failures/{id}", get_failure, "sender"),
)
