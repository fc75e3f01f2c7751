"""The life of one message, read from the facts: what senders told, every status event and every failure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import RowMapping, TextClause, text

from webhook_app.store.counts.funnel_counts import Span, span_of
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
    callback_data: str
    clock_replaced: bool
    waba_id: str
    template: str
    campaign: str
    country: str


class MessageFailure(Struct, frozen=True, kw_only=True):
    """One failure of the message with the error as Meta sent it. It outlives its status event."""

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
    """One report of the call that sent the message."""

    phone_number_id: str
    failed: bool
    sent_at: datetime
    registered_at: datetime
    error_code: int
    contact: str
    template: str
    campaign: str
    category: str
    endpoint: str


# Statuses of one second keep the order of a message's life, whatever order they came in.
_EVENTS = """
SELECT e.phone_number_id, e.status, e.occurred_at, e.received_at, e.participant, e.error_code, e.contact, e.category,
       e.callback_data, e.clock_replaced, s.waba_id, s.template, s.campaign, s.country
FROM status_events e JOIN series s ON s.id = e.series_id
WHERE hashtextextended(e.message_id, 0) = hashtextextended(:message_id, 0) AND e.message_id = :message_id {within}
ORDER BY e.occurred_at, array_position(ARRAY['sent', 'delivered', 'read', 'played', 'failed'], e.status),
         e.phone_number_id, e.participant, e.error_code
"""

_FAILURES = """
SELECT f.phone_number_id, f.occurred_at, f.received_at, f.participant, f.error_code, f.contact, f.title, f.details,
       f.errors, f.source, f.error_subcode, f.fbtrace_id, s.waba_id, s.template, s.campaign, s.country
FROM failures f JOIN series s ON s.id = f.series_id
WHERE f.message_id = :message_id {within}
ORDER BY f.occurred_at, f.phone_number_id, f.participant, f.error_code
"""
_WITHIN = "AND ({0}.occurred_at BETWEEN :first AND :last OR {0}.occurred_at >= :recent)"
# Each for all days, and for those in which the message is known to have lived.
_OF_EVENTS = text(_EVENTS.format(within="")), text(_EVENTS.format(within=_WITHIN.format("e")))
_OF_FAILURES = text(_FAILURES.format(within="")), text(_FAILURES.format(within=_WITHIN.format("f")))

_SENDS = text("""
SELECT phone_number_id, failed, sent_at, registered_at, error_code, contact, template, campaign, category, endpoint
FROM sends WHERE message_id = :message_id ORDER BY sent_at, phone_number_id, failed, error_code
""")


def sends(connection: Connection, message_id: str) -> list[MessageSend]:
    """What senders told of the calls that sent it, earliest first."""
    rows = connection.execute(_SENDS, {"message_id": message_id}).mappings()
    return [MessageSend(**row) for row in rows]


def events(connection: Connection, message_id: str, now: datetime) -> list[MessageEvent]:
    """Its status events on every business number, earliest first."""
    span = span_of(connection, message_id, now)
    return [MessageEvent(**row) for row in _read(connection, _OF_EVENTS, message_id, span)]


def life(
    connection: Connection, message_id: str, now: datetime
) -> tuple[list[MessageEvent], list[MessageFailure]]:
    """Its events, and its failures with the whole error, on every business number, earliest first."""
    span = span_of(connection, message_id, now)
    events = [MessageEvent(**row) for row in _read(connection, _OF_EVENTS, message_id, span)]
    if span and not span.failed:
        return events, []
    return events, [MessageFailure(**row) for row in _read(connection, _OF_FAILURES, message_id, span)]


def _read(
    connection: Connection, statements: tuple[TextClause, TextClause], message_id: str, span: Span | None
) -> Sequence[RowMapping]:
    values: dict[str, object] = {"message_id": message_id}
    if span:
        values |= {"first": span.first, "last": span.last, "recent": span.recent}
    with planned_once(connection):
        return connection.execute(statements[span is not None], values).mappings().all()
