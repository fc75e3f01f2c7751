"""/v1/quarantine: what was signed but not understood, and reading it again after a fix."""

from datetime import datetime
from functools import partial
from typing import Annotated

from msgspec import Meta, Struct, convert
from msgspec.structs import asdict, replace

from webhook_app.pipeline.receiving.replay import Replay, ReplayBusyError
from webhook_app.store.postgres.engine import connect
from webhook_app.store.receiving import quarantine
from webhook_app.store.receiving.quarantine import QuarantineFilters
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Cursor, Limit, NextCursor, Time, Word
from webhook_app.web.auth import is_enough
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.receiving.payload import parse

Reason = Annotated[Word, Meta(description="A part of the reason.")]
Field = Annotated[Word, Meta(description="The webhook field it came in; empty: none was readable.")]
Since = Annotated[datetime, Meta(tz=True, description="Received from then on.")]
Until = Annotated[datetime, Meta(tz=True, description="Received before.")]


class QuarantineQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    open: Annotated[bool, Meta(description="true: only what still waits.")] = False
    reason: Reason = ""
    field: Field | None = None
    since: Since | None = None
    until: Until | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class QuarantinedItem(Struct, kw_only=True):
    """Something signed that was not understood: `item` as Meta sent it, or the whole `body` (Base64).

    Both are null for keys that are not an admin's: they can hold what a person wrote.
    """

    id: int
    received_at: Time
    reason: str
    field: str
    waba_id: str
    item: str | None
    body: bytes | None
    replayed_at: Time | None
    became: Annotated[str, Meta(description="What it became: applied, duplicate, ignored; empty: it waits.")]


class QuarantineList(Struct):
    """Quarantined items, the newest first."""

    items: list[QuarantinedItem]
    next_cursor: NextCursor


class ReplayOrder(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which waiting items to read again; without anything all of them, the oldest first."""

    reason: Reason = ""
    field: Field | None = None
    since: Since | None = None
    until: Until | None = None
    limit: Limit = 500


class ReplayOutcome(Struct, kw_only=True):
    """What became of the items looked at. `left` still wait, each with its present reason."""

    looked_at: int
    applied: int
    duplicate: int
    ignored: int
    left: int
    open: Annotated[int, Meta(description="How many items of those chosen wait now.")]


def list_quarantine(call: Call, query: QuarantineQuery) -> QuarantineList:
    """What was signed but not understood, the newest first.

    It is kept whole and can be replayed after a fix. What an item holds is shown to admins.
    """
    chosen = QuarantineFilters(reason=query.reason, field=query.field, since=query.since, until=query.until)
    before = cursor.decode_id(query.cursor)
    found = quarantine.list_page(
        call.connection, query.limit + 1, before_id=before, only_open=query.open, chosen=chosen
    )
    page = found[: query.limit]
    following = cursor.encode(page[-1].id) if len(found) > len(page) else None
    if not is_enough(call.key.role, "admin"):
        page = [replace(item, item=None, body=None) for item in page]
    return QuarantineList([convert(item, QuarantinedItem, from_attributes=True) for item in page], following)


def get_quarantined(call: Call, id: int) -> QuarantinedItem:  # noqa: A002  the path's name
    """One quarantined item, whole."""
    found = quarantine.get(call.connection, id)
    if found is None:
        raise ApiError(404, "not_found", "There is no such item in quarantine.")
    return convert(found, QuarantinedItem, from_attributes=True)


def replay_quarantine(call: Call, body: ReplayOrder) -> ReplayOutcome:
    """Read waiting items again, with the parser of today.

    An item that is understood now leaves quarantine as applied, duplicate or ignored, and moves so in the books;
    nothing counts as received again. Safe to repeat, and while webhooks come in. The raw archive is replayed by
    `webhook-app replay --archive`.
    """
    chosen = QuarantineFilters(reason=body.reason, field=body.field, since=body.since, until=body.until)
    url = call.settings.database_url
    try:
        read = partial(parse, words=call.settings.keywords)
        with Replay(lambda: connect(url, application="webhook_app replay"), call.now, read=read) as running:
            outcome = running.of_quarantine(chosen, limit=body.limit)
    except ReplayBusyError as busy:
        raise ApiError(409, "busy", str(busy)) from None
    return ReplayOutcome(**asdict(outcome), open=quarantine.count_open(call.connection, chosen))


ENDPOINTS = (
    Endpoint("GET", "/v1/quarantine", list_quarantine, "viewer"),
    Endpoint("GET", "/v1/quarantine/{id}", get_quarantined, "admin"),
    Endpoint("POST", "/v1/quarantine/replay", replay_quarantine, "admin", errors=(409,)),
)
