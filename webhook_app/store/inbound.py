"""Storing what is not a status: inbound messages, preferences, health signals and what was not understood.

Each statement books its own items, in the transaction of its caller. Times arrive as Unix seconds.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from webhook_app.store.events import Connection, int_array, text_array
from webhook_app.whatsapp.events import HealthSignal, InboundMessage, Preference, Unreadable

_BOOK = """
INSERT INTO books AS b (day, slot, received, applied, duplicate, quarantined)
SELECT %(received_at)s::timestamptz::date, %(slot)s, %(offered)s, n.applied, %(offered)s - n.applied - n.quarantined,
       n.quarantined
FROM ({counts}) n
ON CONFLICT (day, slot) DO UPDATE SET
  received = b.received + excluded.received, applied = b.applied + excluded.applied,
  duplicate = b.duplicate + excluded.duplicate, quarantined = b.quarantined + excluded.quarantined
"""
_APPLIED = _BOOK.format(counts="SELECT count(*) AS applied, 0 AS quarantined FROM new_rows")
_QUARANTINED = _BOOK.format(counts="SELECT 0 AS applied, count(*) AS quarantined FROM new_rows")

_INBOUND = (
    """
WITH input AS (
  SELECT DISTINCT ON (i.message_id, i.phone_number_id, i.occurred)
         i.*, coalesce(r.occurred_at, to_timestamp(i.occurred)) AS occurred_at
  FROM unnest(%(message_id)s::text[], %(phone_number_id)s::text[], %(occurred)s::bigint[], %(contact)s::text[],
              %(user_id)s::text[], %(kind)s::text[], %(keyword)s::text[], %(opens)s::int[])
    AS i(message_id, phone_number_id, occurred, contact, user_id, kind, keyword, opens)
  LEFT JOIN clock_repairs r
    ON (r.message_id, r.phone_number_id, r.status) = (i.message_id, i.phone_number_id, 'inbound')
  ORDER BY i.message_id, i.phone_number_id, i.occurred
), new_rows AS (
  INSERT INTO inbound_messages (message_id, phone_number_id, occurred_at, contact, kind, keyword, opens_window,
                                received_at, considered_at)
  SELECT message_id, phone_number_id, occurred_at, contact, kind, keyword, opens = 1, %(received_at)s,
         CASE WHEN keyword = '' THEN %(received_at)s::timestamptz END
  FROM input
  ON CONFLICT DO NOTHING
  RETURNING message_id
), linked AS (
  INSERT INTO contact_links (user_id, contact)
  SELECT DISTINCT user_id, contact FROM input WHERE user_id <> '' AND contact <> '' AND contact <> user_id
  ORDER BY user_id, contact
  ON CONFLICT DO NOTHING
), reached AS (
  INSERT INTO successes (contact, phone_number_id, what, message_id, occurred_at)
  SELECT DISTINCT s.contact, i.phone_number_id, 'inbound', i.message_id, i.occurred_at
  FROM input i
  CROSS JOIN LATERAL (
    SELECT i.contact UNION SELECT i.user_id
    UNION SELECT l.contact FROM contact_links l WHERE l.user_id IN (i.contact, i.user_id)
    UNION SELECT l.user_id FROM contact_links l WHERE l.contact = i.contact AND i.contact <> ''
  ) AS k(contact)
  JOIN suppressions s ON s.contact = k.contact
)"""
    + _APPLIED
)

_PREFERENCES = (
    """
WITH input AS (
  SELECT DISTINCT contact, phone_number_id, category, value, occurred, user_id
  FROM unnest(%(contact)s::text[], %(phone_number_id)s::text[], %(category)s::text[], %(value)s::text[],
              %(occurred)s::bigint[], %(user_id)s::text[])
    AS i(contact, phone_number_id, category, value, occurred, user_id)
), new_rows AS (
  INSERT INTO preferences (contact, phone_number_id, category, value, occurred_at, received_at)
  SELECT contact, phone_number_id, category, value, to_timestamp(occurred), %(received_at)s
  FROM input ORDER BY contact, phone_number_id, category, value, occurred
  ON CONFLICT DO NOTHING
  RETURNING contact
), linked AS (
  INSERT INTO contact_links (user_id, contact)
  SELECT DISTINCT user_id, contact FROM input WHERE user_id <> '' AND contact <> user_id ORDER BY user_id, contact
  ON CONFLICT DO NOTHING
)"""
    + _APPLIED
)

_SIGNALS = (
    """
WITH new_rows AS (
  INSERT INTO health_signals (identity, field, event, waba_id, phone_number_id, display_phone_number, template_id,
                              template_name, template_language, error_code, occurred_at, received_at, payload)
  SELECT DISTINCT ON (identity) decode(identity, 'hex'), field, event, waba_id, phone_number_id, display_phone_number,
         template_id, template_name, template_language, error_code, to_timestamp(occurred), %(received_at)s,
         payload::jsonb
  FROM unnest(%(identity)s::text[], %(field)s::text[], %(event)s::text[], %(waba_id)s::text[],
              %(phone_number_id)s::text[], %(display)s::text[], %(template_id)s::text[], %(template_name)s::text[],
              %(template_language)s::text[], %(error_code)s::bigint[], %(occurred)s::bigint[], %(payload)s::text[])
    AS i(identity, field, event, waba_id, phone_number_id, display_phone_number, template_id, template_name,
         template_language, error_code, occurred, payload)
  ORDER BY identity
  ON CONFLICT DO NOTHING
  RETURNING id
)"""
    + _APPLIED
)

_UNREADABLE = (
    """
