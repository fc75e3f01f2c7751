"""/codes: what Meta's error codes mean, and how often each was seen here. Knowledge comes from the catalogue alone."""

from datetime import datetime, timedelta

from flask import Response
from msgspec import Struct
from werkzeug.exceptions import BadRequest

from webhook_app.store.counts.code_counts import CodeCounts, per_day, failures_by_code, failures_by_subcode
from webhook_app.store.postgres.engine import Connection
from webhook_app.web.api.counts.codes import CodeEntry, entry_of, list_codes
from webhook_app.web.api.counts.failures import FailuresQuery, list_failures
from webhook_app.web.pages.page import Page, PageRequest, live_response, redirect_with_message, render, render_part
from webhook_app.whatsapp.errors.catalogue import explain, sources
from webhook_app.whatsapp.errors.catalogue_page import code_label

_DAYS = 30
_LATEST = 10
_KEPT = timedelta(seconds=30)
_BIGINT = 2**63


class Day(Struct, frozen=True):
    """One bar of the history."""

    at: datetime
    failures: int
    share: float
    """Of the highest bar."""


class _Counts(Struct):
    """How often each code was seen, counted once for all who look within half a minute."""

    until: datetime | None = None
    found: dict[int, CodeCounts] = {}

    def of(self, connection: Connection, code: int, now: datetime) -> CodeCounts:
        if self.until is None or self.until <= now:
            self.found, self.until = failures_by_code(connection, now), now + _KEPT
        return self.found.get(code, CodeCounts())


##BODY##
"""The catalogue and each code."""
counts = _Counts()

def code_list(request: PageRequest) -> Response:
    wanted = request.args.get("text", "").strip()
    entries = [entry for entry in list_codes(request.call).codes if _mentions(entry, wanted)]
    entries.sort(key=lambda entry: -entry.seen.last_30_days)  # the rest stays in the order of the codes
    return render(request, "codes.html", entries=entries, wanted=wanted, code_label=code_label)

def code_page(request: PageRequest, code: int) -> Response:
    subcode = _subcode(request.args.get("subcode", ""))
    code = code if -_BIGINT <= code < _BIGINT else 0
    call = request.call
    known = explain(code, subcode)
    if known.subcode is None:
        seen = counts.of(request.connection, code, request.now)
    else:
        seen = failures_by_subcode(request.connection, request.now).get((code, known.subcode), CodeCounts())
    entry = entry_of(call, known, seen)
    days = per_day(request.connection, entry.code, entry.code_to, _DAYS, request.now)
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

Page("GET", "/codes", code_list),
Page("GET", "/codes/<int(signed=True):code>", code_page),


##END##
def _subcode(typed: str) -> int | None:
    try:
        found = int(typed) if typed else None
    except ValueError:
        raise BadRequest("subcode: expected a number.") from None
    return found if found is not None and -1 < found < _BIGINT else None


def _mentions(entry: CodeEntry, wanted: str) -> bool:
    told = (code_label(entry), entry.title, entry.summary, entry.domain.replace("_", " "))
    return not wanted or any(wanted.lower() in each.lower() for each in told)


def _bars(days: dict[datetime, int]) -> list[Day]:
    highest = max(days.values(), default=0) or 1
    return [Day(at, failures, failures / highest) for at, failures in days.items()]
