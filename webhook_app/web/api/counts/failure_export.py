"""/v1/failures/export: the same failures as a file, written while it is read. Columns and lines, no search."""

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from io import StringIO
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from webhook_app.store.counts.failure_filters import FailureFilters
from webhook_app.store.counts.failure_search import search
from webhook_app.store.postgres.engine import Connection
from webhook_app.web.api.counts.failures import FailureEntry, Selection, entry_of, wanted
from webhook_app.web.api.endpoints import Call, Endpoint, Stream

_PAGE = 1000
CSV, NDJSON = "text/csv", "application/x-ndjson"
COLUMNS = (
    "id", "occurred_at", "received_at", "source", "message_id", "contact", "participant", "phone_number_id", "waba_id",
    "template", "campaign", "country", "code", "subcode", "title", "details", "fbtrace_id", "domain", "failure_class",
    "tries", "retry_at", "dead_letter", "contact_affected", "errors",
)  # fmt: skip
_FREE_TEXT = ("template", "campaign", "title", "details")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class FailureExportQuery(Selection, kw_only=True):
    format: Annotated[
        Literal["csv", "ndjson"], Meta(description="ndjson: a failure a line, as lists give it.")
    ] = "csv"


def export_failures(call: Call, query: FailureExportQuery) -> Stream:
    """All failures that fit as CSV or NDJSON, the newest first, however many there are.

    In CSV a text that a spreadsheet would take for a formula begins with an apostrophe; NDJSON has it as it came.
    """
    asked = wanted(call, query)
    lines = _csv if query.format == "csv" else _ndjson
    media = CSV if query.format == "csv" else NDJSON
    name = f"failures-{call.now:%Y%m%d-%H%M%S}.{query.format}"
    return Stream(media, lambda connect: lines(_pages(connect, asked)), name)


def _pages(
    connect: Callable[[], AbstractContextManager[Connection]], asked: FailureFilters
) -> Iterator[list[FailureEntry]]:
    """Page by page, each in a short transaction: a slow reader keeps no connection and holds up no clean-up."""
    before = None
    while True:
        with connect() as connection:
            page = search(connection, asked, _PAGE, before)
        yield [entry_of(failure) for failure in page]
        if len(page) < _PAGE:
            return
        before = page[-1].place


def _ndjson(pages: Iterator[list[FailureEntry]]) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode_lines
    for page in pages:
        yield encode(page)


def _csv(pages: Iterator[list[FailureEntry]]) -> Iterator[bytes]:
    head: tuple[tuple[str, ...], ...] = (COLUMNS,)
    for page in pages:
        text = StringIO()
        csv.writer(text).writerows((*head, *(_cells(entry) for entry in page)))
        head = ()
        yield text.getvalue().encode()


def _cells(entry: FailureEntry) -> list[str]:
    return [_cell(name, getattr(entry, name)) for name in COLUMNS]


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if name in _FREE_TEXT and value.startswith(_FORMULA) else value
    return msgspec.json.encode(value).decode().strip('"')


ENDPOINTS = (Endpoint("GET", "/v1/failures/export", export_failures, "viewer", streams=(CSV, NDJSON)),)
