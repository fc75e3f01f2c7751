"""The catalogue of Meta's error codes: fault domain, meaning, action and effect on the contact of each code.

Read once from the CSV files in this folder and validated row by row. Every code has an explanation;
an unknown code never counts against a contact. Decisions about failures are made elsewhere.
"""

import csv
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import resources
from io import StringIO
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta, Struct, ValidationError, convert

from webhook_app.whatsapp.events import NO_CODE, OTHER_CODE

CODES_CSV = "error_codes.csv"
MISREAD_CSV = "error_codes_misread.csv"
SOURCES_CSV = "error_codes_sources.csv"
FailureClass = Literal["broken", "withheld", "unreachable"]
Retry = Literal["no", "once", "backoff", "after_window", "after_fix"]
NonEmptyText = Annotated[str, Meta(min_length=1)]
Domain = Literal[
    "account", "auth", "calling", "consent", "groups", "media", "other",
    "platform", "policy", "rate_limit", "recipient", "registration", "sender_config", "template",
]  # fmt: skip
_CLASSES: dict[str, FailureClass] = {"consent": "withheld", "recipient": "unreachable"}
_CODE_COLUMNS = [
    "code", "subcode", "title", "http_status", "surface", "fault_domain", "retry",
    "contact_effect", "contact_reason", "attention", "summary", "action", "confidence", "sources",
]  # fmt: skip
_MISREAD_COLUMNS = ["code", "mistaken_for"]
_OTHER_TITLE = "Other codes: more unknown codes within an hour than are counted one by one"
_SOURCES_COLUMNS = ["source", "what", "checked"]


class ErrorCode(Struct, frozen=True, kw_only=True):
    """One code, or a range of codes, with its explanation."""

    code: int
    code_to: int
    """The last code of a range; equal to `code` for a single one."""
    subcode: int | None
    title: NonEmptyText
    official_title: bool
    """False if Meta gives no title and this one is ours."""
    http_status: Annotated[int, Meta(ge=100, le=599)] | None
    surface: Literal["sync", "webhook", "both", "unknown"]
    domain: Domain
    failure_class: FailureClass
    retry: Retry
    contact_effect: Literal["none", "soft", "hard", "marketing_only"]
    contact_reason: str
    """Why the code affects the contact, or does not although it is about a recipient; else empty."""
    attention: Literal["none", "watch", "page"]
    summary: NonEmptyText
    action: NonEmptyText
    confidence: Literal["low", "medium", "high"]
    sources: tuple[str, ...]
    mistaken_for: str
    """The meaning that other lists wrongly give, and the right one; empty if none is known."""


class CatalogueError(ValueError):
    """An invalid row in the catalogue; the message names file, line and fault."""


@lru_cache(maxsize=4096)
def explain(code: int, subcode: int | None = None) -> ErrorCode:
    """Look up a code: first with its subcode, then alone, then by range."""
    single, ranges = _index()
    found = single.get((code, subcode)) or single.get((code, None))
    return found or next((r for r in ranges if r.code <= code <= r.code_to), None) or _unknown(code)


def is_known(code: int) -> bool:
    """Whether the catalogue lists the code alone, in a range or with a subcode, or it means the absence of a code."""
    return code == NO_CODE or code in known_codes()


@cache
def known_codes() -> frozenset[int]:
    """Return all codes of the catalogue, those in ranges included."""
    return frozenset(number for entry in catalogue() for number in range(entry.code, entry.code_to + 1))


@cache
def catalogue() -> tuple[ErrorCode, ...]:
    """Return all known codes in file order; raises CatalogueError if a file is invalid."""
    package = resources.files(__package__)
    return read_catalogue(*((package / name).read_text("utf-8") for name in (CODES_CSV, MISREAD_CSV)))


def read_catalogue(codes: str, misread: str) -> tuple[ErrorCode, ...]:
    """Parse the texts of both files; raises CatalogueError at the first invalid row."""
    notes = _read_notes(misread)
    entries: dict[tuple[int, int, int | None], ErrorCode] = {}
    for place, row in _rows(codes, CODES_CSV, _CODE_COLUMNS):
        try:
            entry = _entry(row, notes)
        except (ValidationError, ValueError) as fault:
            raise CatalogueError(f"{place}: code {row['code']!r}: {fault}") from fault
        key = (entry.code, entry.code_to, entry.subcode)
        if key in entries:
            raise CatalogueError(f"{place}: code {row['code']!r}, subcode {row['subcode']!r}: duplicate")
        entries[key] = entry
    known = tuple(entries.values())
    _check_ranges(known)
    if unknown := notes.keys() - {e.code for e in known if e.subcode is None}:
        raise CatalogueError(f"{MISREAD_CSV}: not in {CODES_CSV}: {sorted(unknown)}")
    return known


