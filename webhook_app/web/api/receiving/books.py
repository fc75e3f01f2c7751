"""/v1/books: received items by outcome."""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from webhook_app.store.counts import lateness
from webhook_app.store.receiving import books
from webhook_app.store.sends import reports
from webhook_app.web.api.endpoints import Call, Endpoint


class BooksQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    days: Annotated[int, Meta(ge=1, le=400, description="Number of latest days to list.")] = 30


class DayTotals(Struct, kw_only=True):
    """Items received on one day (UTC)."""

    day: date
    received: int
    applied: int
    duplicate: int
    ignored: int
    quarantined: int
    balanced: bool


class LatenessTotals(Struct, kw_only=True):
    """Delays and losses of webhooks in the last full hour, counted by the scheduler a minute later."""

    events: int
    lag_p50_seconds: Annotated[int | None, Meta(description="Median seconds from event to receipt.")]
    lag_p95_seconds: int | None
    lag_p99_seconds: int | None
    reached: Annotated[int, Meta(description="Messages reported as delivered or read, 30 to 90 minutes ago.")]
    unsent: Annotated[int, Meta(description="Those without a `sent`: webhooks were lost.")]
    accepted: Annotated[int, Meta(description="Sends reported in the last day, more than 30 minutes ago.")]
    silent: Annotated[int, Meta(description="Those without any webhook.")]


class Books(Struct, kw_only=True):
    """Items since the first delivery, and by day. received = applied + duplicate + ignored + quarantined."""

    received: int
    applied: int
    duplicate: int
    ignored: int
    quarantined: int
    balanced: bool
    days: list[DayTotals]
    arrivals: LatenessTotals


def get_books(call: Call, query: BooksQuery) -> Books:
    """Count all received items by outcome. The counts always add up."""
    # Read the days first: a commit between the two reads can then only add to the totals.
    days = books.by_day(call.connection, query.days)
    totals = books.totals(call.connection)
    return Books(
        **asdict(totals),
        balanced=totals.balanced,
        arrivals=_lateness(call),
        days=[DayTotals(day=day, **asdict(each), balanced=each.balanced) for day, each in days.items()],
    )


def _lateness(call: Call) -> LatenessTotals:
    last_hour = lateness.last_hour(call.connection, call.now)
    accepted = reports.count_accepted(
        call.connection, call.now - reports.UNREPORTED_WITHIN, call.now - reports.UNREPORTED_AFTER
    )
    silent = sum(each.silent for each in reports.unreported(call.connection, call.now))
    return LatenessTotals(**asdict(last_hour), accepted=accepted, silent=silent)


ENDPOINTS = (Endpoint("GET", "/v1/books", get_books, "viewer"),)
