"""/v1/suppressions: who is suppressed and why; adding, changing and lifting by hand."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from webhook_app.rules.suppressions.blocking import BY_PEOPLE, why
from webhook_app.rules.suppressions.marketing_pauses import waits_for_review
from webhook_app.store.people import contacts, erased_opt_outs
from webhook_app.store.suppressions import changes as suppression_changes
from webhook_app.store.suppressions import lists, suppressions
from webhook_app.store.suppressions.changes import ChangeEvidence
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from, known_code
from webhook_app.web.api.people.addresses import require_address
from webhook_app.web.api.suppressions.changes import ChangeEntry, change_of
from webhook_app.web.api.values import Contact, Cursor, Limit, NextCursor, PhoneNumberId, Time, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.people.contacts import display, spelling, variants

_HISTORY = 100

Scope = Literal["all", "marketing"]
Reason = Literal["opted_out", "manual", "hard", "unreachable"]
_Number = Annotated[PhoneNumberId, Meta(description="Empty: all business numbers.")]
_Note = Annotated[Word, Meta(description="Why, for the record.")]


class SuppressionsQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    scope: Scope | None = None
    reason: Reason | None = None
    phone_number_id: _Number | None = None
    review: Annotated[bool | None, Meta(description="true: made by a rule and not reviewed yet.")] = None
    limit: Limit = 100
    cursor: Cursor | None = None


class SuppressBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """A suppression made by hand."""

    scope: Scope = "all"
    phone_number_id: _Number = ""
    until: Annotated[Time | None, Meta(description="When it expires; absent: when it is lifted.")] = None
    note: _Note = ""


class LiftQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    scope: Scope | None = None
    reason: Reason | None = None
    phone_number_id: _Number | None = None
    note: _Note = ""


class SuppressionEntry(Struct, kw_only=True):
    """One suppression. `active` is false when it has expired; `review`: a rule made it and somebody should confirm it.

    `half_open_at`: it expired then, and the next message is a probe; /v1/check lets one through.
    """

    contact: str
    phone_number_id: Annotated[str, Meta(description="Empty: all business numbers.")]
    scope: Scope
    reason: Annotated[str, Meta(description="opted_out, manual, hard or unreachable.")]
    code: Annotated[int | None, Meta(description="The error code that led to it.")]
    why: Annotated[str, Meta(description="A sentence for people.")]
    since: Time
    until: Annotated[Time | None, Meta(description="null: until something lifts it.")]
    active: bool
    shadow: Annotated[bool, Meta(description="Recorded only: SUPPRESS=shadow, so that it blocks nothing.")]
    times: Annotated[int, Meta(description="Suppressions in a row; each lasts twice as long.")]
    review: bool
    half_open_at: Time | None
    seen_as: Annotated[str, Meta(description="The number as Meta or the caller wrote it.")]
    actor: str
    note: str
    evidence: list[ChangeEvidence]


class SuppressionList(Struct):
    """Suppressions ordered by contact."""

    suppressions: list[SuppressionEntry]
    next_cursor: NextCursor


class ContactSuppressions(Struct):
    """The suppressions of one person under any of their contacts, and the latest changes, newest first."""

    contact: str
    suppressions: list[SuppressionEntry]
    history: list[ChangeEntry]


class Lifted(Struct):
    """The suppressions lifted; empty when there were none."""

    contact: str
    lifted: list[SuppressionEntry]


def list_suppressions(call: Call, query: SuppressionsQuery) -> SuppressionList:
    """List suppressions, ordered by contact."""
    key = cursor.decode_texts(query.cursor, 4)
    after = None if key is None else (key[0], key[1], key[2], key[3])
    found = lists.list_page(
        call.connection,
        query.limit + 1,
        after,
        scope=query.scope,
        reason=query.reason,
        phone_number_id=query.phone_number_id,
        review=query.review,
    )
    page, following = cursor.cut(found, query.limit, lambda row: row.key)
    return SuppressionList([_entry(call, row) for row in page], following)


def get_suppression(call: Call, contact: Contact) -> ContactSuppressions:
    """Return the suppressions of one contact, with evidence and history; empty lists when there are none."""
    return _all_of(call, require_address(call.connection, contact).key)


def put_suppression(call: Call, contact: Contact, body: SuppressBody) -> ContactSuppressions:
    """Suppress a contact by hand, or change a suppression made by hand.

    It has the reason manual and the name of the key as its actor, and applies beside those of rules and people.
    """
    if body.until is not None and body.until <= call.now:
        raise ApiError(400, "bad_body", "until: in the past.")
    address = require_address(call.connection, contact)
    suppressions.put(
        call.connection,
        contacts.preferred(call.connection, address.key),
        phone_number_id=body.phone_number_id,
        scope=body.scope,
        until=body.until,
        seen_as=spelling(address),
        actor=call.key.name,
        note=body.note,
        now=call.now,
    )
    return _all_of(call, address.key)


def lift_suppression(call: Call, contact: Contact, query: LiftQuery) -> Lifted:
    """Allow messages to a contact again, under every contact of that person.

    Lifts every suppression that matches scope, reason and phone_number_id. An opt-out is lifted only with a note that
    says why; without one the call answers 409 and lifts nothing. The same applies to people who were erased: their
    opt-outs cannot be listed, but can be lifted.
    """
    key = require_address(call.connection, contact).key
    asked = query.phone_number_id, query.scope, query.reason
    keys = contacts.keys_of(call.connection, key)
    lifted = [
        row
        for each in keys
        for row in suppressions.lift(
            call.connection, each, *asked, actor=call.key.name, note=query.note, now=call.now
        )
    ]
    of_erased = 0
    if query.reason in (None, "opted_out"):
        numbers = None if query.phone_number_id is None else [query.phone_number_id]
        spellings = [spelling for each in keys for spelling in variants(each)]
        of_erased = erased_opt_outs.forget(call.connection, spellings, numbers, query.scope)
    if not query.note.strip() and (of_erased or any(row.reason == "opted_out" for row in lifted)):
        message = "The person opted out. Give the reason for lifting it in `note`, or name another `reason`."
        raise ApiError(409, "opted_out", message)
    return Lifted(display(key), [_entry(call, row) for row in lifted])


def _all_of(call: Call, key: str) -> ContactSuppressions:
    keys = contacts.keys_of(call.connection, key)
    rows = lists.active(call.connection, keys, None, call.now)
    changes = [
        change for each in keys for change in suppression_changes.history(call.connection, each, _HISTORY)
    ]
    changes.sort(key=lambda change: -change.seq)
    history = [change_of(c, [each for each in keys if each != c.contact]) for c in changes[:_HISTORY]]
    return ContactSuppressions(display(key), [_entry(call, row) for row in rows], history)


def _entry(call: Call, row: suppressions.Suppression) -> SuppressionEntry:
    return entry_from(
        row,
        SuppressionEntry,
        contact=display(row.contact),
        scope="marketing" if row.scope == "marketing" else "all",
        code=known_code(row.code),
        why=why(row.reason, row.code, row.until, half_open=row.half_open_at is not None),
        active=row.until is None or row.until > call.now,
        shadow=call.settings.suppress == "shadow" and row.reason not in BY_PEOPLE,
        review=waits_for_review(row),
        seen_as=display(row.seen_as),
    )


ENDPOINTS = (
    Endpoint("GET", "/v1/suppressions", list_suppressions, "viewer"),
    Endpoint("GET", "/v1/suppressions/{contact}", get_suppression, "sender"),
    Endpoint("PUT", "/v1/suppressions/{contact}", put_suppression, "admin"),
    Endpoint("DELETE", "/v1/suppressions/{contact}", lift_suppression, "admin", (409,)),
)