WITH new_rows AS (
  INSERT INTO quarantine (identity, received_at, reason, field, waba_id, item, body)
  SELECT DISTINCT ON (identity) decode(identity, 'hex'), %(received_at)s, reason, field, waba_id, nullif(item, ''),
         CASE WHEN item = '' THEN decode(body, 'hex') END
  FROM unnest(%(identity)s::text[], %(reason)s::text[], %(field)s::text[], %(waba_id)s::text[], %(item)s::text[],
              %(body)s::text[]) AS i(identity, reason, field, waba_id, item, body)
  ORDER BY identity
  ON CONFLICT DO NOTHING
  RETURNING id
)"""
    + _QUARANTINED
)


def insert_inbound(
    connection: Connection,
    messages: Sequence[tuple[InboundMessage, int]],
    *,
    received_at: datetime,
    slot: int,
) -> None:
    """Store inbound messages and calls with their time; a known one is booked as a duplicate."""
    found = [message for message, _ in messages]
    values: dict[str, Any] = {
        "message_id": text_array([m.message_id for m in found]),
        "phone_number_id": text_array([m.phone_number_id for m in found]),
        "occurred": int_array([occurred for _, occurred in messages]),
        "contact": text_array([m.contact for m in found]),
        "user_id": text_array([m.user_id for m in found]),
        "kind": text_array([m.kind for m in found]),
        "keyword": text_array([m.keyword for m in found]),
        "opens": int_array([int(m.opens_window) for m in found]),
    }
    _run(connection, _INBOUND, values, len(found), received_at, slot)


def insert_preferences(
    connection: Connection, preferences: Sequence[tuple[Preference, int]], *, received_at: datetime, slot: int
) -> None:
    """Store marketing preferences; pipeline/suppress reads those it has not considered."""
    found = [preference for preference, _ in preferences]
    values: dict[str, Any] = {
        "contact": text_array([p.contact for p in found]),
        "phone_number_id": text_array([p.phone_number_id for p in found]),
        "category": text_array([p.category for p in found]),
        "value": text_array([p.value for p in found]),
        "occurred": int_array([occurred for _, occurred in preferences]),
        "user_id": text_array([p.user_id for p in found]),
    }
    _run(connection, _PREFERENCES, values, len(found), received_at, slot)


def insert_signals(
    connection: Connection, signals: Sequence[tuple[HealthSignal, int]], *, received_at: datetime, slot: int
) -> None:
    """Store news about accounts, numbers and templates."""
    found = [signal for signal, _ in signals]
    values: dict[str, Any] = {
        "identity": text_array([s.identity.hex() for s in found]),
        "field": text_array([s.field for s in found]),
        "event": text_array([s.event for s in found]),
        "waba_id": text_array([s.waba_id for s in found]),
        "phone_number_id": text_array([s.phone_number_id for s in found]),
        "display": text_array([s.display_phone_number for s in found]),
        "template_id": text_array([s.template_id for s in found]),
        "template_name": text_array([s.template_name for s in found]),
        "template_language": text_array([s.template_language for s in found]),
        "error_code": int_array([s.error_code for s in found]),
        "occurred": int_array([occurred for _, occurred in signals]),
        "payload": text_array([s.payload_json for s in found]),
    }
    _run(connection, _SIGNALS, values, len(found), received_at, slot)


def insert_unreadable(
    connection: Connection, items: Sequence[Unreadable], *, received_at: datetime, slot: int
) -> None:
    """Keep what was not understood, whole; the same item again is a duplicate."""
    values: dict[str, Any] = {
        "identity": text_array([item.identity.hex() for item in items]),
        "reason": text_array([item.reason for item in items]),
        "field": text_array([item.field for item in items]),
        "waba_id": text_array([item.waba_id for item in items]),
        "item": text_array([item.item_json for item in items]),
        "body": text_array([item.body.hex() for item in items]),
    }
    _run(connection, _UNREADABLE, values, len(items), received_at, slot)


def add_rejections(connection: Connection, kind: str, count: int, minute: datetime) -> None:
    """Add refused deliveries to the minute they came in."""
    connection.execute(
        "INSERT INTO rejections AS r (minute, kind, count) VALUES (date_trunc('minute', %s::timestamptz), %s, %s)"
        " ON CONFLICT (minute, kind) DO UPDATE SET count = r.count + excluded.count",
        [minute, kind, count],
    )


def _run(
    connection: Connection,
    statement: str,
    values: dict[str, Any],
    offered: int,
    received_at: datetime,
    slot: int,
) -> None:
    values |= {"offered": offered, "received_at": received_at, "slot": slot}
    connection.execute(statement, values)
