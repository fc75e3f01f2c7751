"""/v1/codes: the meaning of Meta's error codes, what to do about them, and how often they occurred here."""

from functools import cache
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from webhook_app.store.counts.code_counts import (
    MAX_UNKNOWN,
    CodeCounts,
    failures_by_code,
    failures_by_subcode,
)
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Code
from webhook_app.web.rules_in_force import rules_counting
from webhook_app.whatsapp.errors.catalogue import ErrorCode, catalogue, checked_on, explain
from webhook_app.whatsapp.errors.retry import RetryAdvice, retry_advice
from webhook_app.whatsapp.events import NO_CODE


class CodeEntry(ErrorCode, frozen=True, kw_only=True):
    """One code of the catalogue, or a range up to `code_to`, with your own counts."""

    known: Annotated[bool, Meta(description="false if the catalogue does not contain the code.")]
    checked: Annotated[
        str,
        Meta(description="Day or month of the newest page of Meta's that it was checked against, or empty."),
    ]
    retry_advice: RetryAdvice
    seen: Annotated[CodeCounts, Meta(description="Your messages that failed with it.")]
    watched_by: Annotated[
        list[str] | None, Meta(description="Rules that count it; null if the rules file is invalid.")
    ]


class CodeList(Struct):
    """The whole catalogue, ordered by code, with the codes that occurred most often but are not in it."""

    codes: list[CodeEntry]


class CodeQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    subcode: Code | None = None


class CodesQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    limit: Annotated[
        int, Meta(ge=0, le=MAX_UNKNOWN, description="Maximum number of codes that are not in the catalogue.")
    ] = 100


def list_codes(call: Call, query: CodesQuery) -> CodeList:
    """List Meta's error codes: cause, retry advice, action, and how often each occurred here.

    Codes that are not in the catalogue are listed when they occurred within 30 days, at most `limit`,
    those with most failures. Beyond 500 new ones within an hour, further ones are counted as code -2.
    """
    codes = failures_by_code(call.connection, call.now, limit=query.limit)
    seen = _by_entry(codes) | _by_subcode(call)
    entries = {_key(entry): entry for entry in (*catalogue(), *map(explain, codes))}
    return CodeList(
        [entry_of(call, entry, seen.get(_key(entry), CodeCounts())) for _, entry in sorted(entries.items())]
    )


def get_code(call: Call, code: int, query: CodeQuery) -> CodeEntry:
    """Explain one error code. A code that is not in the catalogue is explained as unknown.

    With a subcode, the answer is the entry of code and subcode, or of the code alone if there is no such entry.
    """
    entry = explain(code, query.subcode)
    if entry.subcode is None:
        seen = failures_by_code(call.connection, call.now, code).get(code, CodeCounts())
    else:
        seen = failures_by_subcode(call.connection, call.now).get((entry.code, entry.subcode), CodeCounts())
    return entry_of(call, entry, seen)


def get_subcode(call: Call, code: int, subcode: int) -> CodeEntry:
    """Explain an error code with its subcode, or the code alone if there is no entry for the subcode."""
    return get_code(call, code, CodeQuery(subcode=subcode))


_Key = tuple[int, int, int]
"""First code, last code and subcode of an entry."""


def _by_entry(codes: dict[int, CodeCounts]) -> dict[_Key, CodeCounts]:
    """Add up the counts of all codes that one entry explains."""
    found: dict[_Key, CodeCounts] = {}
    for code, seen in codes.items():
        key = _key(explain(code))
        found[key] = found.get(key, CodeCounts()) + seen
    return found


def _by_subcode(call: Call) -> dict[_Key, CodeCounts]:
    found = failures_by_subcode(call.connection, call.now)
    return {(code, code, subcode): seen for (code, subcode), seen in found.items()}


def _key(entry: ErrorCode) -> _Key:
    return entry.code, entry.code_to, NO_CODE if entry.subcode is None else entry.subcode


@cache
def _catalogue_keys() -> frozenset[_Key]:
    return frozenset(map(_key, catalogue()))


def entry_of(call: Call, entry: ErrorCode, seen: CodeCounts) -> CodeEntry:
    known = _key(entry) in _catalogue_keys()
    return CodeEntry(
        **asdict(entry),
        known=known,
        checked=checked_on(entry),
        retry_advice=retry_advice(entry),
        seen=seen,
        watched_by=rules_counting(call.settings, entry),
    )


ENDPOINTS = (
    Endpoint("GET", "/v1/codes", list_codes, "viewer"),
    Endpoint("GET", "/v1/codes/{code}", get_code, "sender"),
    Endpoint("GET", "/v1/codes/{code}/{subcode}", get_subcode, "sender"),
)
