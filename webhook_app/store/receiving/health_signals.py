"""Stores signals about accounts, numbers and templates, and the changes of state they report.

A change is stored once under Meta's time, whatever the order and repetition of its signals. accounts/health reads
them. Uses the driver: it shares the transaction of the ingest statement.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace
from sqlalchemy import text

from webhook_app.store.counts.series import OTHER
from webhook_app.store.postgres.arrays import int_array, text_array
from webhook_app.store.postgres.engine import Connection, DriverConnection
from webhook_app.store.receiving.books import BOOK_APPLIED, store_items
from webhook_app.whatsapp.events import HealthChange, HealthSignal
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
                                   received_at, new_at)
  SELECT DISTINCT ON (subject, subject_id, aspect, occurred_at, value)
         subject, subject_id, aspect, occurred_at, value, detail::jsonb, waba_id, name, language, %(received_at)s,
         CASE WHEN is_new = 1 AND dense_rank() OVER (PARTITION BY subject, subject_id, aspect
                                                     ORDER BY occurred_at, value) = 1 THEN now() END
  FROM unnest(%(of)s::text[], %(subject)s::text[], %(subject_id)s::text[], %(aspect)s::text[], %(value)s::text[],
              %(detail)s::text[], %(change_waba_id)s::text[], %(name)s::text[], %(language)s::text[],
              %(is_new)s::int[])
    AS i(of, subject, subject_id, aspect, value, detail, waba_id, name, language, is_new)
  JOIN known ON known.identity = decode(i.of, 'hex')
  ORDER BY subject, subject_id, aspect, occurred_at, value, detail::jsonb DESC
  ON CONFLICT (subject, subject_id, aspect, occurred_at, value) DO UPDATE SET
    detail = greatest(c.detail, excluded.detail), waba_id = greatest(c.waba_id, excluded.waba_id),
    name = greatest(c.name, excluded.name), language = greatest(c.language, excluded.language)
)"""
    + BOOK_APPLIED
)

_KNOWN = """
SELECT subject, subject_id, aspect FROM unnest(%s::text[], %s::text[], %s::text[]) AS i(subject, subject_id, aspect)
WHERE EXISTS (SELECT FROM health_changes c
              WHERE (c.subject, c.subject_id, c.aspect) = (i.subject, i.subject_id, i.aspect))
"""
_NEW_THIS_HOUR = """
SELECT waba_id, count(*) FROM health_changes
WHERE new_at >= date_trunc('hour', now()) GROUP BY waba_id
"""
_STATES = "SELECT count(*) FROM health_changes WHERE new_at IS NOT NULL"
_NEW_SINCE = text(_NEW_THIS_HOUR.replace("date_trunc('hour', now())", ":since"))
_INSERT_NUMBERS = """
INSERT INTO business_numbers (phone_number_id, display_phone_number, waba_id, seen_at)
SELECT i.*, %(now)s
FROM unnest(%(number)s::text[], %(display)s::text[], %(waba_id)s::text[]) AS i(number, display, waba_id)
WHERE NOT EXISTS (SELECT FROM business_numbers b WHERE (b.phone_number_id, b.display_phone_number, b.waba_id)
                                                     = (i.number, i.display, i.waba_id))
LIMIT (SELECT greatest(0, %(most)s - count(*)) FROM business_numbers
       WHERE seen_at >= date_trunc('hour', %(now)s::timestamptz))
ON CONFLICT DO NOTHING
"""
_NEW_NUMBERS = text("SELECT count(*) FROM business_numbers WHERE seen_at >= :since")

MAX_STATES = 20_000
"""States in all. Every evaluation reads them."""
MAX_NEW_PER_ACCOUNT, MAX_NEW = 2_000, 10_000
"""New states within an hour, of an account and in all. A template has up to five: its status, quality and so on."""

State = tuple[str, str, str]
"""Subject, its id, and the aspect."""
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
    values |= _change_columns(*_admitted(connection, found))
    store_items(connection, _SIGNALS, values, len(found), received_at, slot)