@cache
def sources() -> dict[str, str]:
    """Map each source name to its description."""
    return {row["source"]: row["what"] for row in _source_rows()}


def checked_on(entry: ErrorCode) -> str:
    """The day or month of the newest page of Meta's that the entry was checked against; empty if none has a date."""
    return max((_checked().get(source, "") for source in entry.sources), default="")


@cache
def _checked() -> dict[str, str]:
    return {row["source"]: row["checked"] for row in _source_rows()}


def _source_rows() -> list[dict[str, str]]:
    text = (resources.files(__package__) / SOURCES_CSV).read_text("utf-8")
    return [row for _, row in _rows(text, SOURCES_CSV, _SOURCES_COLUMNS)]


@cache
def _index() -> tuple[dict[tuple[int, int | None], ErrorCode], tuple[ErrorCode, ...]]:
    single = {(e.code, e.subcode): e for e in catalogue() if e.code == e.code_to}
    return single, tuple(e for e in catalogue() if e.code != e.code_to)


def _rows(text: str, source: str, columns: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.reader(StringIO(text), strict=True)
    try:
        if next(reader, []) != columns:
            raise CatalogueError(f"{source}:1: the columns must be {', '.join(columns)}")
        for fields in reader:
            place = f"{source}:{reader.line_num}"
            if len(fields) != len(columns):
                raise CatalogueError(f"{place}: {len(fields)} fields instead of {len(columns)}: {fields[:2]}")
            yield place, dict(zip(columns, fields, strict=True))
    except csv.Error as fault:
        raise CatalogueError(f"{source}:{reader.line_num}: {fault}") from fault


def _read_notes(text: str) -> dict[int, str]:
    notes: dict[int, str] = {}
    for place, row in _rows(text, MISREAD_CSV, _MISREAD_COLUMNS):
        code = row["code"]
        if not code.isdecimal() or not row["mistaken_for"] or int(code) in notes:
            raise CatalogueError(f"{place}: code {code!r}: expected a code that is not repeated, and a text")
        notes[int(code)] = row["mistaken_for"]
    return notes


def _entry(row: dict[str, str], notes: dict[int, str]) -> ErrorCode:
    first, _, last = row["code"].partition("-")
    code, code_to = int(first), int(last or first)
    if code_to < code or (last and (code_to == code or row["subcode"])):
        raise ValueError("a range must ascend and have no subcode")
    single = not last and not row["subcode"]
    values = row | {
        "code": code,
        "code_to": code_to,
        "subcode": row["subcode"] or None,
        "title": row["title"].strip("[]"),
        "official_title": not row["title"].startswith("["),
        "http_status": row["http_status"] or None,
        "domain": row["fault_domain"],
        "failure_class": _CLASSES.get(row["fault_domain"], "broken"),
        "sources": [source for source in row["sources"].split("; ") if source],
        "mistaken_for": notes.get(code, "") if single else "",
    }
    entry = convert(values, ErrorCode, strict=False)
    if (entry.contact_effect != "none" or entry.domain in _CLASSES) and not entry.contact_reason:
        raise ValueError(
            "an effect on the contact needs a reason, and so does a recipient's code without one"
        )
    return entry


def _check_ranges(entries: tuple[ErrorCode, ...]) -> None:
    ranges = sorted((e.code, e.code_to) for e in entries if e.code != e.code_to)
    for (_, end), (start, _) in pairwise(ranges):
        if start <= end:
            raise CatalogueError(f"{CODES_CSV}: two ranges contain {start}")


def _unknown(code: int) -> ErrorCode:
    given = code != NO_CODE
    return ErrorCode(
        code=code,
        code_to=code,
        subcode=None,
        title=_OTHER_TITLE if code == OTHER_CODE else f"Unknown code {code}" if given else "No error code",
        official_title=False,
        http_status=None,
        surface="unknown",
        domain="other",
        failure_class="broken",
        retry="no",
        contact_effect="none",
        contact_reason="",
        attention="watch",
        summary="The catalogue does not list this code." if given else "Meta sent no valid error code.",
        action="Read the title and details in Meta's error, and look up the code on Meta's error page.",
        confidence="low",
        sources=(),
        mistaken_for="",
    )
