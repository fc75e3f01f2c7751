"""/v1/changes: every addition, change and removal in order, so that a sender can keep a copy."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from webhook_app.store.people.contacts import links_of_many
from webhook_app.store.suppressions import changes as suppression_changes
from webhook_app.store.suppressions.changes import ChangeEvidence
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from, known_code
from webhook_app.web.api.values import Cursor, Limit, NextCursor, Time
from webhook_app.whatsapp.people.contacts import display


class ChangesQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    since: Annotated[int, Meta(ge=0, le=2**63 - 1, description="The latest `seq` you know.")] = 0
    limit: Limit = 100
    cursor: Cursor | None = None


class ChangeEntry(Struct, kw_only=True):
    """One change. suppress: added. extend: changed. half_open: expired, ask /v1/check. lift, expire: removed.

    erase: a person was erased; the entry does not say who.
    """

    seq: int
    at: Time
    action: Annotated[str, Meta(description="suppress, extend, half_open, lift, expire or erase.")]
    contact: str
    aliases: Annotated[
        list[str],
        Meta(description="Other numbers and user ids of the same person that are known now."),
    ]
    phone_number_id: Annotated[str, Meta(description="Empty: for every business number.")]
    scope: str
    reason: str
    code: int | None
    until: Time | None
    times: int
    actor: str
    note: str
    evidence: list[ChangeEvidence]


class ChangeList(Struct, kw_only=True):
    """Changes in order. `next_since`: the `since` of the next request, now or later."""

    version: Annotated[int, Meta(description="The latest `seq`.")]
    changes: list[ChangeEntry]
    next_since: int
    next_cursor: NextCursor
    suppress: Annotated[
        Literal["on", "shadow"],
        Meta(description="shadow: rows with the reason hard or unreachable block nobody for now."),
    ]


def list_changes(call: Call, query: ChangesQuery) -> ChangeList:
    """List every change to the suppressions after `since`, in order and without gaps, so that a sender can keep a copy.

    Contact, phone_number_id, scope and reason together identify a row. Start with 0; when `next_cursor` is null you are
    up to date: ask again later with since = `next_since`. The ETag marks the end of the page: a request with
    If-None-Match answers 304 until there is a new change.
    """
    position = cursor.decode_id(query.cursor)
    since = query.since if position is None else position
    version = suppression_changes.latest_seq(call.connection)
    found = suppression_changes.changes_since(call.connection, since, query.limit + 1)
    page, following = cursor.cut(found, query.limit, lambda change: change.seq)
    last_seq = page[-1].seq if page else since
    people = links_of_many(call.connection, [change.contact for change in page])
    mode: Literal["on", "shadow"] = "shadow" if call.settings.suppress == "shadow" else "on"
    call.headers["ETag"] = f'"{since}-{last_seq}-{following is None}-{version}-{mode}"'
    return ChangeList(
        version=max(version, *(change.seq for change in page)) if page else version,
        changes=[change_of(change, people[change.contact][1:]) for change in page],
        next_since=last_seq,
        next_cursor=following,
        suppress=mode,
    )


def change_of(change: suppression_changes.SuppressionChange, aliases: Sequence[str]) -> ChangeEntry:
    """The change as the API returns it."""
    return entry_from(
        change,
        ChangeEntry,
        contact=display(change.contact),
        aliases=list(map(display, aliases)),
        code=known_code(change.code),
    )


ENDPOINTS = (Endpoint("GET", "/v1/changes", list_changes, "sender", autocommit=True, conditional=True),)
