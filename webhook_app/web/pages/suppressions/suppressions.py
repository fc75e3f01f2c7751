"""/suppressions: who is not to be written to and why, as a list, as a file, and as the queue of what rules made.

Shows and does what the API does.
"""

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, request
from msgspec import ValidationError, convert

from webhook_app.web.api import cursor
from webhook_app.web.api.routes import streamed
from webhook_app.web.api.suppressions.suppression_files import SuppressionExportQuery, export_suppressions
from webhook_app.web.api.suppressions.suppression_review import ReviewBody, ReviewItem, review_suppressions
from webhook_app.web.api.suppressions.suppressions import SuppressionsQuery, list_suppressions
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, call_of, render, said
from webhook_app.web.pages.wording import REASONS, SCOPES
from webhook_app.whatsapp.errors.catalogue import explain

_PAGE = 50
_FILTERS = ("reason", "scope", "phone_number_id", "review")
_QUEUE = "/suppressions/review"


def add_suppression_pages(blueprint: Blueprint, desk: PageContext) -> None:
    """The list, its export, the review queue and its form."""

    def suppression_list(visit: PageRequest) -> Response:
        if contact := request.args.get("contact", "").strip():
            return make_response(redirect(f"/contacts?{urlencode({'contact': contact})}", code=303))
        given = _given()
        asked = _read(SuppressionsQuery, given, limit=_PAGE, cursor=request.args.get("cursor"))
        found = list_suppressions(call_of(visit, desk), asked)
        return render(
            visit,
            "suppressions.html",
            rows=found.suppressions,
            given=given,
            query=urlencode(given),
            following=found.next_cursor and urlencode(given | {"cursor": found.next_cursor}),
            is_first="cursor" not in request.args,
            reasons=REASONS,
            scopes=SCOPES,
            explain=explain,
        )

    def suppression_export(visit: PageRequest) -> Response:
        kind = "ndjson" if request.args.get("format") == "ndjson" else "csv"
        call = call_of(visit, desk)
        response = streamed(
            export_suppressions(call, _read(SuppressionExportQuery, _given(), format=kind)),
            desk.room.engine.begin,
        )
        response.headers.update(call.headers)
        return response

    def review_queue(visit: PageRequest) -> Response:
        asked = SuppressionsQuery(review=True, limit=_PAGE, cursor=request.args.get("cursor"))
        found = list_suppressions(call_of(visit, desk), asked)
        items = [
            (row, cursor.encode((row.contact, row.phone_number_id, row.scope, row.reason)))
            for row in found.suppressions
        ]
        return render(
            visit,
            "review.html",
            items=items,
            following=found.next_cursor and urlencode({"cursor": found.next_cursor}),
            is_first="cursor" not in request.args,
            reasons=REASONS,
            explain=explain,
        )

    def review_chosen(visit: PageRequest) -> Response:
        action, _, which = request.form.get("action", "").partition(" ")
        chosen = [_item(text) for text in request.form.getlist("shown" if which == "all" else "item")]
        if not chosen:
            return said(visit, _QUEUE, "Nothing was ticked, so nothing was done.", is_good=False)
        values = {"action": action, "items": chosen, "note": request.form.get("note", "").strip()}
        done = review_suppressions(call_of(visit, desk), _read(ReviewBody, values))
        count = sum(each.suppressions for each in done.results)
        missed = sum(each.result == "nothing" for each in done.results)
        verb = "confirmed" if action == "confirm" else "lifted"
        words = f"{count} suppression{' was' if count == 1 else 's were'} {verb}."
        words += f" {missed} waited no more: somebody was faster." if missed else ""
        words += " The change log can take it back." if count else ""
        return said(visit, _QUEUE, words, is_good=count > 0)

    add_page(blueprint, desk, "/suppressions", suppression_list)
    add_page(blueprint, desk, "/suppressions/export", suppression_export)
    add_page(blueprint, desk, _QUEUE, review_queue)
    add_page(blueprint, desk, _QUEUE, review_chosen, method="POST")


def _given() -> dict[str, str]:
    """The filters that say something."""
    return {name: value for name in _FILTERS if (value := request.args.get(name, "").strip())}


def _item(text: str) -> ReviewItem:
    contact, number, scope, reason = cursor.decode_texts(text, 4) or ("", "", "", "")
    values = {"contact": contact, "phone_number_id": number, "scope": scope, "reason": reason}
    item: ReviewItem = _read(ReviewItem, values)
    return item


def _read(kind: type[Any], values: dict[str, Any], **more: Any) -> Any:
    """What was asked, as the API takes it."""
    try:
        return convert(values | more, kind, strict=False)
    except ValidationError as fault:
        raise ApiError(400, "bad_parameter", f"This cannot be used: {fault}.") from None
