"""Stores handovers of conversations. Uses the driver: it shares the transaction of the ingest statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from webhook_app.store.postgres.arrays import int_array, text_array
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.receiving.books import BOOK_APPLIED, store_items
from webhook_app.store.receiving.clock_repairs import ClockKey, left_join_repair
from webhook_app.whatsapp.events import NO_CODE, Handover

_HANDOVERS = (
    """
WITH input AS (
  SELECT DISTINCT i.contact, i.phone_number_id, coalesce(r.occurred_at, to_timestamp(i.occurred)) AS occurred_at,
         i.is_ours = 1 AS is_ours, i.owner
  FROM unnest(%(contact)s::text[], %(phone_number_id)s::text[], %(occurred)s::bigint[], %(is_ours)s::int[],
              %(owner)s::text[], %(what)s::text[], %(raw_timestamp)s::text[])
    AS i(contact, phone_number_id, occurred, is_ours, owner, what, raw_timestamp)
  """
    + left_join_repair(
        message_id="''",
        phone_number_id="i.phone_number_id",
        status="i.what",
        raw_timestamp="i.raw_timestamp",
        participant="i.contact",
    )
    + """
), new_rows AS (
  INSERT INTO handovers (contact, phone_number_id, occurred_at, is_ours, owner, received_at)
  SELECT contact, phone_number_id, occurred_at, is_ours, owner, %(received_at)s
  FROM input ORDER BY contact, phone_number_id, occurred_at, is_ours, owner
  ON CONFLICT DO NOTHING
  RETURNING contact
)"""
    + BOOK_APPLIED
)


def insert_handovers(
    connection: DriverConnection,
    handovers: Sequence[tuple[Handover, int]],
    *,
    received_at: datetime,
    slot: int,
) -> None:
    """Store handovers with their time; a known one counts as a duplicate."""
    found = [handover for handover, _ in handovers]
    values: dict[str, Any] = {
        "contact": text_array([h.contact for h in found]),
        "phone_number_id": text_array([h.phone_number_id for h in found]),
        "occurred": int_array([occurred for _, occurred in handovers]),
        "is_ours": int_array([int(h.is_ours) for h in found]),
        "owner": text_array([h.owner for h in found]),
        "what": text_array([_what(h) for h in found]),
        "raw_timestamp": text_array([h.raw_timestamp for h in found]),
    }
    store_items(connection, _HANDOVERS, values, len(found), received_at, slot)


def clock_key(h: Handover) -> ClockKey:
    """The key of the time that is assigned to a handover without a usable one."""
    return "", h.phone_number_id, _what(h), h.raw_timestamp, h.contact, NO_CODE


def _what(h: Handover) -> str:
    return f"handover {'passed' if h.is_ours else 'taken'} {h.owner}"