def _admitted(
    connection: DriverConnection, signals: Sequence[HealthSignal]
) -> tuple[list[tuple[HealthSignal, HealthChange]], set[State]]:
    """The changes of these signals, and which of their states are new.

    Beyond MAX_NEW_PER_ACCOUNT or MAX_NEW new states in an hour, or MAX_STATES in all, a missing one shares a state with
    others of its kind.
    """
    changes = [(signal, change) for signal in signals for change in signal.changes]
    missing = {state: signal.waba_id for signal, change in changes if (state := _state(change))[1] != OTHER}
    columns = [text_array(column) for column in zip(*missing, strict=True)] or ["{}"] * 3
    for known in connection.execute(_KNOWN, columns).fetchall() if missing else ():
        del missing[tuple(known)]
    if not missing:
        return changes, set()
    new = dict(connection.execute(_NEW_THIS_HOUR).fetchall())
    admitted: set[State] = set()
    total = sum(new.values())
    left = MAX_STATES - connection.execute(_STATES).fetchall()[0][0]
    for state, account in missing.items():
        if len(admitted) < left and total < MAX_NEW and new.get(account, 0) < MAX_NEW_PER_ACCOUNT:
            admitted.add(state)
            new[account] = new.get(account, 0) + 1
            total += 1
    refused = missing.keys() - admitted
    return [(s, _as_other(c) if _state(c) in refused else c) for s, c in changes], admitted


def _state(change: HealthChange) -> State:
    return change.subject, change.subject_id, change.aspect


def _as_other(change: HealthChange) -> HealthChange:
    return replace(change, subject_id=OTHER, aspect=change.aspect.partition(" ")[0])


def is_at_ceiling(connection: Connection, since: datetime) -> bool:
    """Whether so many states or numbers are new since then that further ones are stored as OTHER, or not yet."""
    new: dict[str, int] = {row[0]: row[1] for row in connection.execute(_NEW_SINCE, {"since": since})}
    numbers = int(connection.execute(_NEW_NUMBERS, {"since": since}).scalar_one())
    if int(connection.execute(text(_STATES)).scalar_one()) >= MAX_STATES:
        return True
    return sum(new.values()) >= MAX_NEW or max([numbers, *new.values()]) >= MAX_NEW_PER_ACCOUNT


def _change_columns(
    changes: Sequence[tuple[HealthSignal, HealthChange]], new: Collection[State]
) -> dict[str, str]:
    named = [(s, c.subject == "template" and c.subject_id != OTHER) for s, c in changes]
    return {
        "of": text_array([s.identity.hex() for s, _ in changes]),
        "subject": text_array([c.subject for _, c in changes]),
        "subject_id": text_array([c.subject_id for _, c in changes]),
        "aspect": text_array([c.aspect for _, c in changes]),
        "value": text_array([c.value for _, c in changes]),
        "detail": text_array([c.detail_json for _, c in changes]),
        "change_waba_id": text_array([s.waba_id for s, _ in changes]),
        "name": text_array([s.template_name if is_named else "" for s, is_named in named]),
        "language": text_array([s.template_language if is_named else "" for s, is_named in named]),
        "is_new": int_array([int(_state(c) in new) for _, c in changes]),
    }


def insert_numbers(connection: DriverConnection, numbers: Iterable[Number], seen_at: datetime) -> None:
    """Store which number belongs to which of Meta's ids: most signals name the number, everything else the id.

    Beyond MAX_NEW_PER_ACCOUNT new ones in an hour, further ones are left out until the next.
    """
    rows = sorted({(number, phone_key(display), waba) for number, display, waba in numbers})
    columns = [text_array(column) for column in zip(*rows, strict=True)]
    values = dict(zip(("number", "display", "waba_id"), columns, strict=True))
    connection.execute(_INSERT_NUMBERS, values | {"now": seen_at, "most": MAX_NEW_PER_ACCOUNT})
