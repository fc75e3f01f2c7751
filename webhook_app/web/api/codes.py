"""/v1/codes: what Meta's error codes mean, what to do about them, and how often we saw them."""

from collections import Counter
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from webhook_app.store import counts
from webhook_app.store.window_counts import Mark
from webhook_app.web.endpoints import Call, Endpoint
from webhook_app.web.values import Code
from webhook_app.whatsapp.error_codes import ErrorCode, RetryAdvice, catalogue, explain, retry_advice

_DAY_MINUTES = 24 * 60

_Seen = Annotated[
    int | None,
    Meta(
        description="Distinct messages that failed with it in the last 24 hours; null: not counted by subcode."
    ),
]


class CodeEntry(ErrorCode, frozen=True, kw_only=True):
    """One code of the catalogue (or a range, up to `code_to`), with our own count."""

    known: bool
    """False when the catalogue does not have the code."""
    retry_advice: RetryAdvice
    failures_24h: _Seen


class CodeList(Struct):
    """The whole catalogue in the order of the codes, codes seen that it lacks included."""

    codes: list[CodeEntry]


class CodeQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    subcode: Code | None = None


def list_codes(call: Call) -> CodeList:
    """Meta's error codes: whose fault, whether to retry, what to do, with our own counts."""
    seen = _seen(call)
    entries = {_key(entry): entry for entry in (*catalogue(), *map(explain, seen))}
    failures = _by_entry(seen)
    found = [_entry(entry, failures[key]) for key, entry in sorted(entries.items())]
    return CodeList(found)


def get_code(call: Call, code: int, query: CodeQuery) -> CodeEntry:
    """What one error code means. Codes nobody knows are explained too, as unknown.

    With a subcode: the entry of both together, or of the code alone when there is none.
    """
    entry = explain(code, query.subcode)
    seen = _seen(call)
    return _entry(entry, seen[code] if entry.code == entry.code_to else _by_entry(seen)[_key(entry)])


def _seen(call: Call) -> Counter[int]:
    """Distinct messages by code."""
    start, end = counts.window(call.now, _DAY_MINUTES)
    found: Counter[int] = Counter()
    for failed in counts.failures_by_code_and_series(call.connection, start, end):
        for code in _codes(failed.marks):
            found[code] += failed.messages
    return found


def _codes(marks: tuple[Mark, ...]) -> set[int]:
    return {mark.code for mark in marks}


def _by_entry(seen: Counter[int]) -> Counter[tuple[int, int, int]]:
    """The same by the entry that explains the code: those of a range are added up."""
    found: Counter[tuple[int, int, int]] = Counter()
    for code, messages in seen.items():
        found[_key(explain(code))] += messages
    return found


def _key(entry: ErrorCode) -> tuple[int, int, int]:
    return entry.code, entry.code_to, -1 if entry.subcode is None else entry.subcode


def _entry(entry: ErrorCode, failures: int) -> CodeEntry:
    known = _key(entry) in {_key(each) for each in catalogue()}
    counted = failures if entry.subcode is None else None
    return CodeEntry(**asdict(entry), known=known, retry_advice=retry_advice(entry), failures_24h=counted)


ENDPOINTS = (
    Endpoint("GET", "/v1/codes", list_codes, "viewer"),
    Endpoint("GET", "/v1/codes/{code}", get_code, "sender"),
)
