"""Reads and writes lists of opt-ins as CSV or NDJSON. An invalid row is returned with its reason, never raised."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from webhook_app.rules.csv_cells import csv_rows
from webhook_app.rules.suppressions.list_files import RefusedRow, table_rows
from webhook_app.rules.suppressions.list_layout import CONTACT, Format
from webhook_app.whatsapp.people.contacts import InvalidAddress, parse_address

COLUMNS = (CONTACT, "opted_in_at", "channel", "note", "actor", "recorded_at")
"""The columns written. Reading requires `contact` and `opted_in_at`."""
MAX_CHANNEL = 100
CLOCK_AHEAD = timedelta(minutes=5)
_READ = COLUMNS[:4]
_MAX_NOTE = 500
_MAX_SHOWN = 200


class RequestedOptIn(Struct, frozen=True):
    """One valid row."""

    row: int
    key: str
    opted_in_at: datetime
    channel: str
    note: str


def read_opt_ins(
    lines: Iterable[str], kind: Format, channel: str, region: str, now: datetime
) -> Iterator[RequestedOptIn | RefusedRow]:
    """Return every row in order; `channel` is for rows without one. Raises UnreadableListError at once."""
    return (
        RefusedRow(number, "", row) if isinstance(row, str) else _parsed(number, row, channel, region, now)
        for number, row in table_rows(lines, kind, frozenset(COLUMNS))
    )


def header(kind: Format) -> str:
    """The first line of a file."""
    return csv_rows([COLUMNS]) if kind == "csv" else ""


def write_opt_ins(rows: Iterable[Mapping[str, Any]], kind: Format) -> str:
    """Rows of a file, from the values of COLUMNS."""
    if kind == "csv":
        return csv_rows([row[name] for name in COLUMNS] for row in rows)
    return "".join(msgspec.json.encode({name: row[name] for name in COLUMNS}).decode() + "\n" for row in rows)


def _parsed(
    number: int, row: Mapping[str, Any], channel: str, region: str, now: datetime
) -> RequestedOptIn | RefusedRow:
    given = {name: str(row.get(name) or "").strip() for name in _READ}
    address = parse_address(given[CONTACT], region)
    if isinstance(address, InvalidAddress):
        return RefusedRow(number, address.as_given[:_MAX_SHOWN], f"contact: {address.reason}")
    at, channel = _time(given["opted_in_at"]), given["channel"] or channel
    if at is None:
        fault = "opted_in_at: an ISO 8601 time with its zone, such as 2026-01-31T00:00:00Z"
    elif at.year < 1970 or at > now + CLOCK_AHEAD:
        fault = "opted_in_at: before 1970, or in the future"
    elif not channel or len(channel) > MAX_CHANNEL:
        fault = f"channel: where the person agreed, in up to {MAX_CHANNEL} characters"
    elif len(given["note"]) > _MAX_NOTE or any("\0" in text for text in (channel, given["note"])):
        fault = f"note: longer than {_MAX_NOTE} characters, or holds a NUL character"
    else:
        return RequestedOptIn(number, address.key, at, channel, given["note"])
    return RefusedRow(number, given[CONTACT][:_MAX_SHOWN], fault)


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
