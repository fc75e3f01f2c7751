"""Sends as senders report them, and the sends that no webhook has reported since.

There is a row per message, business number and answer (accepted, or failed with this code), at most MAX_PER_MESSAGE of
a message and key. A repeated report only fills in what the first one left out. What the batch writers call uses the
driver: it shares their connection.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.incidents.evidence import AcceptedSends
from webhook_app.store.counts.messages import settled
from webhook_app.store.counts.webhook_counts import FROM_WEBHOOK
from webhook_app.store.postgres.arrays import int_array, text_array
from webhook_app.store.postgres.engine import Connection, DriverConnection
from webhook_app.whatsapp.sends.send_reports import GENERATED_ID_PREFIX, SendReport

MAX_PER_MESSAGE = 20
"""Reports of one message by one key: a call and a few retries. A webhook merges as many, its sender's first."""

UNREPORTED_AFTER = timedelta(minutes=30)
"""Meta reports nearly every message within seconds; an accepted send without a webhook for so long is suspicious."""

UNREPORTED_WITHIN = timedelta(days=1)


class KnownSend(NamedTuple):
    """What senders reported of one message on one business number ('' if they did not name it)."""

    contact: str = ""
    template: str = ""
    campaign: str = ""
    category: str = ""
    failed: bool = False


class UnreportedSends(Struct, frozen=True):
    """Accepted sends on one business number that no webhook has reported."""

    phone_number_id: str
    silent: int
    first_at: datetime
    last_at: datetime


class FailedSend(Struct, frozen=True, kw_only=True):
    """A failed call of a message with an id from Meta, without its error object."""

    message_id: str
    phone_number_id: str
    error_code: int
    sent_at: datetime
    error_subcode: int
    fbtrace_id: str
    reported_by: str


Key = tuple[str, str, bool, int]
"""message_id, phone_number_id, failed, error code: the primary key."""

# Only the key that reported a message first may add to it: a later one is registered later, whatever its clock says.
_SAME_KEY = "s.reported_by = excluded.reported_by"
_KNOWN = f"CASE WHEN {_SAME_KEY} THEN coalesce(nullif(s.{{0}}, ''), excluded.{{0}}) ELSE s.{{0}} END"
_INSERT = text(f"""
INSERT INTO sends AS s (message_id, phone_number_id, failed, error_code, contact, template, campaign, category, sent_at,
                        registered_at, error_subcode, fbtrace_id, error, endpoint, request, check_at, given,
                        reported_by)
SELECT message_id, phone_number_id, failed, error_code, contact, template, campaign, category, sent_at,
       greatest(:now, (SELECT max(o.registered_at) + interval '1 microsecond' FROM sends o
                       WHERE o.message_id = i.message_id AND o.reported_by <> :reported_by)),
       subcode, trace, nullif(error, '')::jsonb, endpoint, nullif(request, '')::jsonb, check_at, given,
       :reported_by
FROM unnest(CAST(:message_id AS text[]), CAST(:phone_number_id AS text[]), CAST(:failed AS bool[]),
            CAST(:error_code AS bigint[]), CAST(:contact AS text[]), CAST(:template AS text[]),
            CAST(:campaign AS text[]), CAST(:category AS text[]), CAST(:sent_at AS timestamptz[]),
            CAST(:subcode AS bigint[]), CAST(:trace AS text[]), CAST(:error AS text[]), CAST(:endpoint AS text[]),
            CAST(:request AS text[]), CAST(:check_at AS timestamptz[]), CAST(:given AS text[]))
  AS i(message_id, phone_number_id, failed, error_code, contact, template, campaign, category, sent_at, subcode, trace,
       error, endpoint, request, check_at, given)
ORDER BY message_id, phone_number_id, failed, error_code
ON CONFLICT (message_id, phone_number_id, failed, error_code) DO UPDATE SET
  contact = {_KNOWN.format("contact")}, template = {_KNOWN.format("template")},
  campaign = {_KNOWN.format("campaign")}, category = {_KNOWN.format("category")},
  given = {_KNOWN.format("given")}, fbtrace_id = {_KNOWN.format("fbtrace_id")}, endpoint = {_KNOWN.format("endpoint")},
  request = CASE WHEN {_SAME_KEY} THEN coalesce(s.request, excluded.request) ELSE s.request END,
  sent_at = CASE WHEN {_SAME_KEY} THEN least(s.sent_at, excluded.sent_at) ELSE s.sent_at END,
  check_at = excluded.check_at, disputed = s.disputed OR NOT {_SAME_KEY}
RETURNING s.message_id, s.phone_number_id, s.failed, s.error_code, s.sent_at, s.xmax = 0 AS is_new
""")

