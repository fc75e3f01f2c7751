"""/failures: search failures, export them, and read one with its support bundle. Reads as the API does."""

from datetime import timedelta
from functools import partial
from typing import Literal
from urllib.parse import urlencode

import msgspec
from flask import Response, make_response, redirect
from msgspec import Struct, structs

from webhook_app.store.counts.failures import failure_filters as failure_choice
from webhook_app.store.sends import retries
from webhook_app.store.sends.retries import RetryCounts
from webhook_app.web.api.counts.failure_export import FailureExportQuery, export_failures
from webhook_app.web.api.counts.failures import FailureList, FailuresQuery, get_failure, list_failures
from webhook_app.web.api.counts.support_bundle import BundleQuery, SupportBundle, get_support_bundle
from webhook_app.web.api.endpoints import Stream
from webhook_app.web.api.routes import streamed
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.counts import failure_filters
from webhook_app.web.pages.counts.failure_filters import FIELDS, NONE, FailureForm
from webhook_app.web.pages.page import Answer, Page, PageRequest, render
from webhook_app.web.pages.wording import RETRY_REASONS, RETRY_STATES, SOURCES
from webhook_app.whatsapp.errors.catalogue import catalogue

_PAGE = 25
_ALWAYS_SEEN = ("code", "contact", "since", "until")
_SPANS = {
    "Last hour": timedelta(hours=1),
    "24 hours": timedelta(days=1),
    "7 days": timedelta(days=7),
    "30 days": timedelta(days=30),
}


class FilterChip(Struct, frozen=True):
    """One filter in force, and the query without it."""

    name: str
    value: str
    without: str


def failure_list(request: PageRequest) -> Response:
    """The search form and a page of its results."""
    form = failure_filters.read(request.args)
    if any(not value.strip() for value in request.args.values()):
        return make_response(redirect(_address(form.given), code=303))  # a short address to share
    found, fault = _find(request, form)
    spans = {name: form.query(since=f"{request.now - span:%Y-%m-%d %H:%M}") for name, span in _SPANS.items()}
    return render(
        request,
        "failures.html",
        status=400 if fault else 200,
        form=form,
        fault=fault,
        failures=found.failures,
        following=found.next_cursor and form.query(cursor=found.next_cursor),
        is_first="cursor" not in request.args,
        chips=_chips(form),
        spans=spans,
        is_open=any(name not in _ALWAYS_SEEN for name in form.given),
        domains=sorted({entry.domain for entry in catalogue()}),
        known=failure_choice.known_values(request.connection),
        none=NONE,
        retries=_retries(request),
        retry_reasons=RETRY_REASONS,
    )


def failure_export(request: PageRequest) -> Answer:
    """The failures of the search as CSV or NDJSON."""
    form = failure_filters.read(request.args)
    if form.selection is None:
        raise ApiError(400, "bad_parameter", form.fault)
    kind: Literal["csv", "ndjson"] = "ndjson" if request.args.get("format") == "ndjson" else "csv"
    query = FailureExportQuery(**structs.asdict(form.selection), format=kind)
    return partial(streamed, export_failures(request.call, query), request.context.api.engine.begin)


def failure_page(request: PageRequest, failure_id: str) -> Response:
    """One failure."""
    call = request.call
    failure = get_failure(call, failure_id)
    bundle = get_support_bundle(call, failure_id, BundleQuery())
    assert isinstance(bundle, SupportBundle)  # noqa: S101  as JSON it is one
    errors = msgspec.json.format(msgspec.json.encode(failure.errors), indent=2).decode()
    return render(
        request,
        "failure.html",
        failure=failure,
        bundle=bundle,
        errors=errors,
        retry_states=RETRY_STATES,
        retry_reasons=RETRY_REASONS,
    )


def failure_bundle(request: PageRequest, failure_id: str) -> Answer:
    """The support bundle as a file."""
    kind: Literal["json", "text"] = "json" if request.args.get("format") == "json" else "text"
    bundle = get_support_bundle(request.call, failure_id, BundleQuery(format=kind))
    name = f"failure-{request.now:%Y%m%d-%H%M%S}"
    if isinstance(bundle, Stream):
        named = structs.replace(bundle, filename=f"{name}.txt")
        return partial(streamed, named, request.context.api.engine.begin)
    body = msgspec.json.format(msgspec.json.encode(bundle), indent=2)
    response = Response(body, content_type="application/json")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.json"'
    return response


def _find(request: PageRequest, form: FailureForm) -> tuple[FailureList, str]:
    """The results after the cursor, or why there are none."""
    if form.selection is None:
        return FailureList([], None), form.fault
    chosen = structs.asdict(form.selection)
    query = FailuresQuery(**chosen, limit=_PAGE, cursor=request.args.get("cursor"))
    try:
        return list_failures(request.call, query), ""
    except ApiError as refused:
        if refused.code not in ("bad_contact", "bad_incident"):
            raise
        return FailureList([], None), refused.message


def _retries(request: PageRequest) -> RetryCounts | None:
    """The number of retries on the first page without filters, if any sender claims them."""
    if request.args:
        return None
    found = retries.count(request.connection, request.now)
    return found if any(structs.astuple(found)) else None


def _chips(form: FailureForm) -> list[FilterChip]:
    return [
        FilterChip(FIELDS[name], _chip_value(name, value), form.without(name))
        for name, value in form.given.items()
    ]


def _chip_value(name: str, value: str) -> str:
    if name == "dead_letter":
        return "yes" if value == "true" else "no matter"
    return SOURCES.get(value, value) if name == "source" else value


def _address(given: dict[str, str]) -> str:
    return f"/failures?{urlencode(given)}" if given else "/failures"


PAGES = (
    Page("GET", "/failures", failure_list),
    Page("GET", "/failures/export", failure_export),
    Page("GET", "/failures/<failure_id>", failure_page),
    Page("GET", "/failures/<failure_id>/bundle", failure_bundle),
)
