"""/suppressions/changes: every change of the suppressions, the latest first, and undoing changes."""

from collections import Counter
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from flask import Response
from msgspec import Meta, ValidationError, convert

from webhook_app.rules.suppressions.marketing_pauses import PAUSED_BY_META
from webhook_app.store.people import contacts
from webhook_app.store.suppressions import changes
from webhook_app.web.api import cursor
from webhook_app.web.api.suppressions.suppression_review import UndoAnswer, UndoBody, undo_suppressions
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.page import Page, PageRequest, redirect_with_message, render
from webhook_app.web.pages.people.contacts import known_address
from webhook_app.web.pages.wording import CHANGES, REASONS
from webhook_app.whatsapp.errors.catalogue import explain

_PAGE = 50
_LOG = "/suppressions/changes"
_OUTCOMES = {
    "lifted": "{} lifted",
    "restored": "{} restored",
    "unchanged": "{} already as before",
    "changed_since": "{} kept, because somebody changed it since",
}


def change_log(request: PageRequest) -> Response:
    """A page of the changes, of one contact or batch if given."""
    typed, batch = (request.args.get(name, "").strip() for name in ("contact", "batch"))
    keys = contacts.keys_of(request.connection, known_address(request, typed).key) if typed else None
    before = cursor.decode_id(request.args.get("cursor"))
    found = changes.latest(request.connection, _PAGE + 1, before, contacts=keys, batch=batch)
    given = {name: value for name, value in (("contact", typed), ("batch", batch)) if value}
    page, is_more = found[:_PAGE], len(found) > _PAGE
    return render(
        request,
        "changes.html",
        changes=page,
        typed=typed,
        batch=batch,
        following=is_more and urlencode(given | {"cursor": cursor.encode(page[-1].seq)}),
        first=f"{_LOG}?{urlencode(given)}" if before is not None else None,
        before=request.args.get("before", ""),
        actions=CHANGES,
        reasons=REASONS,
        paused_by_meta=PAUSED_BY_META,
        explain=explain,
    )


def undo_changes(request: PageRequest) -> Response:
    """Undo the selected changes, a batch, or the reports of an API key."""
    batch, before = request.form.get("batch", ""), request.form.get("before", "")
    key = request.form.get("key", "").strip()
    selected = [] if batch or key else request.form.getlist("change")
    place = f"{_LOG}?{urlencode({'batch': batch})}" if batch else _LOG
    if not batch and not key and not selected:
        return redirect_with_message(
            request, place, "Nothing was selected, so nothing changed.", is_good=False
        )
    try:
        values: dict[str, Any] = {
            "batch": batch or None,
            "changes": selected,
            "before": (batch and before) or None,
        }
        if key:
            hours = convert(request.form.get("hours"), Annotated[int, Meta(ge=1, le=8760)], strict=False)
            values = {"key": key, "since": request.now - timedelta(hours=hours)}
        body = convert(values | {"note": request.form.get("note", "").strip()}, UndoBody, strict=False)
        with request.connection.begin_nested():
            done = undo_suppressions(request.call, body)
    except ValidationError:
        raise ApiError(400, "bad_form", "The form holds a value that cannot be used.") from None
    except ApiError as refused:
        return redirect_with_message(request, place, refused.message, is_good=False)
    if done.next_before is not None:
        place += f"&before={done.next_before}"
    return redirect_with_message(request, place, _summary(done))


def _summary(done: UndoAnswer) -> str:
    counts: Counter[str] = Counter(each.result for each in done.results)
    parts = [words.format(counts[name]) for name, words in _OUTCOMES.items() if counts[name]]
    words = f"Undone: {', '.join(parts) or 'nothing'}."
    return words if done.next_before is None else f"{words} More remain: continue below."


PAGES = (
    Page("GET", _LOG, change_log),
    Page("POST", "/suppressions/undo", undo_changes),
)
