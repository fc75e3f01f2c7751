"""/suppressions/changes: every change of the suppressions, the latest first, and taking changes back."""

from collections import Counter
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from msgspec import ValidationError, convert

from webhook_app.store.people import contacts
from webhook_app.store.suppressions import changes
from webhook_app.web.api import cursor
from webhook_app.web.api.suppressions.suppression_review import UndoAnswer, UndoBody, undo_suppressions
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, call_of, render, said
from webhook_app.web.pages.wording import CHANGES, REASONS
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.people.contacts import InvalidAddress, parse_address

_PAGE = 50
_LOG = "/suppressions/changes"
_OUTCOMES = {
    "lifted": "{} lifted",
    "restored": "{} restored",
    "unchanged": "{} already as before",
    "changed_since": "{} kept, because somebody decided about it since",
}


def add_suppression_log(blueprint: Blueprint, desk: PageContext) -> None:
    """The log and its form."""

    def change_log(visit: PageRequest) -> Response:
        asked, batch = (request.args.get(name, "").strip() for name in ("contact", "batch"))
        keys = _keys(visit, desk, asked) if asked else None
        before = cursor.decode_id(request.args.get("cursor"))
        found = changes.latest(visit.connection, _PAGE + 1, before, contacts=keys, batch=batch)
        given = {name: value for name, value in (("contact", asked), ("batch", batch)) if value}
        page, is_more = found[:_PAGE], len(found) > _PAGE
        return render(
            visit,
            "changes.html",
            changes=page,
            asked=asked,
            batch=batch,
            following=is_more and urlencode(given | {"cursor": cursor.encode(page[-1].seq)}),
            first=f"{_LOG}?{urlencode(given)}" if before is not None else None,
            before=request.args.get("before", ""),
            actions=CHANGES,
            reasons=REASONS,
            explain=explain,
        )

    def take_back(visit: PageRequest) -> Response:
        batch, before = request.form.get("batch", ""), request.form.get("before", "")
        ticked = [] if batch else request.form.getlist("change")
        place = f"{_LOG}?{urlencode({'batch': batch})}" if batch else _LOG
        if not batch and not ticked:
            return said(visit, place, "Nothing was ticked, so nothing was taken back.", is_good=False)
        try:
            asked = {"batch": batch or None, "changes": ticked, "before": (batch and before) or None}
            body = convert(asked | {"note": request.form.get("note", "").strip()}, UndoBody, strict=False)
            with visit.connection.begin_nested():
                done = undo_suppressions(call_of(visit, desk), body)
        except ValidationError:
            raise ApiError(400, "bad_form", "The form holds something that cannot be used.") from None
        except ApiError as refused:
            return said(visit, place, refused.message, is_good=False)
        if done.next_before is not None:
            place += f"&before={done.next_before}"
        return said(visit, place, _told(done))

    add_page(blueprint, desk, _LOG, change_log)
    add_page(blueprint, desk, "/suppressions/undo", take_back, method="POST")


def _told(done: UndoAnswer) -> str:
    counts: Counter[str] = Counter(each.result for each in done.results)
    parts = [words.format(counts[name]) for name, words in _OUTCOMES.items() if counts[name]]
    words = f"Taken back: {', '.join(parts) or 'nothing was there'}."
    return words if done.next_before is None else f"{words} There is more: go on below."


def _keys(visit: PageRequest, desk: PageContext, asked: str) -> tuple[str, ...]:
    address = parse_address(asked, desk.room.settings.default_region.upper())
    if isinstance(address, InvalidAddress):
        raise ApiError(400, "bad_contact", f"The contact cannot be used: {address.reason}.")
    return contacts.keys_of(visit.connection, address.key)
