"""Finds how a list of suppressions is laid out: encoding, format, separator and the column of the contact.

People export lists from spreadsheets and other systems. A list that cannot be understood is refused once, with the line
and what to change, instead of row by row.
"""

import codecs
import csv
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal

from msgspec import Struct

Format = Literal["csv", "ndjson"]

CONTACT = "contact"
_CONTACT_NAMES = frozenset(
    (
        *(
            "phone",
            "phone_number",
            "phone_no",
            "phonenumber",
            "mobile",
            "mobile_number",
            "mobile_phone",
            "mobile_no",
            "cell",
            "cell_phone",
            "cellphone",
            "number",
        ),
        *(
            "msisdn",
            "e164",
            "tel",
            "telephone",
            "telephone_number",
            "telefon",
            "telefonnummer",
            "handy",
            "handynummer",
            "mobilnummer",
            "telefono",
        ),
        *(
            "numero_de_telefono",
            "movil",
            "celular",
            "telefone",
            "numero_de_telefone",
            "whatsapp",
            "whatsapp_number",
            "whatsapp_id",
            "wa_id",
            "waid",
            "wa_number",
        ),
        *("recipient", "recipient_id", "phone_1_value", "bsuid"),
    )
)
_SEPARATORS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_NDJSON_MEDIA = ("ndjson", "jsonl", "json-lines", "jsonlines", "json-seq")
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_MAX_SHOWN = 100
_MAX_HEADER = 10_000


class UnreadableListError(ValueError):
    """The list cannot be read at all; the message names the line and what to change."""


class Layout(Struct, frozen=True):
    """How a CSV is laid out. `names`: its columns in order."""

    separator: str
    names: tuple[str, ...]


def encoding_of(start: bytes) -> str:
    """Return the encoding of a file that begins with these bytes. Raises UnreadableListError for a workbook."""
    if start.startswith(_WORKBOOKS):
        raise UnreadableListError("Line 1: this is a workbook. Save it as CSV (UTF-8), and import that file.")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    pairs = len(start) // 2
    if pairs and start[1::2].count(0) > pairs // 2:
        return "utf-16-le"
    if pairs and start[::2].count(0) > pairs // 2:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8-sig")().decode(start)  # the last character may be cut off
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def format_of(media_type: str, start: str) -> Format:
    """Return the format of a list with this content type, or if that does not say, with these first characters."""
    if any(name in media_type.lower() for name in _NDJSON_MEDIA):
        return "ndjson"
    return "ndjson" if start.lstrip().startswith(("{", "[")) else "csv"


def find_layout(
    lines: Iterable[str], known: Collection[str] = ()
) -> tuple[Layout, Iterator[tuple[int, str]]]:
    """Return the layout of a CSV, and its rows as numbered lines without the column names.

    Of the `known` columns each may occur once. Raises UnreadableListError.
    """
    numbered = enumerate(lines, 1)
    first = next((each for each in numbered if each[1].strip()), None)
    if first is None:
        return Layout(",", (CONTACT,)), iter(())
    separators = _SEPARATORS
    if named := _SEPARATOR_LINE.fullmatch(first[1].lstrip("\ufeff")):
        separators = named[1]
        first = next((each for each in numbered if each[1].strip()), None)
        if first is None:
            return Layout(separators, (CONTACT,)), iter(())
    number, line = first
    by_separator = {each: _cells(line[:_MAX_HEADER], each) for each in separators}
    for separator, cells in sorted(by_separator.items(), key=lambda each: -len(each[1])):
        names = tuple(map(column_name, cells))
        if CONTACT in names or _CONTACT_NAMES.intersection(names):
            return Layout(separator, with_contact(names, number, known)), numbered
    separator, cells = max(
        by_separator.items(), key=lambda each: len([cell for cell in each[1] if cell.strip()])
    )
    if any(cell.strip() for cell in cells[1:]):
        shown = line.strip()[:_MAX_SHOWN]
        raise UnreadableListError(
            f"Line {number}: no column is called contact (or phone, number, msisdn). Name the columns in the first"
            f" line, separated by commas, semicolons or tabs. The line is: {shown}"
        )
    return Layout(separator, (CONTACT,)), chain([first], numbered)


def with_contact(names: Sequence[str], line: int, known: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names with the one that holds the contact replaced by `contact`.

    Raises UnreadableListError, also for a `known` name that occurs twice.
    """
    if twice := next((name for name in names if name in known and names.count(name) > 1), ""):
        raise UnreadableListError(f"Line {line}: two columns are called {twice}. Remove one of them.")
    if CONTACT in names:
        return tuple(names)
    found = [name for name in names if name in _CONTACT_NAMES]
    if len(found) > 1:
        listed = " and ".join(found)
        raise UnreadableListError(
            f"Line {line}: {listed} may both hold the contact. Call one of them contact."
        )
    return tuple(CONTACT if name in _CONTACT_NAMES else name for name in names)


def column_name(text: str) -> str:
    """Return the name of a column in one form: `Phone Number` and `phone-number` are phone_number."""
    plain = unicodedata.normalize("NFKD", text.removeprefix("\ufeff"))
    letters = "".join(each for each in plain if not unicodedata.combining(each)).lower()
    return re.sub(r"[^a-z0-9]+", "_", letters).strip("_")


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return [line]
