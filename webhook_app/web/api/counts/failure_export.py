"""/v1/failures/export: failures as a CSV or NDJSON file, generated while it is sent."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from webhook_app.event_loop import paced
from webhook_app.rules.csv_cells import csv_rows
from webhook_app.store.accounts.numbers import all_names
from webhook_app.store.counts.failures.failure_filters import FailureFilters
from webhook_app.store.counts.failures.failure_search import search
from webhook_app.store.postgres.engine import Connection
from webhook_app.web.api.counts.failures import FailureEntry, Selection, entry_of, failure_filters
from webhook_app.web.api.endpoints import Call, Endpoint, Stream

_PAGE = 500
CSV, NDJSON = "text/csv", "application/x-ndjson"
COLUMNS = (
    "id", "occurred_at", "received_at", "source", "message_id", "contact", "participant", "phone_number_id", "waba_id",
    "template", "campaign", "country", "code", "subcode", "title", "details", "fbtrace_id", "domain", "failure_class",
    "tries", "retry_at", "dead_letter", "contact_affected", "errors", "number_name",
)  # fmt: skip


class FailureExportQuery(Selection, kw_only=True):
    format: Annotated[
        Literal["csv", "ndjson"], Meta(description="ndjson: one failure per line, as in /v1/failures.")
    ] = "csv"


def export_failures(call: Call, query: FailureExportQuery) -> Stream:
    """Export all matching failures as CSV or NDJSON, the newest first.

    In CSV, text that a spreadsheet would read as a formula is prefixed with an apostrophe, and `number_name` names the
    business number. NDJSON is unchanged.
    """
    filters = failure_filters(call, query)
    lines = _csv if query.format == "csv" else _ndjson
    media = CSV if query.format == "csv" else NDJSON
    known = all_names(call.connection) if query.format == "csv" else {}
    name = f"failures-{call.now:%Y%m%d-%H%M%S}.{query.format}"
    return Stream(media, lambda connect: lines(_pages(connect, filters), known), name)


def _pages(
    connect: Callable[[], AbstractContextManager[Connection]], filters: FailureFilters
) -> Iterator[Iterator[FailureEntry]]:
    """Read page by page, each in a short transaction: a slow client holds no connection and blocks no vacuum."""
    before = None
    while True:
        with connect() as connection:
            page = search(connection, filters, _PAGE, before)
        yield (entry_of(failure) for failure in paced(page))
        if len(page) < _PAGE:
            return
        before = page[-1].place


def _ndjson(pages: Iterator[Iterator[FailureEntry]], _names: Mapping[str, str]) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode_lines
    for page in pages:
        yield encode(page)


def _csv(pages: Iterator[Iterator[FailureEntry]], names: Mapping[str, str]) -> Iterator[bytes]:
    yield csv_rows([COLUMNS]).encode()
    for page in pages:
        yield csv_rows(
            [*(getattr(entry, name) for name in COLUMNS[:-1]), names.get(entry.phone_number_id, "")]
            for entry in page
        ).encode()


ENDPOINTS = (Endpoint("GET", "/v1/failures/export", export_failures, "viewer", streams=(CSV, NDJSON)),)
