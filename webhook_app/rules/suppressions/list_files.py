"""Reads and writes lists of suppressions as CSV or NDJSON. No database, no clock.

An invalid row is returned with its reason, never raised, so that it affects no other row. A file that was exported
holds every column of the stored rows, so that importing it restores them as they were.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from math import inf
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Struct

from webhook_app.rules.csv_cells import csv_rows, text_of
from webhook_app.rules.suppressions.blocking import REASONS, ends_with_probe
from webhook_app.rules.suppressions.list_layout import (
    CONTACT,
    Format,
    UnreadableListError,
    column_name,
    find_layout,
    with_contact,
)
from webhook_app.whatsapp.json_text import has_long_numbers
from webhook_app.whatsapp.people.contacts import InvalidAddress, if_stored, parse_address, spelling

COLUMNS = (
    *("contact", "scope", "reason", "phone_number_id", "until", "note", "code", "since", "review", "why"),
    *("times", "evidence", "seen_as", "actor", "half_open_at", "probe_until"),
)
"""The columns written. Reading requires only `contact`."""

_KNOWN = frozenset(COLUMNS)
_DECIDED = COLUMNS[:6]
"""What a person decides; the other columns are read only from an exported row, which has `times`."""
RESTORED = ("code", "since", "review", "times", "evidence", "seen_as", "actor", "half_open_at", "probe_until")
_IS_EXPORTED = "times"
MAX_LENGTH_OF_ROW = 1_000_000
"""In characters: an exported row holds up to 1000 pieces of evidence."""
_MAX_LENGTH = 500
_MAX_MORE = 1_000  # columns that are not read
_MAX_SHOWN = 200
_END = "\0"  # no other line holds a NUL


class RefusedRow(Struct, frozen=True):
    """One invalid row, and the reason."""

    row: int
    contact: str
    why: str


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
    unless_stored: RefusedRow | None = None
    """The refusal of a number that no plan knows, unless the key is stored."""
    restored: Mapping[str, Any] | None = None
    """The other columns of an exported row, unread."""


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
    """Return every row in order. A CSV starts with its column names, or holds only contacts.

    Raises UnreadableListError at once if the list cannot be understood.
    """
    return (
        RefusedRow(number, "", row) if isinstance(row, str) else _parsed(number, row, defaults, now)
        for number, row in table_rows(lines, kind, _KNOWN)
    )


def table_rows(
    lines: Iterable[str], kind: Format, known: frozenset[str]
) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    """Return every row with its number, by the names of columns; a text says why a row cannot be read.

    Of the `known` columns each may occur once. Raises UnreadableListError at once.
    """
    return _json_rows(_checked_json(lines), known) if kind == "ndjson" else _csv_rows(lines, known)


def header(kind: Format) -> str:
    """The first line of a file."""
    return csv_rows([COLUMNS]) if kind == "csv" else ""


def write_rows(rows: Iterable[Mapping[str, Any]], kind: Format) -> str:
    """Rows of a file, from the values of COLUMNS."""
    if kind == "csv":
        return csv_rows([row[name] for name in COLUMNS] for row in rows)
    return "".join(msgspec.json.encode({name: row[name] for name in COLUMNS}).decode() + "\n" for row in rows)


def _csv_rows(lines: Iterable[str], known: frozenset[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    bounded = _BoundedLines(lines)
    try:
        layout, numbered = find_layout(bounded, known)
    except csv.Error as fault:
        raise UnreadableListError(f"The first line is {fault}.") from None
    table = csv.reader(chain(map(itemgetter(1), numbered), [_END]), delimiter=layout.separator)
    return _rows_of(table, bounded, layout.names)


def _rows_of(
    table: Any, lines: "_BoundedLines", names: tuple[str, ...]
) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    number = 0
    while True:
        lines.begin_row()
        try:
            cells = next(table, None)
        except csv.Error as fault:
            number += 1
            yield number, f"not a CSV line: {fault}"
            continue
        if cells is None or cells == [_END]:
            return
        if not any(cell.strip() for cell in cells):
            continue
        number += 1
        if cells[-1].endswith(_END):
            yield number, "a quote in this row is not closed; the lines after it were not read"
            return
        if len(cells) > len(names) + _MAX_MORE or any(cell.strip() for cell in cells[len(names) :]):
            yield number, f"{len(cells)} cells, but only {len(names)} columns"
        else:
            yield number, dict(zip(names, map(text_of, cells), strict=False))


class _BoundedLines:
    """The lines of a CSV. Raises csv.Error where a line or the row's lines are too long; goes on with the next one."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._left: float = inf

    def begin_row(self) -> None:
        """Count the characters of the next row, which quotes can spread over many lines."""
        self._left = MAX_LENGTH_OF_ROW

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._left -= len(line)
        if len(line) > MAX_LENGTH_OF_ROW or self._left < 0:
            raise csv.Error(f"longer than {MAX_LENGTH_OF_ROW} characters")
        return line.replace("\0", "\ufffd")


