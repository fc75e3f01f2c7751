"""/v1/books: what became of every item received."""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from webhook_app.store.counts import lateness
from webhook_app.store.receiving import books
from webhook_app.store.sends import reports
from webhook_app.web.api.endpoints import Call, Endpoint


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


class ArrivalTotals(Struct, kw_only=True):
    """How events came in within the last full hour, counted by the scheduler a minute after they did."""

    events: int
    lag_p50_seconds: Annotated[int | None, Meta(description="Half came no later after they occurred.")]
    lag_p95_seconds: int | None
    lag_p99_seconds: int | None
    reached: Annotated[int, Meta(description="Messages told delivered or read, 30 to 90 minutes ago.")]
    unsent: Annotated[int, Meta(description="Those of them without a `sent`: webhooks were lost.")]
    accepted: Annotated[int, Meta(description="Registered sends of the last day, over 30 minutes ago.")]
    silent: Annotated[int, Meta(description="Those of them of which no webhook has told.")]


class Books(Struct, kw_only=True):
    """Items since the first delivery, and by day. received = applied + duplicate + ignored + quarantined."""

    received: int
    applied: int
    duplicate: int
    ignored: int
    quarantined: int
    balanced: bool
    days: list[DayTotals]
    arrivals: ArrivalTotals


def get_books(call: Call, query: BooksQuery) -> Books:
    """What became of every item ever received. The books balance at all times."""
    # The days first: a commit between the two reads can then only add to the totals.
    days = books.by_day(call.connection, query.days)
    totals = books.totals(call.connection)
    return Books(
        **asdict(totals),
        balanced=totals.balanced,
        arrivals=_arrivals(call),
        days=[DayTotals(day=day, **asdict(each), balanced=each.balanced) for day, each in days.items()],
    )


def _arrivals(call: Call) -> ArrivalTotals:
    lately = lateness.last_hour(call.connection, call.now)
    accepted = reports.accepted_by_number(
        call.connection, call.now - reports.UNREPORTED_WITHIN, call.now - reports.UNREPORTED_AFTER
    )
    silent = sum(each.silent for each in reports.unreported(call.connection, call.now))
    return ArrivalTotals(**asdict(lately), accepted=sum(accepted.values()), silent=silent)


ENDPOINTS = (Endpoint("GET", "/v1/books", get_books, "viewer"),)
