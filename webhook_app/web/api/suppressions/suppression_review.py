"""Works on many suppressions at once: reviewing those made by rules, and undoing changes."""

from typing import Annotated, Literal
from uuid import uuid4

from msgspec import Meta, Struct
from msgspec.structs import replace

from webhook_app.pipeline.suppressions.undo import undo_reports
from webhook_app.rules.suppressions.marketing_pauses import waits_for_review
from webhook_app.store.people import contacts
from webhook_app.store.suppressions import suppressions, undo
from webhook_app.store.suppressions.changes import SuppressionChange
from webhook_app.store.suppressions.suppressions import Key, Removal, Suppression
from webhook_app.store.suppressions.undo import UNDO, UndoneChange
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from
from webhook_app.web.api.people.addresses import find_addresses
from webhook_app.web.api.suppressions.suppressions import Reason, Scope
from webhook_app.web.api.values import Contact, PhoneNumberId, Time, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.people.contacts import Address, InvalidAddress, display

_UNDO_LIMIT = 10_000
_Note = Annotated[Word, Meta(description="Why, for the record.")]
_Seq = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class ReviewItem(Struct, kw_only=True, forbid_unknown_fields=True):
    """One person, or with the other fields one of their suppressions."""

    contact: Contact
    phone_number_id: PhoneNumberId | None = None
    scope: Scope | None = None
    reason: Reason | None = None


class ReviewBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Review suppressions made by rules. confirm: they are right. lift: they are wrong."""

    action: Literal["confirm", "lift"]
    items: Annotated[list[ReviewItem], Meta(min_length=1, max_length=1000)]
    note: _Note = ""


class ReviewResult(Struct, kw_only=True):
    """The result of one item. nothing: no suppression of the contact waits for review."""

    contact: str
    result: Literal["confirmed", "lifted", "nothing", "invalid"]
    suppressions: int = 0
    why: str | None = None


class ReviewAnswer(Struct, kw_only=True):
    """The items in the order given. `batch`: what POST /v1/suppressions/undo takes to undo them."""

    batch: str
    results: list[ReviewResult]


class UndoBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """One of: a `batch` (of an import, a review, an undo); single `changes` by their seq; what a `key` reported from
    `since` to `until`."""

    batch: Annotated[Word, Meta(min_length=1)] | None = None
    changes: Annotated[list[_Seq], Meta(max_length=1000)] = []
    key: Annotated[
        Annotated[Word, Meta(min_length=1)] | None,
        Meta(description="The name of an API key: undo the suppressions that its reported failures led to."),
    ] = None
    since: Annotated[Time | None, Meta(description="With `key`: reports made from then on.")] = None
    until: Annotated[Time | None, Meta(description="With `key`: reports made before; absent: now.")] = None
    before: Annotated[_Seq | None, Meta(description="next_before of the previous answer.")] = None
    note: _Note = ""


class UndoResult(Struct, kw_only=True):
    """The result for one suppression. changed_since: somebody changed it later, so it stays."""

    seq: int
    contact: str
    phone_number_id: str
    scope: str
    reason: str
    result: Literal["lifted", "restored", "unchanged", "changed_since"]


class UndoAnswer(Struct, kw_only=True):
    """What was undone. `next_before` null: nothing is left. `batch`: undoes this undo."""

    batch: str
    results: list[UndoResult]
    next_before: int | None


def review_suppressions(call: Call, body: ReviewBody) -> ReviewAnswer:
    """Confirm or lift suppressions made by rules, one or many; GET /v1/suppressions?review=true lists those that wait.

    A confirmed suppression stays until its end and is not listed again. After lifting, the failures it was based on no
    longer count.
    """
    batch = f"review:{uuid4().hex}"
    texts = [item.contact for item in body.items]
    addresses = find_addresses(call.connection, texts, call.settings.default_region.upper())
    known = [address.key for address in addresses if isinstance(address, Address)]
    people = contacts.links_of_many(call.connection, known)
    suppressions.lock_changes(call.connection)
    keys = {key for linked in people.values() for key in linked}
    waiting: dict[str, list[Suppression]] = {}
    for row in suppressions.of_contacts(call.connection, list(keys)):
        if waits_for_review(row):
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
    _apply_review(call, body, list(chosen.values()), batch)
    return ReviewAnswer(batch=batch, results=results)


def undo_suppressions(call: Call, body: UndoBody) -> UndoAnswer:
    """Undo changes: an addition is lifted; what was changed, lifted or expired is restored.

    A change is undone only while it is the latest of its suppression. Up to 10 000 changes of a batch are undone at
    once, the latest first; repeat with `before` = next_before until that is null. With `key`, failures that the key
    reported in the span never count again, and what rules made of them is lifted or changed. An undo is a change itself
    and needs a note when it lifts an opt-out.
    """
    named = [body.batch is not None, bool(body.changes), body.key is not None]
    if named.count(True) != 1 or (body.key is None) != (body.since is None) or (body.until and not body.key):
        message = "Name one of `batch`, `changes`, or `key` with `since` and perhaps `until`."
        raise ApiError(400, "bad_body", message)
    if body.key is not None:
        return _undo_reports(call, body)
    actor, note = call.key.name, body.note
    if body.batch is not None:
        batch = UNDO + body.batch
        done, following = undo.undo_batch(
            call.connection, body.batch, body.before, _UNDO_LIMIT, actor=actor, note=note, now=call.now
        )
    else:
        batch, following = f"{UNDO}{uuid4().hex}", None
        done = undo.undo_changes(call.connection, body.changes, batch, actor=actor, note=note, now=call.now)
    if not body.note.strip() and any(
        each.key[3] == "opted_out" and each.outcome == "lifted" for each in done
    ):
        message = "This would lift opt-outs. Give the reason in `note`."
        raise ApiError(409, "opted_out", message)
    return UndoAnswer(batch=batch, results=[_undone(each) for each in done], next_before=following)


def _undo_reports(call: Call, body: UndoBody) -> UndoAnswer:
    assert body.key is not None and body.since is not None  # noqa: S101, PT018  checked by the caller
    until = body.until or call.now
    batch = f"{UNDO}key:{body.key}:{uuid4().hex}"
    changes = undo_reports(
        call.connection,
        body.key,
        (body.since, until),
        call.thresholds,
        actor=call.key.name,
        note=body.note,
        now=call.now,
        batch=batch,
    )
    return UndoAnswer(batch=batch, results=[_undone_report(each) for each in changes], next_before=None)


def _apply_review(call: Call, body: ReviewBody, rows: list[Suppression], batch: str) -> None:
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
    key = {"contact": display(contact), "phone_number_id": number, "scope": scope, "reason": reason}
    return UndoResult(seq=done.seq, **key, result=done.outcome)


def _undone_report(change: SuppressionChange) -> UndoResult:
    result = "lifted" if change.action == "lift" else "restored"
    return entry_from(change, UndoResult, contact=display(change.contact), result=result)


ENDPOINTS = (
    Endpoint("POST", "/v1/suppressions/review", review_suppressions, "admin"),
    Endpoint("POST", "/v1/suppressions/undo", undo_suppressions, "admin", (409,)),
)
