"""The timeline of one message: reported send calls, status events and failures."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import TextClause, text

from webhook_app.store.counts.messages.stages import MessageSpan, message_span
from webhook_app.store.counts.series import OTHER_COLUMNS
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.partitions import planned_once


class MessageEvent(Struct, frozen=True, kw_only=True):
    """One status event of the message, with the dimensions it is counted under."""

    phone_number_id: str
    status: str
    occurred_at: datetime
    received_at: datetime
    participant: str
    error_code: int
    contact: str
    category: str
    pricing: int
    callback_data: str
    clock_replaced: bool
    waba_id: str
    template: str
    campaign: str
    country: str


class MessageFailure(Struct, frozen=True, kw_only=True):
    """One failure of the message with the error as Meta sent it. It is kept longer than its status event."""

    phone_number_id: str
    occurred_at: datetime
    received_at: datetime
    participant: str
    error_code: int
    contact: str
    title: str
    details: str
    errors: Any
    source: str
    error_subcode: int
    fbtrace_id: str
    waba_id: str
    template: str
    campaign: str
    country: str


class MessageSend(Struct, frozen=True, kw_only=True):
    """One reported call that sent the message. Error and request hold no credentials, the request no text."""

    phone_number_id: str
    failed: bool
    sent_at: datetime
    registered_at: datetime
    error_code: int
    contact: str
    template: str
    campaign: str
    category: str
    error_subcode: int
    fbtrace_id: str
    error: Any
    endpoint: str
    request: Any
    reported_by: str


class MessageTimeline(Struct, frozen=True, kw_only=True):
    """The newest events and failures of a message, earliest first, and how many older ones there are."""

    events: list[MessageEvent]
    failures: list[MessageFailure]
    events_left_out: int = 0
    failures_left_out: int = 0


_MOST_EVENTS, _MOST_FAILURES = 1_000, 100
# Statuses of one second are in the order of a message's stages, whatever order they arrived in.
_EVENTS = f"""
SELECT e.phone_number_id, e.status, e.occurred_at, e.received_at, e.participant, e.error_code, e.contact, e.category,
       e.pricing, e.callback_data, e.clock_replaced, {OTHER_COLUMNS}, count(*) OVER () AS stored
FROM ({{events}}) e JOIN series s ON s.id = e.series_id
ORDER BY e.occurred_at DESC, array_position(ARRAY['sent', 'delivered', 'read', 'played', 'failed'], e.status) DESC,
         e.phone_number_id DESC, e.participant DESC, e.error_code DESC
LIMIT {_MOST_EVENTS}
"""

_FAILURES = f"""
SELECT f.phone_number_id, f.occurred_at, f.received_at, f.participant, f.error_code, f.contact, f.title, f.details,
       f.errors, f.source, f.error_subcode, f.fbtrace_id, {OTHER_COLUMNS}, count(*) OVER () AS stored
FROM failures f JOIN series s ON s.id = f.series_id
WHERE f.message_id = :message_id {{within}}
ORDER BY f.occurred_at DESC, f.phone_number_id DESC, f.participant DESC, f.error_code DESC
LIMIT {_MOST_FAILURES}
"""
_WITHIN = "AND ({0}.occurred_at BETWEEN :first AND :last OR {0}.occurred_at >= :recent)"
_OF_ID = """
SELECT e.phone_number_id, e.status, e.occurred_at, e.received_at, e.participant, e.error_code, e.contact, e.category,
       e.pricing, e.callback_data, e.clock_replaced, e.series_id
FROM {0} e WHERE keyed_hash(e.message_id) = keyed_hash(:message_id) AND e.message_id = :message_id
"""
_UNSETTLED, _SETTLED = _OF_ID.format("status_events"), _OF_ID.format("settled_events")
# Each statement for all days, and for the message's known span. A settled message has none.
_OF_EVENTS = (
    text(_EVENTS.format(events=f"{_UNSETTLED} UNION ALL {_SETTLED}")),
    text(_EVENTS.format(events=_UNSETTLED + _WITHIN.format("e"))),
)
_OF_FAILURES = text(_FAILURES.format(within="")), text(_FAILURES.format(within=_WITHIN.format("f")))

_SENDS = text("""
SELECT phone_number_id, failed, sent_at, registered_at, error_code, contact, template, campaign, category,
       error_subcode, fbtrace_id, error, endpoint, request, reported_by
FROM sends WHERE message_id = :message_id ORDER BY sent_at, phone_number_id, failed, error_code
""")


def sends(connection: Connection, message_id: str) -> list[MessageSend]:
    """The reported calls that sent the message, earliest first."""
    rows = connection.execute(_SENDS, {"message_id": message_id}).mappings()
    return [MessageSend(**row) for row in rows]


def events(connection: Connection, message_id: str, now: datetime) -> list[MessageEvent]:
    """The message's newest status events on all business numbers, earliest first."""
    rows, _ = _read(connection, _OF_EVENTS, message_id, message_span(connection, message_id, now))
    return [MessageEvent(**row) for row in rows]


def timeline(connection: Connection, message_id: str, now: datetime) -> MessageTimeline:
    """The message's newest events, and its failures with the whole error, on all business numbers."""
    span = message_span(connection, message_id, now)
    events, stored_events = _read(connection, _OF_EVENTS, message_id, span)
    failures, stored_failures = list[dict[str, Any]](), 0
    if not span or span.failed:
        failures, stored_failures = _read(connection, _OF_FAILURES, message_id, span)
    return MessageTimeline(
        events=[MessageEvent(**row) for row in events],
        failures=[MessageFailure(**row) for row in failures],
        events_left_out=stored_events - len(events),
        failures_left_out=stored_failures - len(failures),
    )


def _read(
    connection: Connection,
    statements: tuple[TextClause, TextClause],
    message_id: str,
    span: MessageSpan | None,
) -> tuple[list[dict[str, Any]], int]:
    """The newest rows, earliest first, and how many there are in all."""
    values: dict[str, object] = {"message_id": message_id}
    if span:
        values |= {"first": span.first, "last": span.last, "recent": span.recent}
    with planned_once(connection):
        rows = [dict(row) for row in connection.execute(statements[span is not None], values).mappings()]
    stored = [row.pop("stored") for row in rows]
    return rows[::-1], stored[0] if stored else 0
