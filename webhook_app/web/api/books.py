"""/v1/books and /v1/quarantine: what became of every item received, and what was not understood."""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct, convert
from msgspec.structs import asdict

from webhook_app.store import books, quarantine
from webhook_app.web import cursor
from webhook_app.web.endpoints import Call, Endpoint
from webhook_app.web.values import Cursor, Limit, NextCursor, Time


class BooksQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    days: Annotated[int, Meta(ge=1, le=400, description="How many of the latest days to list.")] = 30


class DayTotals(Struct, kw_only=True):
    """Items received on one day (UTC)."""

    day: date
    received: int
    applied: int
    duplicate: int
    ignored: int
    quarantined: int
    balanced: bool


class Books(Struct, kw_only=True):
    """Items since the first delivery, and by day. received = applied + duplicate + ignored + quarantined."""

    received: int
    applied: int
    duplicate: int
    ignored: int
    quarantined: int
    balanced: bool
    days: list[DayTotals]


class QuarantineQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    open: Annotated[bool, Meta(description="true: only what has not been replayed.")] = False
    limit: Limit = 100
    cursor: Cursor | None = None


class QuarantinedItem(Struct, kw_only=True):
    """Something signed that was not understood: `item` as Meta sent it, or the whole `body`."""

    id: int
    received_at: Time
    reason: str
    field: str
    waba_id: str
    item: str | None
    body: bytes | None
    replayed_at: Time | None


class QuarantineList(Struct):
    """Quarantined items, the newest first."""

    items: list[QuarantinedItem]
    next_cursor: NextCursor


def get_books(call: Call, query: BooksQuery) -> Books:
    """What became of every item ever received. The books balance at all times."""
    # The days first: a commit between the two reads can then only add to the totals.
    days = books.by_day(call.connection, query.days)
    totals = books.totals(call.connection)
    return Books(
        **asdict(totals),
        balanced=totals.balanced,
        days=[DayTotals(day=day, **asdict(each), balanced=each.balanced) for day, each in days.items()],
    )


def list_quarantine(call: Call, query: QuarantineQuery) -> QuarantineList:
    """What was signed but not understood, the newest first; it is kept whole and can be replayed after a fix."""
    before = cursor.decode_id(query.cursor)
    found = quarantine.list_page(call.connection, query.limit + 1, before_id=before, only_open=query.open)
    page = found[: query.limit]
    following = cursor.encode(page[-1].id) if len(found) > len(page) else None
    return QuarantineList([convert(item, QuarantinedItem, from_attributes=True) for item in page], following)


ENDPOINTS = (
    Endpoint("GET", "/v1/books", get_books, "viewer"),
    Endpoint("GET", "/v1/quarantine", list_quarantine, "viewer"),
)
