"""The life of one message, read from the facts: every status event and every failure, in time order."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, text


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
    waba_id: str
    template: str
    campaign: str
    country: str


# Statuses of one second keep the order of a message's life, whatever order they came in.
_EVENTS = text("""
SELECT e.phone_number_id, e.status, e.occurred_at, e.received_at, e.participant, e.error_code, e.contact, e.category,
       e.callback_data, e.clock_replaced, s.waba_id, s.template, s.campaign, s.country
FROM status_events e JOIN series s ON s.id = e.series_id
WHERE e.message_id = :message_id
ORDER BY e.occurred_at, array_position(ARRAY['sent', 'delivered', 'read', 'played', 'failed'], e.status),
         e.phone_number_id, e.participant, e.error_code
""")

_FAILURES = text("""
SELECT f.phone_number_id, f.occurred_at, f.received_at, f.participant, f.error_code, f.contact, f.title, f.details,
       f.errors, s.waba_id, s.template, s.campaign, s.country
FROM failures f JOIN series s ON s.id = f.series_id
WHERE f.message_id = :message_id
ORDER BY f.occurred_at, f.phone_number_id, f.participant, f.error_code
""")


def events(connection: Connection, message_id: str) -> list[MessageEvent]:
    """Its status events on every business number, earliest first."""
    rows = connection.execute(_EVENTS, {"message_id": message_id}).mappings()
    return [MessageEvent(**row) for row in rows]


def failures(connection: Connection, message_id: str) -> list[MessageFailure]:
    """Its failures on every business number, earliest first; kept longer than the events."""
    rows = connection.execute(_FAILURES, {"message_id": message_id}).mappings()
    return [MessageFailure(**row) for row in rows]
