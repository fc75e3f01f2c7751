"""/suppressions/import: a list from a file, checked first. Read and stored as the API's import does.

A script asks for the results row by row while they are made; without one the page comes when all is done.
"""

from io import BytesIO
from typing import Any, Literal

import msgspec
from flask import Blueprint, Response, request
from msgspec import Struct, ValidationError, convert

from webhook_app.web.api.endpoints import Stream
from webhook_app.web.api.routes import MAX_UPLOAD_BYTES, streamed
from webhook_app.web.api.suppressions.suppression_files import ImportQuery, import_suppressions
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, call_of, render
from webhook_app.web.pages.wording import REASONS, SCOPES

_IMPORT = "/suppressions/import"
_LINES = "application/x-ndjson"
_SHOWN = 200
_FIELDS = ("scope", "reason", "phone_number_id", "note", "region")


class ImportResult(Struct):
    """What came of a file: rows that cannot be used, as many as a page holds, and the counts."""

    refused: list[dict[str, Any]]
    done: dict[str, Any] | None = None
    fault: str = ""


def add_suppression_import(blueprint: Blueprint, desk: PageContext) -> None:
    """The form, and what it posts to."""

    def import_page(visit: PageRequest) -> Response:
        return _page(visit, None)

    def import_file(visit: PageRequest) -> Response:
        upload = request.files.get("file")
        if upload is None or not upload.filename:
            return _page(visit, ImportResult([], fault="No file was chosen."))
        by_line = _LINES in request.headers.get("Accept", "")
        query = _query(upload.filename, "all" if by_line else "invalid")
        try:
            lines = import_suppressions(call_of(visit, desk), query, upload.stream)
        except ApiError as refused:
            return _page(visit, ImportResult([], fault=refused.message))
        if not by_line:
            return _page(visit, _collect(lines, desk))
        response = streamed(lines, desk.room.engine.begin)
        response.call_on_close(upload.stream.close)
        upload.stream = BytesIO()  # the request closes its files before all is answered
        return response

    add_page(blueprint, desk, _IMPORT, import_page)
    add_page(blueprint, desk, _IMPORT, import_file, method="POST", form_bytes=MAX_UPLOAD_BYTES)


def _page(visit: PageRequest, result: ImportResult | None) -> Response:
    response = render(visit, "import.html", result=result, reasons=REASONS, scopes=SCOPES, shown=_SHOWN)
    response.status_code = 400 if result and result.fault else 200
    return response


def _query(filename: str, results: Literal["all", "invalid"]) -> ImportQuery:
    values = {name: value for name in _FIELDS if (value := request.form.get(name, "").strip())}
    kind = "ndjson" if filename.lower().endswith((".ndjson", ".jsonl", ".json")) else "csv"
    kind = request.form.get("format") or kind
    dry_run = request.form.get("action") != "import"
    try:
        return convert(values | {"format": kind, "dry_run": dry_run, "results": results}, ImportQuery)
    except ValidationError as fault:
        raise ApiError(400, "bad_form", f"This cannot be used: {fault}.") from None


def _collect(lines: Stream, desk: PageContext) -> ImportResult:
    found = ImportResult([])
    for part in lines.parts(desk.room.engine.begin):
        for line in part.splitlines():
            told = msgspec.json.decode(line)
            if "row" in told and len(found.refused) < _SHOWN:
                found.refused.append(told)
            found.done = told.get("done", found.done)
            found.fault = told.get("error", {}).get("message", found.fault)
    return found