# The first key to report a message is its sender: what other keys say of it does not count.
_OWN = """
SELECT *, first_value(reported_by) OVER (PARTITION BY message_id ORDER BY registered_at, reported_by) AS sender
FROM sends WHERE message_id = ANY(%s::text[])
"""
# One row per message and number, however often it was reported.
_KNOWN_SENDS = f"""
SELECT message_id, phone_number_id, coalesce(max(contact) FILTER (WHERE reported_by = sender), ''),
       coalesce(max(template) FILTER (WHERE reported_by = sender), ''),
       coalesce(max(campaign) FILTER (WHERE reported_by = sender), ''),
       coalesce(max(category) FILTER (WHERE reported_by = sender), ''), bool_or(failed)
FROM ({_OWN}) AS s GROUP BY message_id, phone_number_id
"""

# What other keys say of a message is stored too. A row that a race stored beyond the limit is never merged.
_FAILED = f"""
SELECT message_id, phone_number_id, error_code, sent_at, error_subcode, fbtrace_id, reported_by FROM (
  SELECT message_id, phone_number_id, error_code, sent_at, error_subcode, fbtrace_id, reported_by,
         row_number() OVER (PARTITION BY message_id
                            ORDER BY reported_by <> sender, registered_at, phone_number_id, error_code) AS place
  FROM ({_OWN}) AS o WHERE failed AND NOT starts_with(message_id, %s)) AS s
WHERE place <= %s ORDER BY message_id, phone_number_id, error_code
"""

_ERRORS = """
SELECT phone_number_id, error_code, coalesce(error, '{}') AS error FROM sends
WHERE message_id = %s AND failed
  AND (phone_number_id, error_code) IN (SELECT * FROM unnest(%s::text[], %s::bigint[]))
"""

_KEYS = text("""
SELECT message_id, phone_number_id, failed, error_code, reported_by FROM sends WHERE message_id = ANY(:ids)
""")

_DUE = text("""
SELECT message_id, phone_number_id, failed, error_code, registered_at FROM sends
WHERE check_at <= :now ORDER BY check_at LIMIT :limit
""")
_MOST_DUE = 60_000
_DUE_OF_EACH_KEY = text(f"""
SELECT message_id, phone_number_id, failed, error_code, registered_at
FROM (SELECT *, row_number() OVER (PARTITION BY reported_by ORDER BY check_at) AS place
      FROM (SELECT * FROM sends WHERE check_at <= :now ORDER BY check_at LIMIT {_MOST_DUE}) d) d
ORDER BY place, check_at LIMIT :limit
""")

# Webhooks follow a send, but the sender's clock may be wrong by days.
_WITH_WEBHOOKS = text(f"""
SELECT DISTINCT e.message_id FROM status_events e
WHERE keyed_hash(e.message_id) = ANY(ARRAY(SELECT keyed_hash(i) FROM unnest(CAST(:ids AS text[])) i))
  AND e.message_id = ANY(:ids) AND e.occurred_at >= (
  SELECT min(sent_at) - interval '8 days' FROM sends WHERE message_id = ANY(:ids))
  AND {FROM_WEBHOOK}
""")

_SCHEDULE_CHECKS = text("""
UPDATE sends s SET check_at = i.check_at
FROM unnest(CAST(:message_id AS text[]), CAST(:phone_number_id AS text[]), CAST(:failed AS bool[]),
            CAST(:error_code AS bigint[]), CAST(:check_at AS timestamptz[]))
  AS i(message_id, phone_number_id, failed, error_code, check_at)
WHERE (s.message_id, s.phone_number_id, s.failed, s.error_code)
    = (i.message_id, i.phone_number_id, i.failed, i.error_code)
""")

# What is locked is just being registered, which sets the time of its check.
_CHECK_AT_ONCE = """
UPDATE sends s SET check_at = %s
FROM (SELECT message_id, phone_number_id, failed, error_code FROM sends WHERE message_id = ANY(%s::text[])
      FOR UPDATE SKIP LOCKED) f
WHERE (s.message_id, s.phone_number_id, s.failed, s.error_code)
    = (f.message_id, f.phone_number_id, f.failed, f.error_code)
"""

