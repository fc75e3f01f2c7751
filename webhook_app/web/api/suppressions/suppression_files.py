"""/v1/suppressions/import and /export: whole lists as CSV or NDJSON, streamed row by row."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from io import TextIOWrapper
from itertools import islice
from typing import Annotated, Any, Literal
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import asdict

from webhook_app.event_loop import give_way, paced
from webhook_app.rules.suppressions.blocking import ends_with_probe, why
from webhook_app.rules.suppressions.list_files import (
    MAX_LENGTH_OF_ROW,
    Defaults,
    RefusedRow,
    RequestedSuppression,
    header,
    read_rows,
    write_rows,
)
from webhook_app.rules.suppressions.list_layout import Format, UnreadableListError, encoding_of, format_of
from webhook_app.store.people import contacts
from webhook_app.store.people.stored_keys import stored_keys
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.errors import EngineUnavailable
from webhook_app.store.suppressions import changes, lists, restoring, suppressions
from webhook_app.store.suppressions.changes import ChangeEvidence
from webhook_app.store.suppressions.suppressions import Suppression
from webhook_app.web.api.endpoints import Call, Connect, Endpoint, Stream, Upload
from webhook_app.web.api.entries import known_code
from webhook_app.web.api.values import PhoneNumberId, Time, Word, check_times
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.people.contacts import display
from webhook_app.whatsapp.people.numbering import is_region

MEDIA = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_AT_ONCE = 500
_SAMPLE_BYTES = 65_536
_PAGE = 500

Region = Annotated[
    str, Meta(pattern="^[A-Za-z]{2}$", description="Country of numbers without a country code.")
]
_Scope = Literal["all", "marketing"]
_Reason = Literal["opted_out", "manual", "hard", "unreachable"]


class ImportQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    format: Annotated[
        Format | None, Meta(description="Absent: as the content type or the first line says.")
    ] = None
    scope: Annotated[_Scope, Meta(description="For rows without one.")] = "all"
    reason: Annotated[_Reason, Meta(description="For rows without one.")] = "manual"
    phone_number_id: Annotated[
        PhoneNumberId, Meta(description="For rows without one; empty: all numbers.")
    ] = ""
    note: Annotated[Word, Meta(description="For rows without one.")] = ""
    region: Region | None = None
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


class _RestoredColumns(Struct, kw_only=True):
    """The columns of an exported row that only rules set."""

    code: Annotated[int, Meta(ge=NO_CODE, le=2**63 - 1)]
    since: Time
    review: bool
    times: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    evidence: Annotated[tuple[ChangeEvidence, ...], Meta(max_length=1000)]
    seen_as: Word
    actor: Word
    half_open_at: Time | None
    probe_until: Time | None


def import_suppressions(call: Call, query: ImportQuery, upload: Upload) -> Stream:
    """Add many suppressions from CSV or NDJSON; the answer is one JSON object per line, written as rows are stored.

    Columns: contact (or phone, number, msisdn and the like), optionally scope, reason, phone_number_id, until, note;
    a CSV of contacts alone needs no first line. Commas, semicolons and tabs separate columns; UTF-8, UTF-16 and
    Windows-1252 are read. An exported file restores every column. A file that cannot be understood is answered 400
    with line and reason, and nothing is stored. Each row answers `{"row", "contact", "result", "why"}` with the
    result added, changed, unchanged or invalid. About every 10 000 rows a line `{"progress": …}` follows, and at the
    end `{"done": …}` with the counts and the `batch` that POST /v1/suppressions/undo can undo. Rows are stored 500 at
    a time: without the last line the import stopped after the rows answered, and can be repeated as a whole. With
    dry_run nothing is stored.
    """
    region = region_of(call, query.region)
    defaults = Defaults(query.scope, query.reason, query.phone_number_id, query.note, region)
    try:
        lines, kind = read_list(upload, query.format)
        rows = read_rows(lines, kind, defaults, call.now)
    except UnreadableListError as fault:
        raise ApiError(400, "bad_file", str(fault)) from None
    return Stream(MEDIA["ndjson"], lambda connect: _Import(call, query, connect).run(rows))


def export_suppressions(call: Call, query: SuppressionExportQuery) -> Stream:
    """Every active suppression, ordered by contact, as CSV or NDJSON; /import reads both.

    The header X-Version is the change of /v1/changes after which to update the list: rows may be newer, none is older.
    With the header X-Suppress: shadow, rows with the reason hard or unreachable block nobody for now.
    In CSV a text that a spreadsheet would take for a formula gets an apostrophe in front, which /import removes.
    """
    call.headers["X-Suppress"] = call.settings.suppress
    call.headers["X-Version"] = str(changes.latest_seq(call.connection))
    return Stream(
        MEDIA[query.format],
        lambda connect: _export(connect, query, call.now),
        f"suppressions.{query.format}",
    )


def region_of(call: Call, region: str | None) -> str:
    """The country of numbers without a country code; empty for none. Raises ApiError."""
    found = (region or call.settings.default_region).upper()
    if found and not is_region(found):
        raise ApiError(400, "bad_region", f"region: {found} has no numbering plan.")
    return found


def read_list(upload: Upload, kind: Format | None) -> tuple[Iterator[str], Format]:
    """The lines of an uploaded list, and its format. Raises UnreadableListError."""
    start = upload.file.read(_SAMPLE_BYTES)
    upload.file.seek(0)
    encoding = encoding_of(start)
    kind = kind or format_of(upload.media_type, start.decode(encoding, "ignore"))
    return _lines(TextIOWrapper(upload.file, encoding=encoding, errors="replace", newline="")), kind


def _lines(text: TextIOWrapper) -> Iterator[str]:
    """The lines, without the rest of those that are too long. Before each of them other connections may run."""
    is_rest = False
    while line := text.readline(MAX_LENGTH_OF_ROW + 1):
        give_way()
        if not is_rest:
            yield line
        is_rest = len(line) > MAX_LENGTH_OF_ROW and line[-1] not in "\r\n"


class _Import:
    """One import: takes rows, yields the lines of the answer."""

    def __init__(self, call: Call, query: ImportQuery, connect: Connect) -> None:
        self._call, self._query, self._connect = call, query, connect
        self._batch = f"import:{uuid4().hex}"
        self._counts = {"rows": 0, "added": 0, "changed": 0, "unchanged": 0, "invalid": 0}

    def run(self, rows: Iterator[RequestedSuppression | RefusedRow]) -> Iterator[bytes]:
        try:
            waiting = paced(rows)
            while some := tuple(islice(waiting, _AT_ONCE)):
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
        query, now = self._query, self._call.now
        with self._connect() as connection:
            some = _unless_unknown(connection, some)
            usable = [row for row in some if isinstance(row, RequestedSuppression)]
            main = contacts.main_keys(connection, {row.key for row in usable if row.restored is None})
            found = [
                self._suppression(row, main) if isinstance(row, RequestedSuppression) else row for row in some
            ]
            restored = [row for row, asked in zip(found, some, strict=True) if _is_restored(row, asked)]
            put = [row for row, asked in zip(found, some, strict=True) if not _is_restored(row, asked)]
            options: Any = {"batch": self._batch, "dry_run": query.dry_run}
            outcomes = {
                True: iter(
                    restoring.restore_many(
                        connection, _stored(restored), now, actor=self._call.key.name, **options
                    )
                ),
                False: iter(suppressions.put_many(connection, _stored(put), now, **options)),
            }
        return b"".join(
            self._result(
                asked,
                row,
                next(outcomes[_is_restored(row, asked)]) if isinstance(row, Suppression) else "invalid",
            )
            for row, asked in zip(found, some, strict=True)
        )

    def _suppression(self, row: RequestedSuppression, main: Mapping[str, str]) -> Suppression | RefusedRow:
        same = {name: getattr(row, name) for name in ("phone_number_id", "scope", "reason", "until", "note")}
        if row.restored is None:
            contact = row.key if row.key.isdecimal() else main[row.key]
            return Suppression(
                contact=contact, since=self._call.now, seen_as=row.seen_as, actor=self._call.key.name, **same
            )
        try:
            return Suppression(contact=row.key, **same, **asdict(_restored_columns(row.restored)))
        except msgspec.MsgspecError as fault:
            return RefusedRow(row.row, display(row.key), f"not as exported: {fault}")
        except RecursionError:
            return RefusedRow(row.row, display(row.key), "not as exported: nested too deeply")

    def _result(
        self, asked: RequestedSuppression | RefusedRow, row: Suppression | RefusedRow, outcome: str
    ) -> bytes:
        self._counts["rows"] += 1
        self._counts[outcome] += 1
        if outcome != "invalid" and self._query.results == "invalid":
            return b""
        contact = display(asked.key) if isinstance(asked, RequestedSuppression) else asked.contact
        why = row.why if isinstance(row, RefusedRow) else None
        return _line({"row": asked.row, "contact": contact, "result": outcome, "why": why})


def _unless_unknown(
    connection: Connection, rows: tuple[RequestedSuppression | RefusedRow, ...]
) -> tuple[RequestedSuppression | RefusedRow, ...]:
    """Refuse the numbers that no numbering plan knows, unless something is stored about them."""
    odd = {row.key for row in rows if isinstance(row, RequestedSuppression) and row.unless_stored}
    stored = stored_keys(connection, odd) if odd else set()
    return tuple(
        row.unless_stored
        if isinstance(row, RequestedSuppression) and row.unless_stored and row.key not in stored
        else row
        for row in rows
    )


def _is_restored(row: Suppression | RefusedRow, asked: RequestedSuppression | RefusedRow) -> bool:
    return (
        isinstance(asked, RequestedSuppression)
        and asked.restored is not None
        and isinstance(row, Suppression)
    )


def _stored(rows: list[Suppression | RefusedRow]) -> list[Suppression]:
    return [row for row in rows if isinstance(row, Suppression)]


def _restored_columns(columns: Mapping[str, Any]) -> _RestoredColumns:
    """Return the columns of an exported row, whose CSV has texts. Raises MsgspecError."""
    given = {name: None if value == "" else value for name, value in columns.items()}
    given |= {name: given[name] or "" for name in ("seen_as", "actor")}
    given["code"] = NO_CODE if given["code"] is None else given["code"]
    evidence = given["evidence"] or []
    given["evidence"] = msgspec.json.decode(evidence) if isinstance(evidence, str) else evidence
    found = msgspec.convert(given, _RestoredColumns, strict=False)
    if any(not _is_storable(each) for each in found.evidence):
        raise msgspec.ValidationError("Expected evidence that the database can store")
    check_times(found)
    return found


def _is_storable(evidence: ChangeEvidence) -> bool:
    texts = (value for value in asdict(evidence).values() if isinstance(value, str))
    has_zone = evidence.occurred_at.tzinfo is not None
    return has_zone and abs(evidence.code) < 2**63 and not any("\0" in each for each in texts)


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
        active = (_values(row) for row in paced(page) if _is_in_force(row, now))
        yield write_rows(active, query.format).encode()
        if len(page) < _PAGE:
            return
        after = page[-1].key


def _is_in_force(row: Suppression, now: datetime) -> bool:
    return row.until is None or row.until > now or ends_with_probe(row.reason, row.scope)


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
        streams=(MEDIA["ndjson"],),
        uploads=tuple(MEDIA.values()),
    ),
    Endpoint("GET", "/v1/suppressions/export", export_suppressions, "viewer", streams=tuple(MEDIA.values())),
)
