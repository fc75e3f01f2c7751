"""GET /v1/contacts/{contact}: everything stored about one person. erasure.py erases it."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from webhook_app.rules.people.holders import Span
from webhook_app.store.people import contact_timeline, contacts
from webhook_app.store.people.contact_timeline import TimelinePosition
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from, known_code
from webhook_app.web.api.people.addresses import require_address
from webhook_app.web.api.suppressions.opt_ins import OptInEntry, opt_ins_of
from webhook_app.web.api.suppressions.suppressions import ContactSuppressions, get_suppression
from webhook_app.web.api.values import Contact, Limit, NextCursor, Time
from webhook_app.whatsapp.people.contacts import display

_Text = Annotated[str, Meta(max_length=1000, pattern=r"^[^\x00]*$")]
_Cursor = Annotated[str, Meta(max_length=4000, description="next_cursor of the page before.")]
_PositionText = tuple[Time, _Text, _Text, _Text, Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]]


class ContactQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    limit: Limit = 100
    cursor: _Cursor | None = None


class TimelineEntry(Struct, kw_only=True):
    """One event."""

    at: Time
    what: Annotated[
        str,
        Meta(
            description="sent, delivered, read, played or failed; accepted: reported by a sender; wrote, stop or start:"
            " by the person; control_passed or control_taken: Meta gave you the conversation, or took it; otherwise a"
            " preference in Meta's words."
        ),
    ]
    message_id: str
    phone_number_id: str
    contact: Annotated[str, Meta(description="Which key of the person.")]
    code: Annotated[int | None, Meta(description="null: no code.")]
    template: str
    campaign: str
    note: Annotated[
        str,
        Meta(description="The title of a failure; the kind of message or preference; the role of the owner."),
    ]


class MessageOutcomeEntry(Struct, kw_only=True):
    """The outcome of one message on this page, from all its events: it can have failed and arrived."""

    message_id: str
    sent_at: Time | None
    delivered_at: Annotated[Time | None, Meta(description="Read implies delivered.")]
    read_at: Time | None
    failed_at: Time | None
    reached: bool
    failed: bool


class OpenWindow(Struct):
    """A business number that may send free-form replies until then, because the person wrote to it."""

    phone_number_id: str
    until: Time


class ContactView(Struct, kw_only=True):
    """A person: keys, suppressions with evidence and history, opt-ins, open windows, and the timeline, newest first."""

    contact: str
    keys: Annotated[list[str], Meta(description="Every number and user id known to be the same person.")]
    windows: list[OpenWindow]
    suppression: ContactSuppressions
    opt_ins: Annotated[list[OptInEntry], Meta(description="The newest first, at most a hundred.")]
    timeline: list[TimelineEntry]
    messages: list[MessageOutcomeEntry]
    next_cursor: NextCursor


def get_contact(call: Call, contact: Contact, query: ContactQuery) -> ContactView:
    """Return everything stored about one person, under every number and user id; empty for an unknown contact.

    What is from before a change of number belongs to the person who left the number, and is listed under the new one.
    The timeline comes in pages; the rest is the same on each.
    """
    suppression = get_suppression(call, contact)
    address = require_address(call.connection, contact)
    keys = contacts.keys_of(call.connection, address.key)
    spans = contacts.spans_of_many(call.connection, [address.key])[address.key]
    before = (
        None if query.cursor is None else TimelinePosition(*cursor.decode_as(query.cursor, _PositionText))
    )
    found = contact_timeline.page(call.connection, spans, query.limit + 1, before)
    page, following = cursor.cut(found, query.limit, lambda entry: entry.place)
    return ContactView(
        contact=display(address.key),
        keys=[display(key) for key in keys],
        windows=_windows(call, spans),
        suppression=suppression,
        opt_ins=opt_ins_of(call, address.key),
        timeline=[_entry(entry) for entry in page],
        messages=[_outcome(each) for each in contact_timeline.outcomes(call.connection, page)],
        next_cursor=following,
    )


def _windows(call: Call, spans: tuple[Span, ...]) -> list[OpenWindow]:
    found: dict[str, datetime] = contact_timeline.open_windows(call.connection, spans, call.now)
    return [OpenWindow(number, until) for number, until in found.items()]


def _entry(entry: contact_timeline.ContactEvent) -> TimelineEntry:
    return entry_from(entry, TimelineEntry, contact=display(entry.contact), code=known_code(entry.code))


def _outcome(each: contact_timeline.MessageOutcome) -> MessageOutcomeEntry:
    reached, failed = each.delivered_at is not None, each.failed_at is not None
    return entry_from(each, MessageOutcomeEntry, reached=reached, failed=failed)


ENDPOINTS = (Endpoint("GET", "/v1/contacts/{contact}", get_contact, "sender"),)