# The next check of a send may be some time off, so sends reported meanwhile are excluded by lookups of primary keys.
_UNREPORTED_BY = f"""
SELECT {{by}}, count(*) AS silent, min(sent_at) AS first_at, max(sent_at) AS last_at
FROM sends s
WHERE check_at IS NOT NULL AND NOT failed AND sent_at >= :since AND sent_at < :until
  AND NOT EXISTS (SELECT FROM status_events e
                  WHERE keyed_hash(e.message_id) = keyed_hash(s.message_id)
                    AND e.message_id = s.message_id AND e.occurred_at >= :since AND {FROM_WEBHOOK})
GROUP BY {{by}} ORDER BY {{by}}
"""
_UNREPORTED = text(_UNREPORTED_BY.format(by="phone_number_id"))
_UNREPORTED_BY_KEY = text(_UNREPORTED_BY.format(by="reported_by"))

# Of a message that is reported as sent now, events older than eight days are not read.
_SENT_BEFORE = "SELECT coalesce(min(sent_at) < %s, false) FROM sends WHERE message_id = ANY(%s::text[])"
_EVENTS_BEFORE = timedelta(days=8)

_FAILED_OF_KEY = text("""
SELECT count(*) FROM (
  SELECT FROM sends WHERE reported_by = :key AND registered_at >= :since AND failed LIMIT :most) AS f
""")
_COUNT_ACCEPTED = text(
    "SELECT count(*) FROM sends WHERE sent_at >= :since AND sent_at < :until AND NOT failed"
)
_ACCEPTED = text("""
SELECT phone_number_id, reported_by, sends
FROM (SELECT phone_number_id, reported_by, count(*) AS sends FROM sends
      WHERE sent_at >= :since AND sent_at < :until AND NOT failed GROUP BY phone_number_id, reported_by) s
WHERE phone_number_id = '' OR EXISTS (SELECT FROM business_numbers n WHERE n.phone_number_id = s.phone_number_id)
   OR EXISTS (SELECT FROM meta_numbers n WHERE n.phone_number_id = s.phone_number_id)
""")


def insert(
    connection: Connection,
    reports: Sequence[SendReport],
    check_at: datetime,
    now: datetime,
    *,
    reported_by: str,
) -> dict[Key, tuple[datetime, bool]]:
    """Store the reports; returns for each key its time and whether it is new. Keys must not repeat."""
    if not reports:
        return {}
    errors = [report.error for report in reports]
    values = {
        "message_id": [r.message_id for r in reports],
        "phone_number_id": [r.phone_number_id for r in reports],
        "failed": [r.error is not None for r in reports],
        "error_code": [r.error_code for r in reports],
        "contact": [r.contact for r in reports],
        "template": [r.template for r in reports],
        "campaign": [r.campaign for r in reports],
        "category": [r.category for r in reports],
        "sent_at": [r.sent_at for r in reports],
        "subcode": [e.subcode if e else -1 for e in errors],
        "trace": [e.fbtrace_id if e else "" for e in errors],
        "error": [e.json if e else "" for e in errors],
        "endpoint": [r.endpoint for r in reports],
        "request": [r.request_json for r in reports],
        "check_at": [None if r.has_generated_id else check_at for r in reports],
        "given": [r.given for r in reports],
        "now": now,
        "reported_by": reported_by,
    }
    return {tuple(row[:4]): (row.sent_at, row.is_new) for row in connection.execute(_INSERT, values)}


def known_sends(connection: DriverConnection, message_ids: Iterable[str]) -> dict[tuple[str, str], KnownSend]:
    """What senders reported of these messages, by message and business number."""
    rows = connection.execute(_KNOWN_SENDS, [text_array(list(message_ids))], prepare=True)
    return {(row[0], row[1]): KnownSend(*row[2:]) for row in rows}


def stored_keys(connection: Connection, message_ids: Iterable[str]) -> dict[Key, str]:
    """The keys of all reports of these messages, each with the API key that made it."""
    rows = connection.execute(_KEYS, {"ids": list(message_ids)})
    return {(row[0], row[1], row[2], row[3]): row[4] for row in rows}


def failed_sends(connection: DriverConnection, message_ids: Iterable[str]) -> list[FailedSend]:
    """The failed calls of these messages, MAX_PER_MESSAGE of each, its sender's and the first ones before others."""
    values = [text_array(list(message_ids)), GENERATED_ID_PREFIX, MAX_PER_MESSAGE]
    rows = connection.execute(_FAILED, values)
    names = FailedSend.__struct_fields__
    return [FailedSend(**dict(zip(names, row, strict=True))) for row in rows]


