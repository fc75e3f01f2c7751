"""/v1/quarantine: signed items that could not be parsed, and their replay after a fix."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, convert
from msgspec.structs import asdict

from webhook_app.pipeline.receiving.replay import ReplayBusyError
from webhook_app.store.receiving import quarantine
from webhook_app.store.receiving.quarantine import QuarantineFilters
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Cursor, Limit, NextCursor, Time, Word
from webhook_app.web.auth import is_enough
from webhook_app.web.errors import ApiError
from webhook_app.web.receiving.quarantine_replay import quarantine_replay

Reason = Annotated[Word, Meta(description="Part of the reason.")]
Field = Annotated[Word, Meta(description="The webhook field of the item; empty if it could not be read.")]
Since = Annotated[datetime, Meta(tz=True, description="Items received at or after this time.")]
Until = Annotated[datetime, Meta(tz=True, description="Items received before this time.")]


class QuarantineQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    open: Annotated[bool, Meta(description="true: only items still in quarantine.")] = False
    reason: Reason = ""
    field: Field | None = None
    since: Since | None = None
    until: Until | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class QuarantinedItem(Struct, kw_only=True):
    """A signed item that could not be parsed: `item` as Meta sent it, or `body` (Base64).

    `body` is the whole body if that could not be read, or a webhook with the item alone if it is large.
    Both are null unless the key is an admin's, because they can contain message texts.
    """

    id: int
    received_at: Time
    reason: str
    field: str
    waba_id: str
    item: str | None
    body: bytes | None
    items: Annotated[
        int, Meta(description="How many items of one body the entry holds; then `item` is a list.")
    ]
    replayed_at: Time | None
    became: Annotated[
        str,
        Meta(description="Outcome of the replay: applied, duplicate or ignored; empty: still in quarantine."),
    ]


class QuarantineList(Struct):
    """Quarantined items, the newest first. Each `item` or `body` is cut after 65 536 characters."""

    items: list[QuarantinedItem]
    next_cursor: NextCursor


class QuarantineReplayBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Filters for the items to replay, the oldest first; without any, all items in quarantine."""

    reason: Reason = ""
    field: Field | None = None
    since: Since | None = None
    until: Until | None = None
    limit: Limit = 500


class ReplayOutcome(Struct, kw_only=True):
    """The outcome of a replay. `left` items stay in quarantine, each with its current reason."""

    looked_at: int
    applied: int
    duplicate: int
    ignored: int
    left: int
    open: Annotated[int, Meta(description="Matching items that are now in quarantine.")]


def list_quarantine(call: Call, query: QuarantineQuery) -> QuarantineList:
    """List signed items that could not be parsed, the newest first.

    They are stored whole and can be replayed after a fix. Only admins see their contents.
    """
    chosen = QuarantineFilters(reason=query.reason, field=query.field, since=query.since, until=query.until)
    before = cursor.decode_id(query.cursor)
    found = quarantine.list_page(
        call.connection,
        query.limit + 1,
        before_id=before,
        only_open=query.open,
        chosen=chosen,
        contents=is_enough(call.key.role, "admin"),
    )
    page, following = cursor.cut(found, query.limit, lambda item: item.id)
    return QuarantineList([convert(item, QuarantinedItem, from_attributes=True) for item in page], following)


def get_quarantined(call: Call, id: int) -> QuarantinedItem:  # noqa: A002  the path's name
    """Return one quarantined item with its contents."""
    found = quarantine.get(call.connection, id)
    if found is None:
        raise ApiError(404, "not_found", "There is no such item in quarantine.")
    return convert(found, QuarantinedItem, from_attributes=True)


def replay_quarantine(call: Call, body: QuarantineReplayBody) -> ReplayOutcome:
    """Parse items in quarantine again with the current version.

    An item that can now be parsed leaves quarantine as applied, duplicate or ignored, and the books count it so. No
    item counts as received twice. A replay can be repeated and can run while webhooks arrive. To replay the raw
    archive, use `webhook-app replay --archive`.
    """
    chosen = QuarantineFilters(reason=body.reason, field=body.field, since=body.since, until=body.until)
    try:
        with quarantine_replay(call.settings, call.now) as running:
            outcome = running.of_quarantine(chosen, limit=body.limit)
    except ReplayBusyError as busy:
        raise ApiError(409, "busy", str(busy)) from None
    return ReplayOutcome(**asdict(outcome), open=quarantine.count_open(call.connection, chosen))


ENDPOINTS = (
    Endpoint("GET", "/v1/quarantine", list_quarantine, "viewer"),
    Endpoint("GET", "/v1/quarantine/{id}", get_quarantined, "admin"),
    Endpoint("POST", "/v1/quarantine/replay", replay_quarantine, "admin", errors=(409,)),
)
