"""Stores signals about accounts, numbers and templates, and the changes of state they report.

A change is stored once under Meta's time, whatever the order and repetition of its signals. accounts/health reads
them. Uses the driver: it shares the transaction of the ingest statement.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from webhook_app.store.postgres.arrays import int_array, text_array
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.receiving.books import BOOK_APPLIED, store_items
from webhook_app.whatsapp.events import HealthSignal
from webhook_app.whatsapp.people.contacts import phone_key

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
  RETURNING identity, occurred_at
), known AS (  -- a signal without a time keeps the time of its first delivery, and so do its changes
  SELECT identity, occurred_at FROM new_rows
  UNION ALL
  SELECT identity, occurred_at FROM health_signals
  WHERE identity = ANY (ARRAY(SELECT decode(i, 'hex') FROM unnest(%(identity)s::text[]) AS i))
), changed AS (
  INSERT INTO health_changes AS c (subject, subject_id, aspect, occurred_at, value, detail, waba_id, name, language,
                                   received_at)
  SELECT DISTINCT ON (subject, subject_id, aspect, occurred_at, value)
         subject, subject_id, aspect, occurred_at, value, detail::jsonb, waba_id, name, language, %(received_at)s
  FROM unnest(%(of)s::text[], %(subject)s::text[], %(subject_id)s::text[], %(aspect)s::text[], %(value)s::text[],
              %(detail)s::text[], %(change_waba_id)s::text[], %(name)s::text[], %(language)s::text[])
    AS i(of, subject, subject_id, aspect, value, detail, waba_id, name, language)
  JOIN known ON known.identity = decode(i.of, 'hex')
  ORDER BY subject, subject_id, aspect, occurred_at, value, detail::jsonb DESC
  ON CONFLICT (subject, subject_id, aspect, occurred_at, value) DO UPDATE SET
    detail = greatest(c.detail, excluded.detail), waba_id = greatest(c.waba_id, excluded.waba_id),
    name = greatest(c.name, excluded.name), language = greatest(c.language, excluded.language)
)"""
    + BOOK_APPLIED
)

_INSERT_NUMBERS = """
INSERT INTO business_numbers (phone_number_id, display_phone_number, waba_id, seen_at)
SELECT *, %s FROM unnest(%s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""

Number = tuple[str, str, str]
"""phone_number_id, display number in Meta's format, WABA id."""


def insert_signals(
    connection: DriverConnection,
    signals: Sequence[tuple[HealthSignal, int]],
    *,
    received_at: datetime,
    slot: int,
) -> None:
    """Store signals about accounts, numbers and templates with their changes; a known signal is a duplicate."""
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
    values |= _change_columns(found)
    store_items(connection, _SIGNALS, values, len(found), received_at, slot)


def _change_columns(signals: Sequence[HealthSignal]) -> dict[str, str]:
    changes = [(signal, change) for signal in signals for change in signal.changes]
    return {
        "of": text_array([s.identity.hex() for s, _ in changes]),
        "subject": text_array([c.subject for _, c in changes]),
        "subject_id": text_array([c.subject_id for _, c in changes]),
        "aspect": text_array([c.aspect for _, c in changes]),
        "value": text_array([c.value for _, c in changes]),
        "detail": text_array([c.detail_json for _, c in changes]),
        "change_waba_id": text_array([s.waba_id for s, _ in changes]),
        "name": text_array([s.template_name if c.subject == "template" else "" for s, c in changes]),
        "language": text_array([s.template_language if c.subject == "template" else "" for s, c in changes]),
    }


def insert_numbers(connection: DriverConnection, numbers: Iterable[Number], seen_at: datetime) -> None:
    """Store which number belongs to which of Meta's ids: most signals name the number, everything else the id."""
    rows = sorted({(number, phone_key(display), waba) for number, display, waba in numbers})
    columns = [text_array(column) for column in zip(*rows, strict=True)]
    connection.execute(_INSERT_NUMBERS, [seen_at, *columns])
