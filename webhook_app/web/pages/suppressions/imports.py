"""/suppressions/import: import a file, after checking it. Uses the API's import.

The page's script reads the result row by row; without it the page comes when the import is done.
"""

from io import BytesIO
from typing import Any, Literal

import msgspec
from flask import Response
from msgspec import Struct

from webhook_app.web.api.endpoints import Stream, Upload
from webhook_app.web.api.routes import MAX_UPLOAD_BYTES, streamed
from webhook_app.web.api.suppressions.suppression_files import ImportQuery, import_suppressions
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.page import Answer, Page, PageRequest, read_form, render
from webhook_app.web.pages.wording import REASONS, SCOPES

_IMPORT = "/suppressions/import"
_LINES = "application/x-ndjson"
_SHOWN = 200
_FIELDS = ("scope", "reason", "phone_number_id", "note", "region")


class ImportResult(Struct):
    """The result of one file: its unusable rows, as many as a page holds, and the counts."""

    refused: list[dict[str, Any]]
    done: dict[str, Any] | None = None
    fault: str = ""


def import_page(request: PageRequest) -> Response:
    """The form."""
    return _page(request, None)


def import_file(request: PageRequest) -> Answer:
    """Check or import the file of the form."""
    upload = request.http.files.get("file")
    if upload is None or not upload.filename:
        return _page(request, ImportResult([], fault="No file was chosen."))
    by_line = _LINES in request.http.headers.get("Accept", "")
    query = _query(request, upload.filename, "all" if by_line else "invalid")
    try:
        lines = import_suppressions(request.call, query, Upload(upload.stream, upload.mimetype))
    except ApiError as refused:
        return _page(request, ImportResult([], fault=refused.message))
    if not by_line:
        return lambda: _page(request, _collect(request, lines))
    file = upload.stream
    upload.stream = BytesIO()  # the request closes its files before the answer is sent

    def respond() -> Response:
        response = streamed(lines, request.context.api.engine.begin)
        response.call_on_close(file.close)
        return response

    return respond


def _page(request: PageRequest, result: ImportResult | None) -> Response:
    return render(
        request,
        "import.html",
        status=400 if result and result.fault else 200,
        result=result,
        reasons=REASONS,
        scopes=SCOPES,
        shown=_SHOWN,
    )


def _query(request: PageRequest, filename: str, results: Literal["all", "invalid"]) -> ImportQuery:
    values = {name: value for name in _FIELDS if (value := request.form.get(name, "").strip())}
    kind = "ndjson" if filename.lower().endswith((".ndjson", ".jsonl", ".json")) else None
    kind = request.form.get("format") or kind
    dry_run = request.form.get("action") != "import"
    return read_form(values | {"format": kind, "dry_run": dry_run, "results": results}, ImportQuery)


def _collect(request: PageRequest, lines: Stream) -> ImportResult:
    found = ImportResult([])
    for part in lines.parts(request.context.api.engine.begin):
        for line in part.splitlines():
            result = msgspec.json.decode(line)
            if "row" in result and len(found.refused) < _SHOWN:
                found.refused.append(result)
            found.done = result.get("done", found.done)
            found.fault = result.get("error", {}).get("message", found.fault)
    return found


PAGES = (
    Page("GET", _IMPORT, import_page),
    Page("POST", _IMPORT, import_file, max_form_bytes=MAX_UPLOAD_BYTES),
)
