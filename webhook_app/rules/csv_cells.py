"""Rows of CSV files that a spreadsheet shows and never executes, and the way back. Every CSV export is written here.

What a spreadsheet would take for a formula gets an apostrophe in front. A phone number keeps its plus sign.
"""

import csv
import io
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

# Also behind white space and quotes, and as the full-width characters that East Asian versions accept.
_FORMULA = re.compile("'*(?:[\"\\s\\x00-\\x20\ufeff\u200b]*[=+\\-@＝＋－＠]|[\\t\\r\\n])")  # noqa: RUF001
# A spreadsheet that separates columns by semicolons or tabs begins a cell behind each, and reads the quotes that we
# write twice as the begin and end of a quoted text; a line break begins a row.
_SIGN = '(?:[^\\S\\t\\n\\r]|["\\x00-\\x08\\x0e-\\x1f\ufeff\u200b])*[=+\\-@＝＋－＠]'  # noqa: RUF001
_INSIDE = re.compile(f"(?<=[;\\t\\n\\r])(?='*{_SIGN})")
_GUARDED = re.compile(f"(?<=[;\\t\\n\\r])'(?='*{_SIGN})")
_PHONE_NUMBER = re.compile(r"\+[0-9]{1,20}\Z", re.ASCII)


def csv_rows(rows: Iterable[Iterable[Any]]) -> str:
    """These rows as CSV; None is an empty cell, times are UTC, lists and objects are JSON."""
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def text_of(cell: str) -> str:
    """The text that `csv_rows` wrote as this cell."""
    text = _GUARDED.sub("", cell)
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode().strip('"')
    guard = "'" if _FORMULA.match(text) and not _PHONE_NUMBER.match(text) else ""
    return guard + _INSIDE.sub("'", text)
