"""Suppressions as files: CSV or NDJSON rows read into what they ask for, and rows written. No database, no clock.

A row that cannot be used is a value with its reason, never an exception: the others are not its fault.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from webhook_app.rules.suppressions.blocking import REASONS
from webhook_app.whatsapp.people.contacts import InvalidAddress, parse_address, spelling

Format = Literal["csv", "ndjson"]

COLUMNS = ("contact", "scope", "reason", "phone_number_id", "until", "note", "code", "since", "review")
"""What is written; of these `contact` alone must be given when reading, and code, since and review are not read."""

_READ = COLUMNS[:6]
_LONGEST = 500
_FORMULA = ("=", "@", "+", "-", "\t", "\r")


class RequestedSuppression(Struct, frozen=True):
    """One row that can be used."""

    row: int
    key: str
    seen_as: str
    scope: str
    reason: str
    phone_number_id: str
    until: datetime | None
    note: str


class RefusedRow(Struct, frozen=True):
    """One row that cannot, and why."""

    row: int
    contact: str
    why: str


class Defaults(Struct, frozen=True):
    """What rows say that do not say otherwise."""

    scope: str = "all"
    reason: str = "manual"
    phone_number_id: str = ""
    note: str = ""
    region: str = ""


def read(
    lines: Iterable[str], kind: Format, defaults: Defaults, now: datetime
) -> Iterator[RequestedSuppression | RefusedRow]:
    """Every row in order. A CSV begins with its column names, or holds nothing but contacts."""
    for number, row in _rows(lines, kind):
        yield RefusedRow(number, "", row) if isinstance(row, str) else _understood(number, row, defaults, now)


def header(kind: Format) -> str:
    """The first line of a file."""
    return ",".join(COLUMNS) + "\n" if kind == "csv" else ""


def line(values: Mapping[str, Any], kind: Format) -> str:
    """One row of a file, from the values of COLUMNS."""
    if kind == "ndjson":
        return msgspec.json.encode({name: values[name] for name in COLUMNS}).decode() + "\n"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_cell(values[name]) for name in COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    text = str(value)
    # A spreadsheet would take what people typed into a note for a formula; a phone number's + is harmless.
    return "'" + text if text.startswith(_FORMULA) and not text[1:].isdecimal() else text


def _uncell(text: str) -> str:
    return text[1:] if text[:1] == "'" and text[1:].startswith(_FORMULA) else text


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
            yield number, f"the line is no CSV: {fault}"
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
            yield number, dict(zip(names, map(_uncell, cells), strict=False))


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    """csv keeps what belongs to an open quote; an endless one is cut."""
    for text in lines:
        yield text[:10_000].replace("\0", "\ufffd")


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    number = 0
    for text in lines:
        if not text.strip():
            continue
        number += 1
        try:
            row = msgspec.json.decode(text.encode())
        except (msgspec.DecodeError, UnicodeEncodeError):
            yield number, "the line is no JSON"
            continue
        yield (
            number,
            {"contact": row} if isinstance(row, str) else row if isinstance(row, dict) else "no object",
        )


def _understood(
    number: int, row: Mapping[str, Any], defaults: Defaults, now: datetime
) -> RequestedSuppression | RefusedRow:
    said = {name: str(row[name]).strip() for name in _READ if row.get(name) not in (None, "")}
    given = said.get("contact", "")
    address = parse_address(given, defaults.region)
    if isinstance(address, InvalidAddress):
        return RefusedRow(number, address.as_given, f"contact: {address.reason}")
    scope = said.get("scope", defaults.scope)
    reason = said.get("reason", defaults.reason)
    until = _time(said.get("until", ""))
    if fault := _fault(said, scope, reason, until, now):
        return RefusedRow(number, given, fault)
    return RequestedSuppression(
        number,
        address.key,
        spelling(address),
        scope,
        reason,
        said.get("phone_number_id", defaults.phone_number_id),
        until,
        said.get("note", defaults.note),
    )


def _fault(said: Mapping[str, str], scope: str, reason: str, until: datetime | None, now: datetime) -> str:
    if scope not in ("all", "marketing"):
        return "scope: all or marketing"
    if reason not in REASONS:
        return f"reason: {', '.join(REASONS)}"
    if "until" in said and until is None:
        return "until: an ISO 8601 time with its zone, such as 2027-01-31T00:00:00Z"
    if until is not None and until <= now:
        return "until: lies in the past"
    too_long = next((name for name, text in said.items() if len(text) > _LONGEST or "\0" in text), None)
    return f"{too_long}: longer than {_LONGEST} characters, or not storable" if too_long else ""


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
