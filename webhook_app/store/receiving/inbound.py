"""Stores inbound messages, preferences, changes of number, and items that were not understood.

Each statement counts its items in the books. Times are Unix seconds. Uses the driver: it shares the transaction of the
ingest statement.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from webhook_app.store.people.links import OTHER_KEYS
from webhook_app.store.postgres.arrays import int_array, text_array
from webhook_app.store.postgres.compression import pack
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.receiving.books import BOOK_APPLIED, BOOK_QUARANTINED, store_items
from webhook_app.store.receiving.clock_repairs import left_join_repair
from webhook_app.whatsapp.events import InboundMessage, NumberChange, Preference, Unreadable

_MOST_KEYS = 10_000  # linked with the contacts of a batch
_INBOUND = (
    """
WITH RECURSIVE input AS (
  SELECT DISTINCT ON (i.message_id, i.phone_number_id, i.occurred)
         i.*, coalesce(r.occurred_at, to_timestamp(i.occurred)) AS occurred_at
  FROM unnest(%(message_id)s::text[], %(phone_number_id)s::text[], %(occurred)s::bigint[], %(contact)s::text[],
              %(kind)s::text[], %(keyword)s::text[], %(opens)s::int[], %(raw_timestamp)s::text[])
    AS i(message_id, phone_number_id, occurred, contact, kind, keyword, opens, raw_timestamp)
  """
    + left_join_repair(
        message_id="i.message_id",
        phone_number_id="i.phone_number_id",
        status="'inbound'",
        raw_timestamp="i.raw_timestamp",
    )
    + """
  ORDER BY i.message_id, i.phone_number_id, i.occurred
), new_rows AS (
  INSERT INTO inbound_messages (message_id, phone_number_id, occurred_at, contact, kind, keyword, opens_window,
                                received_at, considered_at)
  SELECT message_id, phone_number_id, occurred_at, contact, kind, keyword, opens = 1, %(received_at)s,
         CASE WHEN keyword = '' THEN %(received_at)s::timestamptz END
  FROM input
  ON CONFLICT DO NOTHING
  RETURNING message_id, phone_number_id, occurred_at, contact, opens_window
), opened AS (
  INSERT INTO service_windows AS w (contact, phone_number_id, opened_at)
  SELECT contact, phone_number_id, max(occurred_at) FROM new_rows
  WHERE opens_window AND contact <> '' AND occurred_at > %(received_at)s::timestamptz - interval '24 hours'
  GROUP BY contact, phone_number_id ORDER BY contact, phone_number_id
  ON CONFLICT (contact, phone_number_id) DO UPDATE SET opened_at = excluded.opened_at
  WHERE w.opened_at < excluded.opened_at
), person (key, is_leaf) AS (
  SELECT DISTINCT contact COLLATE "C", FALSE FROM input WHERE contact <> ''
  UNION
  SELECT other.key, other.is_leaf FROM person p CROSS JOIN LATERAL """
    + OTHER_KEYS
    + f""" AS other
), few AS (SELECT * FROM person LIMIT {_MOST_KEYS}
), queued AS (  -- for the job, which decides whose success it is: all, if one of them may be suppressed
  INSERT INTO successes (contact, phone_number_id, what, message_id, occurred_at)
  SELECT DISTINCT contact, phone_number_id, 'inbound', message_id, occurred_at
  FROM new_rows
  WHERE EXISTS (SELECT FROM few p WHERE EXISTS (SELECT FROM suppressions s WHERE s.contact = p.key OFFSET 0))
    OR (SELECT count(*) FROM few) = {_MOST_KEYS}
)"""
    + BOOK_APPLIED
)

_PREFERENCES = (
    """
WITH input AS (
  SELECT DISTINCT i.contact, i.phone_number_id, i.category, i.value,
         coalesce(r.occurred_at, to_timestamp(i.occurred)) AS occurred_at
  FROM unnest(%(contact)s::text[], %(phone_number_id)s::text[], %(category)s::text[], %(value)s::text[],
              %(occurred)s::bigint[], %(raw_timestamp)s::text[])
    AS i(contact, phone_number_id, category, value, occurred, raw_timestamp)
  """
    + left_join_repair(
        message_id="''",
        phone_number_id="i.phone_number_id",
        status="'preference ' || i.value || ' ' || i.category",
        raw_timestamp="i.raw_timestamp",
        participant="i.contact",
    )
    + """
), new_rows AS (
  INSERT INTO preferences (contact, phone_number_id, category, value, occurred_at, received_at)
  SELECT contact, phone_number_id, category, value, occurred_at, %(received_at)s
  FROM input ORDER BY contact, phone_number_id, category, value, occurred_at
  ON CONFLICT DO NOTHING
  RETURNING contact
)"""
    + BOOK_APPLIED
)

_NUMBER_CHANGES = (
    """
