"""/v1/suppressions/import and /export: whole lists as CSV or NDJSON, streamed row by row."""

from collections.abc import Iterator
from datetime import datetime
from io import TextIOWrapper
from itertools import islice
from typing import IO, Annotated, Literal
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import asdict

from webhook_app.rules.suppressions.blocking import why
from webhook_app.rules.suppressions.list_files import (
    Defaults,
    Format,
    RefusedRow,
    RequestedSuppression,
    header,
    read_rows,
    write_rows,
)
from webhook_app.store.people import contacts
from webhook_app.store.postgres.errors import EngineUnavailable
from webhook_app.store.suppressions import changes, lists, suppressions
from webhook_app.store.suppressions.suppressions import Suppression
from webhook_app.web.api.endpoints import Call, Connect, Endpoint, Stream
from webhook_app.web.api.entries import known_code
from webhook_app.web.api.values import PhoneNumberId, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.people.contacts import display
from webhook_app.whatsapp.people.numbering import is_region

_MEDIA = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_AT_ONCE = 500
_PAGE = 5_000

_Region = Annotated[
    str, Meta(pattern="^[A-Za-z]{2}$", description="Country of numbers without a country code.")
]
_Scope = Literal["all", "marketing"]
_Reason = Literal["opted_out", "manual", "hard", "unreachable"]


class ImportQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    format: Format = "csv"
    scope: Annotated[_Scope, Meta(description="For rows without one.")] = "all"
    reason: Annotated[_Reason, Meta(description="For rows without one.")] = "manual"
    phone_number_id: Annotated[
        PhoneNumberId, Meta(description="For rows without one; empty: all numbers.")
    ] = ""
    note: Annotated[Word, Meta(description="For rows without one.")] = ""
    region: _Region | None = None
    dry_run: Annotated[bool, Meta(description="Answer the result of each row, store nothing.")] = False
    results: Annotated[Literal["all", "invalid"], Meta(description="invalid: answer only invalid rows.")] = (
        "all"
    )


class SuppressionExportQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    format: Format = "csv"
    scope: _Scope | None = None
    reason: _Reason | None = None
    phone_number_id: PhoneNumberId | None = None
    review: bool | None = None


def import_suppressions(call: Call, query: ImportQuery, upload: IO[bytes]) -> Stream:
    """Add many suppressions from CSV or NDJSON; the answer is one JSON object per line, written as rows are stored.

    Columns: contact, and optionally scope, reason, phone_number_id, until, note; a CSV of contacts alone needs no first
    line. Each row answers `{"row", "contact", "result", "why"}` with the result added, changed, unchanged or invalid.
    About every 10 000 rows a line `{"progress": …}` follows, and at the end `{"done": …}` with the counts and the
    `batch` that POST /v1/suppressions/undo can undo. Rows are stored 500 at a time: without the last line the import
    stopped after the rows answered, and can be repeated as a whole. With dry_run nothing is stored.
    """
    region = (query.region or call.settings.default_region).upper()
    if region and not is_region(region):
        raise ApiError(400, "bad_region", f"region: {region} has no numbering plan.")
    defaults = Defaults(query.scope, query.reason, query.phone_number_id, query.note, region)
    lines = TextIOWrapper(upload, encoding="utf-8-sig", errors="replace", newline="")
    rows = read_rows(lines, query.format, defaults, call.now)
    return Stream(_MEDIA["ndjson"], lambda connect: _Import(call, query, connect).run(rows))


def export_suppressions(call: Call, query: SuppressionExportQuery) -> Stream:
    """Every active suppression, ordered by contact, as CSV or NDJSON; /import reads both.

    The header X-Version is the change of /v1/changes after which to update the list: rows may be newer, none is older.
    With the header X-Suppress: shadow, rows with the reason hard or unreachable block nobody for now.
    In CSV a text that a spreadsheet would take for a formula gets an apostrophe in front, which /import removes.
    """
    call.headers["X-Suppress"] = call.settings.suppress
    call.headers["X-Version"] = str(changes.latest_seq(call.connection))
    return Stream(
        _MEDIA[query.format],
        lambda connect: _export(connect, query, call.now),
        f"suppressions.{query.format}",
    )


