"""/suppressions: the list, its export, and the review queue of automatic suppressions. Uses the API's functions."""

from urllib.parse import urlencode

from flask import Response, make_response, redirect

from webhook_app.web.api import cursor
from webhook_app.web.api.routes import streamed
from webhook_app.web.api.suppressions.suppression_files import SuppressionExportQuery, export_suppressions
from webhook_app.web.api.suppressions.suppression_review import ReviewBody, ReviewItem, review_suppressions
from webhook_app.web.api.suppressions.suppressions import SuppressionsQuery, list_suppressions
from webhook_app.web.pages.page import Answer, Page, PageRequest, read_form, redirect_with_message, render
from webhook_app.web.pages.wording import REASONS, SCOPES
from webhook_app.whatsapp.errors.catalogue import explain

_PAGE = 50
_FILTERS = ("reason", "scope", "phone_number_id", "review")
_QUEUE = "/suppressions/review"


def suppression_list(request: PageRequest) -> Response:
    """A page of the suppressions; a contact typed in leads to its own page."""
    if contact := request.args.get("contact", "").strip():
        return make_response(redirect(f"/contacts?{urlencode({'contact': contact})}", code=303))
    given = _given(request)
    asked = given | {"limit": _PAGE, "cursor": request.args.get("cursor")}
    query = read_form(asked, SuppressionsQuery)
    found = list_suppressions(request.call, query)
    return render(
        request,
        "suppressions.html",
        rows=found.suppressions,
        given=given,
        query_string=urlencode(given),
        following=found.next_cursor and urlencode(given | {"cursor": found.next_cursor}),
        is_first="cursor" not in request.args,
        reasons=REASONS,
        scopes=SCOPES,
        explain=explain,
    )


def suppression_export(request: PageRequest) -> Answer:
    """The suppressions of the filters as CSV or NDJSON."""
    kind = "ndjson" if request.args.get("format") == "ndjson" else "csv"
    call = request.call
    rows = export_suppressions(call, read_form(_given(request) | {"format": kind}, SuppressionExportQuery))

    def respond() -> Response:
        response = streamed(rows, request.context.api.engine.begin)
        response.headers.update(call.headers)
        return response

    return respond


def review_queue(request: PageRequest) -> Response:
    """The suppressions that wait for review."""
    query = SuppressionsQuery(review=True, limit=_PAGE, cursor=request.args.get("cursor"))
    found = list_suppressions(request.call, query)
    items = [
        (row, cursor.encode((row.contact, row.phone_number_id, row.scope, row.reason)))
        for row in found.suppressions
    ]
    return render(
        request,
        "review.html",
        items=items,
        following=found.next_cursor and urlencode({"cursor": found.next_cursor}),
        is_first="cursor" not in request.args,
        reasons=REASONS,
        explain=explain,
    )


def review_chosen(request: PageRequest) -> Response:
    """Confirm or lift the selected suppressions, or all shown."""
    action, _, which = request.form.get("action", "").partition(" ")
    chosen = [_item(text) for text in request.form.getlist("shown" if which == "all" else "item")]
    if not chosen:
        return redirect_with_message(
            request, _QUEUE, "Nothing was selected, so nothing changed.", is_good=False
        )
    values = {"action": action, "items": chosen, "note": request.form.get("note", "").strip()}
    done = review_suppressions(request.call, read_form(values, ReviewBody))
    count = sum(each.suppressions for each in done.results)
    missed = sum(each.result == "nothing" for each in done.results)
    verb = "confirmed" if action == "confirm" else "lifted"
    words = f"{count} suppression{' was' if count == 1 else 's were'} {verb}."
    words += f" {missed} had already been reviewed." if missed else ""
    words += " Undo it in the change log." if count else ""
    return redirect_with_message(request, _QUEUE, words, is_good=count > 0)


def _given(request: PageRequest) -> dict[str, str]:
    """The filters that are set."""
    return {name: value for name in _FILTERS if (value := request.args.get(name, "").strip())}


def _item(text: str) -> ReviewItem:
    contact, number, scope, reason = cursor.decode_texts(text, 4) or ("", "", "", "")
    values = {"contact": contact, "phone_number_id": number, "scope": scope, "reason": reason}
    return read_form(values, ReviewItem)


PAGES = (
    Page("GET", "/suppressions", suppression_list),
    Page("GET", "/suppressions/export", suppression_export),
    Page("GET", _QUEUE, review_queue),
    Page("POST", _QUEUE, review_chosen),
)