WITH input AS (
  SELECT DISTINCT ON (old_contact, new_contact, phone_number_id, message_id) *
  FROM unnest(%(old)s::text[], %(new)s::text[], %(phone_number_id)s::text[], %(message_id)s::text[],
              %(occurred)s::bigint[]) AS i(old_contact, new_contact, phone_number_id, message_id, occurred)
  ORDER BY old_contact, new_contact, phone_number_id, message_id, occurred
), new_rows AS (
  INSERT INTO number_changes (old_contact, new_contact, phone_number_id, message_id, occurred_at, received_at)
  SELECT old_contact, new_contact, phone_number_id, message_id, to_timestamp(occurred), %(received_at)s
  FROM input
  ON CONFLICT DO NOTHING
  RETURNING message_id
)"""
    + BOOK_APPLIED
)

_UNREADABLE = (
    """
WITH new_rows AS (
  INSERT INTO quarantine (identity, received_at, reason, field, waba_id, item, body, document, items)
  SELECT DISTINCT ON (identity) decode(identity, 'hex'), %(received_at)s, reason, field, waba_id, nullif(item, ''),
         CASE WHEN item = '' THEN body END, document, items
  FROM unnest(%(identity)s::text[], %(reason)s::text[], %(field)s::text[], %(waba_id)s::text[], %(item)s::text[],
              %(body)s::bytea[], %(document)s::text[], %(items)s::int[])
    AS i(identity, reason, field, waba_id, item, body, document, items)
  ORDER BY identity
  ON CONFLICT DO NOTHING
  RETURNING items
)"""
    + BOOK_QUARANTINED
)


def insert_inbound(
    connection: DriverConnection,
    messages: Sequence[tuple[InboundMessage, int]],
    *,
    received_at: datetime,
    slot: int,
) -> None:
    """Store inbound messages and calls with their time; a known one counts as a duplicate."""
    found = [message for message, _ in messages]
    values: dict[str, Any] = {
        "message_id": text_array([m.message_id for m in found]),
        "phone_number_id": text_array([m.phone_number_id for m in found]),
        "occurred": int_array([occurred for _, occurred in messages]),
        "contact": text_array([m.contact for m in found]),
        "kind": text_array([m.kind for m in found]),
        "keyword": text_array([m.keyword for m in found]),
        "opens": int_array([int(m.opens_window) for m in found]),
        "raw_timestamp": text_array([raw_timestamp(m) for m in found]),
    }
    store_items(connection, _INBOUND, values, len(found), received_at, slot)


def raw_timestamp(message: InboundMessage) -> str:
    """What stands for the time of a message that has none or a wrong one: empty if it cannot be read."""
    return "" if message.timestamp is None else str(message.timestamp)


def insert_preferences(
    connection: DriverConnection,
    preferences: Sequence[tuple[Preference, int]],
    *,
    received_at: datetime,
    slot: int,
) -> None:
    """Store marketing preferences for pipeline/suppressions/suppress to consider."""
    found = [preference for preference, _ in preferences]
    values: dict[str, Any] = {
        "contact": text_array([p.contact for p in found]),
        "phone_number_id": text_array([p.phone_number_id for p in found]),
        "category": text_array([p.category for p in found]),
        "value": text_array([p.value for p in found]),
        "occurred": int_array([occurred for _, occurred in preferences]),
        "raw_timestamp": text_array([p.raw_timestamp for p in found]),
    }
    store_items(connection, _PREFERENCES, values, len(found), received_at, slot)


def insert_number_changes(
    connection: DriverConnection,
    changes: Sequence[tuple[NumberChange, int]],
    *,
    received_at: datetime,
    slot: int,
) -> None:
    """Store changes of a person's key for pipeline/suppressions/suppress to consider.

    A message reports a change once: the time of its first delivery stays.
    """
    found = [change for change, _ in changes]
    values: dict[str, Any] = {
        "old": text_array([c.old_contact for c in found]),
        "new": text_array([c.new_contact for c in found]),
        "phone_number_id": text_array([c.phone_number_id for c in found]),
        "message_id": text_array([c.message_id for c in found]),
        "occurred": int_array([occurred for _, occurred in changes]),
    }
    store_items(connection, _NUMBER_CHANGES, values, len(found), received_at, slot)


def insert_unreadable(
    connection: DriverConnection, items: Sequence[Unreadable], *, received_at: datetime, slot: int
) -> None:
    """Quarantine items that were not understood; a repeated item is a duplicate."""
    values: dict[str, Any] = {
        "identity": text_array([item.identity.hex() for item in items]),
        "reason": text_array([item.reason for item in items]),
        "field": text_array([item.field for item in items]),
        "waba_id": text_array([item.waba_id for item in items]),
        "item": text_array([item.item_json for item in items]),
        "body": [pack(item.body) for item in items],
        "document": text_array([item.document_json for item in items]),
        "items": int_array([item.items for item in items]),
    }
    store_items(connection, _UNREADABLE, values, sum(item.items for item in items), received_at, slot)
