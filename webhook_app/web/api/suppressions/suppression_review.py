"""Work on many suppressions at once: the review of what rules made, and taking changes back."""

from typing import Annotated, Literal
from uuid import uuid4

from msgspec import Meta, Struct
from msgspec.structs import replace

from webhook_app.pipeline.suppressions import undo_alert
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.people import contacts
from webhook_app.store.suppressions import suppressions, undo
from webhook_app.store.suppressions.suppressions import Key, Removal, Suppression
from webhook_app.store.suppressions.undo import UNDO, UndoneChange
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.incidents.alerts import AlertId
from webhook_app.web.api.suppressions.suppressions import Reason, Scope
from webhook_app.web.api.values import Contact, PhoneNumberId, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.people.contacts import Address, InvalidAddress, display, parse_address

_AT_ONCE = 10_000
_Note = Annotated[Word, Meta(description="Why, for the record.")]
_Seq = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class ReviewItem(Struct, kw_only=True, forbid_unknown_fields=True):
    """One person, or with more keys one of their suppressions."""

    contact: Contact
    phone_number_id: PhoneNumberId | None = None
    scope: Scope | None = None
    reason: Reason | None = None


class ReviewBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """What to do with suppressions that rules made. confirm: they were right. lift: they were not."""

    action: Literal["confirm", "lift"]
    items: Annotated[list[ReviewItem], Meta(min_length=1, max_length=1000)]
    note: _Note = ""


class ReviewResult(Struct, kw_only=True):
    """What became of one item. nothing: no suppression of theirs waits for review."""

    contact: str
    result: Literal["confirmed", "lifted", "nothing", "invalid"]
    suppressions: int = 0
    why: str | None = None


class ReviewAnswer(Struct, kw_only=True):
    """The items in the order given. `batch`: by which POST /v1/suppressions/undo takes it all back."""

    batch: str
    results: list[ReviewResult]


class UndoBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Either a `batch` (of an import, a review, an undo) or single `changes` by their seq."""

    batch: Annotated[Word, Meta(min_length=1)] | None = None
    changes: Annotated[list[_Seq], Meta(max_length=1000)] = []
    before: Annotated[_Seq | None, Meta(description="next_before of the answer before.")] = None
    note: _Note = ""


class UndoResult(Struct, kw_only=True):
    """What became of one suppression. changed_since: somebody decided about it later, so it stays."""

    seq: int
    contact: str
    phone_number_id: str
    scope: str
    reason: str
    result: Literal["lifted", "restored", "unchanged", "changed_since"]


class UndoAnswer(Struct, kw_only=True):
    """What was taken back. `next_before` null: all of it. `batch`: by which this can be taken back in turn."""

    batch: str
    results: list[UndoResult]
    next_before: int | None


class AlertUndone(Struct, kw_only=True):
    """How many failures were excused, and what was lifted or changed because of it."""

    alert_id: int
    batch: str
    excused_failures: int
    lifted: int
    changed: int


def review_suppressions(call: Call, body: ReviewBody) -> ReviewAnswer:
    """Confirm or lift what rules made, one or many at once; GET /v1/suppressions?review=true lists what waits.

    What is confirmed stays as it is, for as long as it was to, and is not listed again. After lifting, the failures it
    rested on count no more.
    """
    batch = f"review:{uuid4().hex}"
    addresses = [parse_address(item.contact, call.settings.default_region.upper()) for item in body.items]
    known = [address.key for address in addresses if isinstance(address, Address)]
    people = contacts.links_of_many(call.connection, known)
    suppressions.lock_changes(call.connection)
    keys = {key for linked in people.values() for key in linked}
    waiting: dict[str, list[Suppression]] = {}
    for row in suppressions.of_contacts(call.connection, list(keys)):
        if row.review:
            waiting.setdefault(row.contact, []).append(row)
    results: list[ReviewResult] = []
    chosen: dict[Key, Suppression] = {}
    for item, address in zip(body.items, addresses, strict=True):
        if isinstance(address, InvalidAddress):
            results.append(
                ReviewResult(contact=address.as_given, result="invalid", why=f"contact: {address.reason}")
            )
            continue
        rows = [row for key in people[address.key] for row in waiting.get(key, ()) if _fits(item, row)]
        chosen |= {row.key: row for row in rows}
        done: Literal["confirmed", "lifted"] = "confirmed" if body.action == "confirm" else "lifted"
        results.append(
            ReviewResult(
                contact=display(address.key), result=done if rows else "nothing", suppressions=len(rows)
            )
        )
    _settle(call, body, list(chosen.values()), batch)
    return ReviewAnswer(batch=batch, results=results)


def undo_suppressions(call: Call, body: UndoBody) -> UndoAnswer:
    """Take changes back: what was added is lifted, what was changed, lifted or ran out is as it was before.

    A change is taken back only while it is the latest word on its suppression. Of a batch up to 10 000 changes are
    taken back at once, the latest first; ask again with `before` = next_before until that is null. Taking back is a
    change of its own, and needs a note when it touches what a person asked for.
    """
    if (body.batch is None) == (not body.changes):
        raise ApiError(400, "bad_body", "Name either a `batch` or `changes`.")
    actor, note = call.key.name, body.note
    if body.batch is not None:
        batch = UNDO + body.batch
        done, following = undo.undo_batch(
            call.connection, body.batch, body.before, _AT_ONCE, actor=actor, note=note, now=call.now
        )
    else:
        batch, following = f"{UNDO}{uuid4().hex}", None
        done = undo.undo_changes(call.connection, body.changes, batch, actor=actor, note=note, now=call.now)
    if not body.note.strip() and any(
        each.key[3] == "opted_out" and each.outcome == "lifted" for each in done
    ):
        message = "This would write again to people who asked not to be. Say in `note` why that is right."
        raise ApiError(409, "opted_out", message)
    return UndoAnswer(batch=batch, results=[_undone(each) for each in done], next_before=following)


def undo_alert_suppressions(call: Call, alert_id: AlertId) -> AlertUndone:
    """Lift every automatic suppression that rests on failures of this incident, and let those failures never count.

    For when people know better than the rules: an alert explains failures by itself while it is young (see
    docs/suppression.md). What somebody confirmed, and what people asked for, stays.
    """
    batch = f"alert:{alert_id}:{uuid4().hex}"
    thresholds = Thresholds(strikes=call.settings.soft_failures, days=call.settings.soft_days)
    done = undo_alert.undo_alert(
        call.connection, alert_id, thresholds, actor=call.key.name, now=call.now, batch=batch
    )
    if done is None:
        raise ApiError(404, "not_found", f"There is no alert {alert_id} that explains failures.")
    return AlertUndone(
        alert_id=alert_id,
        batch=batch,
        excused_failures=done.excused,
        lifted=done.lifted,
        changed=done.changed,
    )


def _settle(call: Call, body: ReviewBody, rows: list[Suppression], batch: str) -> None:
    actor = call.key.name
    if body.action == "lift":
        removals = [Removal(row, "lift", actor, body.note) for row in rows]
        suppressions.apply(call.connection, [], removals, call.now, batch=batch)
    else:
        confirmed = [replace(row, review=False, actor=actor, note=body.note or row.note) for row in rows]
        suppressions.apply(call.connection, confirmed, [], call.now, batch=batch)


def _fits(item: ReviewItem, row: Suppression) -> bool:
    asked = (item.phone_number_id, item.scope, item.reason)
    return all(want in (None, has) for want, has in zip(asked, row.key[1:], strict=True))


def _undone(done: UndoneChange) -> UndoResult:
    contact, number, scope, reason = done.key
    return UndoResult(
        seq=done.seq,
        contact=display(contact),
        phone_number_id=number,
        scope=scope,
        reason=reason,
        result=done.outcome,
    )


ENDPOINTS = (
    Endpoint("POST", "/v1/suppressions/review", review_suppressions, "admin"),
    Endpoint("POST", "/v1/suppressions/undo", undo_suppressions, "admin", (409,)),
    Endpoint("POST", "/v1/alerts/{alert_id}/undo-suppressions", undo_alert_suppressions, "admin"),
)
