"""/v1/silences: no notifications for matching alerts, for a time. The alerts themselves stay visible."""

from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import asdict

from webhook_app.pipeline.incidents import actions
from webhook_app.store.incidents import silences
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Cursor, Limit, NextCursor, Time, Word
from webhook_app.web.errors import ApiError

_LONGEST = timedelta(days=366)

SilenceId = Annotated[int, Meta(description="The silence's number.")]
_Matchers = Annotated[
    dict[str, str | int],
    Meta(
        min_length=1,
        description="An alert must match all of them. Keys: rule, kind, severity, code, phone_number_id, waba_id,"
        " template, campaign, country.",
    ),
]


class SilencesQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    active: Annotated[bool, Meta(description="true: only active silences.")] = False
    limit: Limit = 100
    cursor: Cursor | None = None


class SilenceBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which alerts to mute, and until when: give either `until` or `minutes` from now, at most a year."""

    matchers: _Matchers
    until: Time | None = None
    minutes: Annotated[int, Meta(ge=1, le=366 * 1440)] | None = None
    comment: Word = ""


class SilenceEntry(Struct, kw_only=True):
    """A silence. `author` and `ended_by` are names of keys; `ended_at` is set if it was ended early."""

    id: int
    matchers: dict[str, str | int]
    author: str
    comment: str
    since: Time
    until: Time
    active: bool
    ended_at: Time | None
    ended_by: str


class SilenceList(Struct):
    """Silences, the newest first."""

    silences: list[SilenceEntry]
    next_cursor: NextCursor


def list_silences(call: Call, query: SilencesQuery) -> SilenceList:
    """List silences, including ended ones, the newest first."""
    active_at = call.now if query.active else None
    found = silences.list_page(call.connection, query.limit + 1, cursor.decode_id(query.cursor), active_at)
    page, following = cursor.cut(found, query.limit, lambda silence: silence.id)
    return SilenceList([_entry(each, call.now) for each in page], following)


def add_silence(call: Call, body: SilenceBody) -> SilenceEntry:
    """Mute matching alerts, open and future ones, for a time.

    An alert that was notified before still gets its resolve notification. An alert that fires during the silence and
    still fires at its end is notified then.
    """
    try:
        added = actions.add_silence(
            call.connection,
            matchers=body.matchers,
            author=call.key.name,
            until=_end(call, body),
            comment=body.comment,
            now=call.now,
        )
    except ValueError as fault:
        raise ApiError(400, "bad_parameter", f"{fault}.") from None
    return _entry(added, call.now)


def end_silence(call: Call, silence_id: SilenceId) -> SilenceEntry:
    """End a silence now. A silence that has already ended is not changed."""
    ended = actions.end_silence(call.connection, silence_id, actor=call.key.name, now=call.now)
    if ended is None:
        raise ApiError(404, "not_found", f"There is no silence {silence_id}.")
    return _entry(ended, call.now)


def _end(call: Call, body: SilenceBody) -> datetime:
    if (body.until is None) is (body.minutes is None):
        raise ValueError("until, minutes: give exactly one of them")
    until = body.until or call.now + timedelta(minutes=body.minutes or 0)
    if until > call.now + _LONGEST:
        raise ValueError("until: must be within a year")
    return until


def _entry(silence: silences.Silence, now: datetime) -> SilenceEntry:
    return SilenceEntry(**asdict(silence), active=silence.is_active(now))


ENDPOINTS = (
    Endpoint("GET", "/v1/silences", list_silences, "viewer"),
    Endpoint("POST", "/v1/silences", add_silence, "admin"),
    Endpoint("DELETE", "/v1/silences/{silence_id}", end_silence, "admin", (404,)),
)