class _Import:
    """One import: takes rows, yields the lines of the answer."""

    def __init__(self, call: Call, query: ImportQuery, connect: Connect) -> None:
        self._call, self._query, self._connect = call, query, connect
        self._batch = f"import:{uuid4().hex}"
        self._counts = {"rows": 0, "added": 0, "changed": 0, "unchanged": 0, "invalid": 0}

    def run(self, rows: Iterator[RequestedSuppression | RefusedRow]) -> Iterator[bytes]:
        try:
            while some := tuple(islice(rows, _AT_ONCE)):
                yield self._store(some)
                if self._counts["rows"] % 10_000 < len(some):
                    yield _line({"progress": self._counts})
        except EngineUnavailable:
            yield _line(
                {"error": {"code": "database_away", "message": "The import stopped here; repeat it."}}
            )
            return
        batch = None if self._query.dry_run else self._batch
        yield _line({"done": self._counts | {"dry_run": self._query.dry_run, "batch": batch}})

    def _store(self, some: tuple[RequestedSuppression | RefusedRow, ...]) -> bytes:
        usable = [row for row in some if isinstance(row, RequestedSuppression)]
        with self._connect() as connection:
            main = contacts.main_keys(connection, {row.key for row in usable})
            wanted = [self._suppression(row, main[row.key]) for row in usable]
            outcomes = iter(
                suppressions.put_many(
                    connection, wanted, self._call.now, batch=self._batch, dry_run=self._query.dry_run
                )
            )
        return b"".join(
            self._result(row, next(outcomes) if isinstance(row, RequestedSuppression) else "invalid")
            for row in some
        )

    def _suppression(self, row: RequestedSuppression, main: str) -> Suppression:
        return Suppression(
            contact=row.key if row.key.isdecimal() else main,
            phone_number_id=row.phone_number_id,
            scope=row.scope,
            reason=row.reason,
            since=self._call.now,
            until=row.until,
            seen_as=row.seen_as,
            actor=self._call.key.name,
            note=row.note,
        )

    def _result(self, row: RequestedSuppression | RefusedRow, outcome: str) -> bytes:
        self._counts["rows"] += 1
        self._counts[outcome] += 1
        if outcome != "invalid" and self._query.results == "invalid":
            return b""
        contact = display(row.key) if isinstance(row, RequestedSuppression) else row.contact
        why = None if isinstance(row, RequestedSuppression) else row.why
        return _line({"row": row.row, "contact": contact, "result": outcome, "why": why})


def _export(connect: Connect, query: SuppressionExportQuery, now: datetime) -> Iterator[bytes]:
    yield header(query.format).encode()
    after: suppressions.Key | None = None
    while True:
        with connect() as connection:
            page = lists.list_page(
                connection,
                _PAGE,
                after,
                scope=query.scope,
                reason=query.reason,
                phone_number_id=query.phone_number_id,
                review=query.review,
            )
        active = [_values(row) for row in page if row.until is None or row.until > now]
        yield write_rows(active, query.format).encode()
        if len(page) < _PAGE:
            return
        after = page[-1].key


def _values(row: Suppression) -> dict[str, object]:
    sentence = why(row.reason, row.code, row.until, half_open=row.half_open_at is not None)
    shown = {
        "contact": display(row.contact),
        "code": known_code(row.code),
        "why": sentence,
    }
    return asdict(row) | shown


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/suppressions/import",
        import_suppressions,
        "admin",
        (413,),
        streams=(_MEDIA["ndjson"],),
        uploads=tuple(_MEDIA.values()),
    ),
    Endpoint("GET", "/v1/suppressions/export", export_suppressions, "viewer", streams=tuple(_MEDIA.values())),
)
