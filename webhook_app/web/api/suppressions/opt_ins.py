"""/v1/opt-ins: when and through which channel people agreed to messages; one person, and whole lists."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import asdict

from webhook_app.event_loop import paced
from webhook_app.rules.people.holders import Span
from webhook_app.rules.suppressions.list_files import RefusedRow
from webhook_app.rules.suppressions.list_layout import Format, UnreadableListError
from webhook_app.rules.suppressions.opt_in_files import (
    CLOCK_AHEAD,
    MAX_CHANNEL,
    RequestedOptIn,
    header,
    read_opt_ins,
    write_opt_ins,
)
from webhook_app.store.people import contacts
from webhook_app.store.postgres.errors import EngineUnavailable
from webhook_app.store.suppressions import opt_ins
from webhook_app.store.suppressions.opt_ins import OptIn
from webhook_app.web.api.endpoints import Call, Connect, Endpoint, Stream, Upload
from webhook_app.web.api.entries import entry_from
from webhook_app.web.api.people.addresses import require_address
from webhook_app.web.api.suppressions.suppression_files import MEDIA, Region, read_list, region_of
from webhook_app.web.api.values import Contact, Time, Word
from webhook_app.web.auth import is_enough
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.people.contacts import display

MAX_OF_CONTACT = opt_ins.MOST_OF_A_PERSON
"""Opt-ins of one contact that a key may record."""
MAX_PER_HOUR = 10_000
"""Opt-ins that a key may record within an hour. Both hold for a key that cannot import."""
_TRY_AGAIN_S = 60
_AT_ONCE = 500

_Channel = Annotated[
    str,
    Meta(
        max_length=MAX_CHANNEL,
        pattern=r"^[^\x00]*$",
        description="Where the person agreed, such as checkout, app or paper form.",
    ),
]


class OptInBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """An agreement to messages."""

    channel: Annotated[_Channel, Meta(min_length=1)]
    opted_in_at: Annotated[Time | None, Meta(description="When the person agreed; absent: now.")] = None
    note: Annotated[Word, Meta(description="For the record, such as the version of the text agreed to.")] = ""


class OptInImportQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    format: Annotated[
        Format | None, Meta(description="Absent: as the content type or the first line says.")
    ] = None
    channel: Annotated[_Channel, Meta(description="For rows without one.")] = ""
    region: Region | None = None


class OptInExportQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    format: Format = "csv"


class OptInEntry(Struct, kw_only=True):
    """One agreement. `actor`: the API key that recorded it."""

    contact: str
    opted_in_at: Time
    channel: str
    note: str
    actor: str
    recorded_at: Time


class OptIns(Struct):
    """The opt-ins of one person under any of their contacts, the newest first."""

    contact: str
    opt_ins: list[OptInEntry]


def get_opt_ins(call: Call, contact: Contact) -> OptIns:
    """Return when and where a contact agreed to messages; empty without a record."""
    key = require_address(call.connection, contact).key
    return OptIns(display(key), opt_ins_of(call, key))


def put_opt_in(call: Call, contact: Contact, body: OptInBody) -> OptIns:
    """Record that a contact agreed to messages. It lifts no opt-out: only the person or an admin does.

    The same contact, time and channel are one record, and only the key that recorded it can change its note. It belongs
    to whom the number belonged to at that time. With OPT_IN=required, POST /v1/preflight refuses messages to contacts
    without a record, outside an open service window. A key without the role admin records at most 100 opt-ins of a
    contact (then 409), and 10 000 within an hour (then 429); what is recorded already is answered as before.
    """
    at = body.opted_in_at or call.now
    if at > call.now + CLOCK_AHEAD:
        raise ApiError(400, "bad_body", "opted_in_at: in the future.")
    key = require_address(call.connection, contact).key
    row = OptIn(
        contact=key,
        opted_in_at=at,
        channel=body.channel,
        note=body.note,
        actor=call.key.name,
        recorded_at=call.now,
    )
    if not is_enough(call.key.role, "admin"):
        _refuse_too_many(call, row)
    opt_ins.put(call.connection, [row])
    return get_opt_ins(call, contact)


def _refuse_too_many(call: Call, row: OptIn) -> None:
    since = call.now - timedelta(hours=1)
    found = opt_ins.recorded(call.connection, row, since, of_contact=MAX_OF_CONTACT, in_all=MAX_PER_HOUR)
    if found.is_stored:
        return
    if found.of_contact >= MAX_OF_CONTACT:
        message = f"This API key recorded {MAX_OF_CONTACT} opt-ins of this contact. Nothing was stored."
        raise ApiError(409, "too_many_opt_ins_of_contact", message)
    if found.in_all >= MAX_PER_HOUR:
        message = f"This API key recorded {MAX_PER_HOUR} opt-ins within an hour. Nothing was stored."
        raise ApiError(429, "too_many_opt_ins", message, retry_seconds=_TRY_AGAIN_S)


def delete_opt_ins(call: Call, contact: Contact) -> OptIns:
    """Delete the opt-ins of a contact, under every contact of that person; returns them."""
    key = require_address(call.connection, contact).key
    deleted = opt_ins.delete(call.connection, _spans_of(call, key))
    return OptIns(display(key), [_entry(row) for row in deleted])


def import_opt_ins(call: Call, query: OptInImportQuery, upload: Upload) -> Stream:
    """Record many opt-ins from CSV or NDJSON; the answer is one JSON object per line, written as rows are stored.

    Columns: contact (or phone, number, msisdn and the like), opted_in_at, and optionally channel and note. Each row
    answers `{"row", "contact", "result", "why"}` with the result added, changed (its note), unchanged or invalid; the
    last line is `{"done": …}`. A file can be imported again: the same contact, time and channel are one record. It
    keeps the key that recorded it, and its note if the row has none.
    """
    region = region_of(call, query.region)
    try:
        lines, kind = read_list(upload, query.format)
        rows = read_opt_ins(lines, kind, query.channel, region, call.now)
    except UnreadableListError as fault:
        raise ApiError(400, "bad_file", str(fault)) from None
    return Stream(MEDIA["ndjson"], lambda connect: _import(connect, rows, call.key.name, call.now))


def export_opt_ins(call: Call, query: OptInExportQuery) -> Stream:  # noqa: ARG001  every view has the same parameters
    """Every opt-in, ordered by contact, as CSV or NDJSON; /import reads both."""
    return Stream(
        MEDIA[query.format], lambda connect: _export(connect, query.format), f"opt-ins.{query.format}"
    )


def opt_ins_of(call: Call, key: str) -> list[OptInEntry]:
    """The opt-ins of the person who holds this key, also those under former numbers."""
    return [_entry(row) for row in opt_ins.of_person(call.connection, _spans_of(call, key))]


def _spans_of(call: Call, key: str) -> tuple[Span, ...]:
    return contacts.spans_of_many(call.connection, [key])[key]


def _import(
    connect: Connect, rows: Iterator[RequestedOptIn | RefusedRow], actor: str, now: datetime
) -> Iterator[bytes]:
    counts = {"rows": 0, "added": 0, "changed": 0, "unchanged": 0, "invalid": 0}
    waiting = paced(rows)
    try:
        while some := tuple(islice(waiting, _AT_ONCE)):
            valid = [row for row in some if isinstance(row, RequestedOptIn)]
            stored = [
                OptIn(
                    contact=row.key,
                    opted_in_at=row.opted_in_at,
                    channel=row.channel,
                    note=row.note,
                    actor=actor,
                    recorded_at=now,
                )
                for row in valid
            ]
            with connect() as connection:
                outcomes = iter(opt_ins.put(connection, stored, of_others=True) if stored else ())
            for row in some:
                is_valid = isinstance(row, RequestedOptIn)
                outcome = next(outcomes) if is_valid else "invalid"
                counts["rows"] += 1
                counts[outcome] += 1
                contact = display(row.key) if isinstance(row, RequestedOptIn) else row.contact
                why = None if isinstance(row, RequestedOptIn) else row.why
                yield _line({"row": row.row, "contact": contact, "result": outcome, "why": why})
    except EngineUnavailable:
        yield _line({"error": {"code": "database_away", "message": "The import stopped here; repeat it."}})
        return
    yield _line({"done": counts})


def _export(connect: Connect, kind: Format) -> Iterator[bytes]:
    yield header(kind).encode()
    after: opt_ins.Place | None = None
    while True:
        with connect() as connection:
            page = opt_ins.list_page(connection, _AT_ONCE, after)
        yield write_opt_ins((asdict(_entry(row)) for row in paced(page)), kind).encode()
        if len(page) < _AT_ONCE:
            return
        after = page[-1].place


def _entry(row: OptIn) -> OptInEntry:
    return entry_from(row, OptInEntry, contact=display(row.contact))


def _line(content: object) -> bytes:
    return msgspec.json.encode(content) + b"\n"


ENDPOINTS = (
    Endpoint("GET", "/v1/opt-ins/{contact}", get_opt_ins, "sender"),
    Endpoint("PUT", "/v1/opt-ins/{contact}", put_opt_in, "sender", (409,)),
    Endpoint("DELETE", "/v1/opt-ins/{contact}", delete_opt_ins, "admin"),
    Endpoint(
        "POST",
        "/v1/opt-ins/import",
        import_opt_ins,
        "admin",
        (413,),
        streams=(MEDIA["ndjson"],),
        uploads=tuple(MEDIA.values()),
    ),
    Endpoint("GET", "/v1/opt-ins/export", export_opt_ins, "viewer", streams=tuple(MEDIA.values())),
)
