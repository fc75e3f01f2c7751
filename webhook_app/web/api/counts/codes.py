"""/v1/codes: what Meta's error codes mean, what to do about them, and how often we saw them."""

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from webhook_app.store.counts.code_counts import Seen, seen_by_code, seen_by_subcode
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Code
from webhook_app.web.rules_in_force import watching
from webhook_app.whatsapp.errors.catalogue import ErrorCode, catalogue, explain
from webhook_app.whatsapp.errors.retry import RetryAdvice, retry_advice
from webhook_app.whatsapp.events import NO_CODE


class CodeEntry(ErrorCode, frozen=True, kw_only=True):
    """One code of the catalogue (or a range, up to `code_to`), with our own counts."""

    known: bool
    """False when the catalogue does not have the code."""
    retry_advice: RetryAdvice
    seen: Annotated[Seen, Meta(description="Messages of ours that failed with it.")]
    watched_by: Annotated[
        list[str] | None, Meta(description="The rules that count it; null: the rules file cannot be used.")
    ]


class CodeList(Struct):
    """The whole catalogue in the order of the codes, codes seen that it lacks included."""

    codes: list[CodeEntry]


class CodeQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    subcode: Code | None = None


def list_codes(call: Call) -> CodeList:
    """Meta's error codes: whose fault, whether to retry, what to do, with our own counts."""
    codes = seen_by_code(call.connection, call.now)
    seen = _by_entry(codes) | _by_pair(call)
    entries = {_key(entry): entry for entry in (*catalogue(), *map(explain, codes))}
    return CodeList(
        [entry_of(call, entry, seen.get(_key(entry), Seen())) for _, entry in sorted(entries.items())]
    )


def get_code(call: Call, code: int, query: CodeQuery) -> CodeEntry:
    """What one error code means. Codes nobody knows are explained too, as unknown.

    With a subcode: the entry of both together, or of the code alone when there is none.
    """
    entry = explain(code, query.subcode)
    if entry.subcode is None:
        seen = seen_by_code(call.connection, call.now).get(code, Seen())
    else:
        seen = seen_by_subcode(call.connection, call.now).get((entry.code, entry.subcode), Seen())
    return entry_of(call, entry, seen)


def get_subcode(call: Call, code: int, subcode: int) -> CodeEntry:
    """What an error code means together with its subcode, or alone when the subcode says nothing more."""
    return get_code(call, code, CodeQuery(subcode=subcode))


_Key = tuple[int, int, int]
"""First code, last code and subcode of an entry."""


def _by_entry(codes: dict[int, Seen]) -> dict[_Key, Seen]:
    """By the entry that explains the code: those of a range are added up."""
    found: dict[_Key, Seen] = {}
    for code, seen in codes.items():
        key = _key(explain(code))
        found[key] = found.get(key, Seen()) + seen
    return found


def _by_pair(call: Call) -> dict[_Key, Seen]:
    found = seen_by_subcode(call.connection, call.now)
    return {(code, code, subcode): seen for (code, subcode), seen in found.items()}


def _key(entry: ErrorCode) -> _Key:
    return entry.code, entry.code_to, NO_CODE if entry.subcode is None else entry.subcode


def entry_of(call: Call, entry: ErrorCode, seen: Seen) -> CodeEntry:
    known = _key(entry) in {_key(each) for each in catalogue()}
    return CodeEntry(
        **asdict(entry),
        known=known,
        retry_advice=retry_advice(entry),
        seen=seen,
        watched_by=watching(call.settings, entry),
    )


ENDPOINTS = (
    Endpoint("GET", "/v1/codes", list_codes, "viewer"),
    Endpoint("GET", "/v1/codes/{code}", get_code, "sender"),
    Endpoint("GET", "/v1/codes/{code}/{subcode}", get_subcode, "sender"),
)