def errors_of(
    connection: DriverConnection, message_id: str, calls: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], dict[str, Any]]:
    """The error objects of these failed calls of a message, by reported business number and code."""
    numbers, codes = zip(*calls, strict=True)
    rows = connection.execute(_ERRORS, [message_id, text_array(numbers), int_array(codes)])
    return {(row[0], row[1]): row[2] for row in rows}


def due_checks(connection: Connection, now: datetime, limit: int) -> list[tuple[Key, datetime]]:
    """Reports that are due for a check, each with the time of its registration.

    Of more failed calls, which take long, as many of each API key.
    """
    values = {"now": now, "limit": limit}
    rows = connection.execute(_DUE, values).all()
    if len(rows) == limit and 2 * sum(row.failed for row in rows) >= limit:
        rows = connection.execute(_DUE_OF_EACH_KEY, values).all()
    return [((row[0], row[1], row[2], row[3]), row.registered_at) for row in rows]


def restore_settled(
    connection: DriverConnection, message_ids: Collection[str], now: datetime, *, slot: int
) -> None:
    """Restore these messages, which reports are merged with, if one was sent so long ago that it may be settled."""
    sent_before = now - settled.OLD_AFTER + _EVENTS_BEFORE
    row = connection.execute(_SENT_BEFORE, [sent_before, text_array(sorted(message_ids))]).fetchone()
    if row and row[0]:
        settled.restore(connection, message_ids, slot=slot)


def with_webhooks(connection: Connection, message_ids: Iterable[str]) -> set[str]:
    """The messages among these that a webhook has reported."""
    return set(connection.execute(_WITH_WEBHOOKS, {"ids": list(message_ids)}).scalars())


def schedule_checks(connection: Connection, when: dict[Key, datetime | None]) -> None:
    """Set when each report is checked again; None: never."""
    names = ("message_id", "phone_number_id", "failed", "error_code")
    values: dict[str, Any] = dict(zip(names, map(list, zip(*when, strict=True)), strict=True)) if when else {}
    if values:
        connection.execute(_SCHEDULE_CHECKS, values | {"check_at": list(when.values())})


def check_at_once(connection: DriverConnection, message_ids: Iterable[str], now: datetime) -> None:
    """Make every report of these messages due for a check."""
    connection.execute(_CHECK_AT_ONCE, [now, text_array(sorted(message_ids))])


def unreported(
    connection: Connection, now: datetime, after: timedelta = UNREPORTED_AFTER
) -> list[UnreportedSends]:
    """Sends of the last day, accepted longer than `after` ago, that no webhook has reported, by number."""
    return unreported_between(connection, now - UNREPORTED_WITHIN, now - after)


def unreported_between(connection: Connection, start: datetime, end: datetime) -> list[UnreportedSends]:
    """Accepted sends from `start` to before `end` that no webhook has reported, by number.

    Reads only sends that are still due for a check, however many were sent.
    """
    return [UnreportedSends(*row) for row in connection.execute(_UNREPORTED, {"since": start, "until": end})]


def count_failed(connection: Connection, key: str, since: datetime, most: int) -> int:
    """The number of failed calls that this key reported since then, counted up to `most`."""
    values = {"key": key, "since": since, "most": most}
    return int(connection.execute(_FAILED_OF_KEY, values).scalar_one())


def unreported_by_key(connection: Connection, start: datetime, end: datetime) -> dict[str, int]:
    """The accepted sends from `start` to before `end` that no webhook has reported, by the key that reported them."""
    rows = connection.execute(_UNREPORTED_BY_KEY, {"since": start, "until": end})
    return {row.reported_by: row.silent for row in rows}


def count_accepted(connection: Connection, start: datetime, end: datetime) -> int:
    """The number of sends accepted from `start` to before `end`."""
    return int(connection.execute(_COUNT_ACCEPTED, {"since": start, "until": end}).scalar_one())


def accepted_by_number(connection: Connection, start: datetime, end: datetime) -> AcceptedSends:
    """The number of sends accepted from `start` to before `end`, by business number and API key.

    Without those at numbers that neither webhooks nor Meta's Graph API have named. '': those that name no number.
    """
    found: dict[str, dict[str, int]] = {}
    for number, key, sends in connection.execute(_ACCEPTED, {"since": start, "until": end}):
        found.setdefault(number, {})[key] = sends
    return found
