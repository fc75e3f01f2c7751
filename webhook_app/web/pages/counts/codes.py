"""/codes: what Meta's error codes mean, from the catalogue, and how often each was seen here."""

from datetime import datetime, timedelta

from flask import Response
from msgspec import Struct
from werkzeug.exceptions import BadRequest

from webhook_app.store.counts.code_counts import CodeCounts, failures_by_code, failures_by_subcode, per_day
from webhook_app.web.api.counts.codes import CodeEntry, CodesQuery, entry_of, list_codes
from webhook_app.web.api.counts.failures import FailuresQuery, list_failures
from webhook_app.web.pages.page import Page, PageRequest, render
from webhook_app.whatsapp.errors.catalogue import explain, sources
from webhook_app.whatsapp.errors.catalogue_page import code_label

_DAYS = 30
_LATEST = 10
_BIGINT = 2**63
_KEPT = timedelta(seconds=30)


class Day(Struct, frozen=True):
    """One bar of the history."""

    at: datetime
    failures: int
    share: float
    """Of the highest bar."""


def code_list(request: PageRequest) -> Response:
    """The catalogue, the codes seen most often first."""
    wanted = request.args.get("text", "").strip()
    entries = [entry for entry in list_codes(request.call, CodesQuery()).codes if _mentions(entry, wanted)]
    entries.sort(key=lambda entry: -entry.seen.last_30_days)  # equal ones stay in the order of the codes
    return render(request, "codes.html", entries=entries, wanted=wanted, code_label=code_label)


def code_page(request: PageRequest, code: int) -> Response:
    """One code, its history and its latest failures."""
    subcode = _subcode(request.args.get("subcode", ""))
    code = code if -_BIGINT <= code < _BIGINT else 0
    call, connection, now = request.call, request.connection, request.now
    known = explain(code, subcode)
    if known.subcode is None:
        codes = request.keep("codes", _KEPT, lambda: failures_by_code(connection, now))
        seen = codes.get(code, CodeCounts())
    else:
        seen = failures_by_subcode(connection, now).get((code, known.subcode), CodeCounts())
    entry = entry_of(call, known, seen)
    days = per_day(connection, entry.code, entry.code_to, _DAYS, now)
    chosen = FailuresQuery(code=code, subcode=entry.subcode, limit=_LATEST)
    return render(
        request,
        "code.html",
        entry=entry,
        code=code,
        name=code_label(entry),
        days=_bars(days),
        latest=list_failures(call, chosen).failures,
        sources=sources(),
    )


def _subcode(typed: str) -> int | None:
    try:
        found = int(typed) if typed else None
    except ValueError:
        raise BadRequest("subcode: expected a number.") from None
    return found if found is not None and -1 < found < _BIGINT else None


def _mentions(entry: CodeEntry, wanted: str) -> bool:
    texts = (code_label(entry), entry.title, entry.summary, entry.domain.replace("_", " "))
    return not wanted or any(wanted.lower() in each.lower() for each in texts)


def _bars(days: dict[datetime, int]) -> list[Day]:
    highest = max(days.values(), default=0) or 1
    return [Day(at, failures, failures / highest) for at, failures in days.items()]


PAGES = (
    Page("GET", "/codes", code_list),
    Page("GET", "/codes/<int(signed=True):code>", code_page),
)
