"""Reads and writes lists of suppressions as CSV or NDJSON. No database, no clock.

An invalid row is returned with its reason, never raised, so that it affects no other row.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from webhook_app.rules.csv_cells import csv_rows, text_of
from webhook_app.rules.suppressions.blocking import REASONS
from webhook_app.whatsapp.people.contacts import InvalidAddress, parse_address, spelling

Format = Literal["csv", "ndjson"]

COLUMNS = ("contact", "scope", "reason", "phone_number_id", "until", "note", "code", "since", "review", "why")
"""The columns written. Reading requires only `contact`, and ignores code, since, review and why."""

_READ = COLUMNS[:6]
_MAX_LENGTH = 500
_MAX_LINE = 10_000


class RequestedSuppression(Struct, frozen=True):
    """One valid row."""

    row: int
    key: str
    seen_as: str
    scope: str
    reason: str
    phone_number_id: str
    until: datetime | None
    note: str


class RefusedRow(Struct, frozen=True):
    """One invalid row, and the reason."""

    row: int
    contact: str
    why: str


class Defaults(Struct, frozen=True):
    """The values of columns that a row leaves empty."""

    scope: str = "all"
    reason: str = "manual"
    phone_number_id: str = ""
    note: str = ""
    region: str = ""


def read_rows(
    lines: Iterable[str], kind: Format, defaults: Defaults, now: datetime
) -> Iterator[RequestedSuppression | RefusedRow]:
    """Every row in order. A CSV starts with its column names, or holds only contacts."""
    for number, row in _rows(lines, kind):
        yield RefusedRow(number, "", row) if isinstance(row, str) else _parsed(number, row, defaults, now)


def header(kind: Format) -> str:
    """The first line of a file."""
    return csv_rows([COLUMNS]) if kind == "csv" else ""


def write_rows(rows: Iterable[Mapping[str, Any]], kind: Format) -> str:
    """Rows of a file, from the values of COLUMNS."""
    if kind == "csv":
        return csv_rows([row[name] for name in COLUMNS] for row in rows)
    return "".join(msgspec.json.encode({name: row[name] for name in COLUMNS}).decode() + "\n" for row in rows)


def _rows(lines: Iterable[str], kind: Format) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    if kind == "ndjson":
        yield from _json_rows(lines)
        return
    names: list[str] | None = None
    table = csv.reader(_bounded(lines))
    number = 0
    while True:
        try:
            cells = next(table, None)
        except csv.Error as fault:
            number += 1
            yield number, f"not a CSV line: {fault}"
            continue
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            found = [cell.strip().lower().removeprefix("\ufeff") for cell in cells]
            if "contact" in found:
                names = found
                continue
            names = ["contact"]
        number += 1
        if len(cells) > len(names):
            yield number, f"{len(cells)} cells, but only {len(names)} columns"
        else:
            yield number, dict(zip(names, map(text_of, cells), strict=False))


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    """Cut endless lines: csv buffers everything inside an open quote."""
    for text in lines:
        yield text[:_MAX_LINE].replace("\0", "\ufffd")


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    number = 0
    for text in lines:
        if not text.strip():
            continue
        number += 1
        try:
            row = msgspec.json.decode(text.encode())
        except (msgspec.DecodeError, UnicodeEncodeError):
            yield number, "not a JSON line"
            continue
        yield (
            number,
            {"contact": row} if isinstance(row, str) else row if isinstance(row, dict) else "not an object",
        )


def _parsed(
    number: int, row: Mapping[str, Any], defaults: Defaults, now: datetime
) -> RequestedSuppression | RefusedRow:
    given = {name: str(row[name]) for name in _READ if row.get(name) not in (None, "")}
    given = {name: text if name == "note" else text.strip() for name, text in given.items()}
    contact = given.get("contact", "")
    address = parse_address(contact, defaults.region)
    if isinstance(address, InvalidAddress):
        return RefusedRow(number, address.as_given, f"contact: {address.reason}")
    scope = given.get("scope", defaults.scope)
    reason = given.get("reason", defaults.reason)
    until = _time(given.get("until", ""))
    if fault := _fault(given, scope, reason, until, now):
        return RefusedRow(number, contact, fault)
    return RequestedSuppression(
        number,
        address.key,
        spelling(address),
        scope,
        reason,
        given.get("phone_number_id", defaults.phone_number_id),
        until,
        given.get("note", defaults.note),
    )


def _fault(given: Mapping[str, str], scope: str, reason: str, until: datetime | None, now: datetime) -> str:
    if scope not in ("all", "marketing"):
        return "scope: all or marketing"
    if reason not in REASONS:
        return f"reason: {', '.join(REASONS)}"
    if "until" in given and until is None:
        return "until: an ISO 8601 time with its zone, such as 2027-01-31T00:00:00Z"
    if until is not None and until <= now:
        return "until: in the past"
    too_long = next((name for name, text in given.items() if len(text) > _MAX_LENGTH or "\0" in text), None)
    return f"{too_long}: longer than {_MAX_LENGTH} characters, or holds a NUL character" if too_long else ""


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