def _checked_json(lines: Iterable[str]) -> Iterator[str]:
    """Return the lines. Raises UnreadableListError if they are one JSON array."""
    rest = iter(lines)
    first = next((line for line in rest if line.strip()), "")
    if first.lstrip("\ufeff \t").startswith("[") and not first.rstrip().endswith("]"):
        raise UnreadableListError(
            "Line 1: this is a JSON array. Write one object per line, without brackets around."
        )
    return chain([first], rest)


def _json_rows(lines: Iterable[str], known: frozenset[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    number = 0
    for text in lines:
        if not text.strip():
            continue
        number += 1
        try:
            row = _json_value(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            yield number, "not a JSON line"
            continue
        except RecursionError:
            yield number, "nested too deeply"
            continue
        yield number, _named(row, number, known) if isinstance(row, dict) else _only_contact(row)


def _json_value(text: str) -> Any:
    if len(text) > MAX_LENGTH_OF_ROW or has_long_numbers(encoded := text.encode()):
        raise msgspec.DecodeError
    return msgspec.json.decode(encoded)


def _only_contact(row: Any) -> Mapping[str, Any] | str:
    return {CONTACT: row} if _is_readable(CONTACT, row) else "not an object"


def _named(row: Mapping[str, Any], number: int, known: frozenset[str]) -> Mapping[str, Any] | str:
    if CONTACT in row and known.issuperset(row):
        return row
    if len(row) > _MAX_MORE:
        return f"more than {_MAX_MORE} columns"
    try:
        names = with_contact([column_name(name) for name in row], number, known)
    except UnreadableListError as fault:
        return str(fault)
    return dict(zip(names, row.values(), strict=True))


def _parsed(
    number: int, row: Mapping[str, Any], defaults: Defaults, now: datetime
) -> RequestedSuppression | RefusedRow:
    values = {name: row[name] for name in _DECIDED if row.get(name) not in (None, "")}
    given = {name: str(value) if name == "note" else str(value).strip() for name, value in values.items()}
    contact = given.get(CONTACT, "")
    if odd := next((name for name, value in values.items() if not _is_readable(name, value)), ""):
        return RefusedRow(number, contact[:_MAX_SHOWN], f"{odd}: not a text")
    address = parse_address(contact, defaults.region)
    is_exported = row.get(_IS_EXPORTED) not in (None, "")
    if is_exported:
        address = if_stored(address, {address.literal})
    if isinstance(address, InvalidAddress) and not address.literal:
        return RefusedRow(number, address.as_given, f"contact: {address.reason}")
    scope = given.get("scope", defaults.scope)
    reason = given.get("reason", defaults.reason)
    until = _time(given.get("until", ""))
    may_be_past = is_exported and ends_with_probe(reason, scope)
    if fault := _fault(given, scope, reason, until, None if may_be_past else now):
        return RefusedRow(number, contact, fault)
    if isinstance(address, InvalidAddress):
        key, seen_as, why = address.literal, address.literal, f"contact: {address.reason}"
    else:
        key, seen_as, why = address.key, spelling(address), ""
    return RequestedSuppression(
        number,
        key,
        seen_as,
        scope,
        reason,
        given.get("phone_number_id", "" if is_exported else defaults.phone_number_id),
        until,
        given.get("note", "" if is_exported else defaults.note),
        RefusedRow(number, contact, why) if why else None,
        {name: row.get(name) for name in RESTORED} if is_exported else None,
    )


def _is_readable(name: str, value: Any) -> bool:
    return isinstance(value, str) or (name == CONTACT and _is_number(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fault(
    given: Mapping[str, str], scope: str, reason: str, until: datetime | None, after: datetime | None
) -> str:
    if scope not in ("all", "marketing"):
        return "scope: all or marketing"
    if reason not in REASONS:
        return f"reason: {', '.join(REASONS)}"
    if "until" in given and until is None:
        return "until: an ISO 8601 time with its zone, such as 2027-01-31T00:00:00Z"
    if until is not None and after is not None and until <= after:
        return "until: in the past"
    too_long = next((name for name, text in given.items() if len(text) > _MAX_LENGTH or "\0" in text), None)
    return f"{too_long}: longer than {_MAX_LENGTH} characters, or holds a NUL character" if too_long else ""


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
