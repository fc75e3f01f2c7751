"""Finds failures that have no retry yet, what happened to messages that are due, and what was reported since.

Failures that webhooks report are searched by every claim, by the time they occurred; failed calls by claims of the key
that reported the message first, by the time it did, so that a key's claims read no calls of others. A search reads what
came since the one before and some minutes more, and an hour more once a minute: webhooks may arrive late.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.sends.retries import MAX_ATTEMPTS, SOON_WITHIN, UNCLAIMED_FOR
from webhook_app.rules.wrong_clocks import TOLERATED, resume_at
from webhook_app.store.counts.failures.failures import COUNTED, tries_sql
from webhook_app.store.counts.messages.settled import OLD_AFTER
from webhook_app.store.postgres.engine import Connection, use_indexes_until_commit
from webhook_app.store.postgres.errors import EngineUnavailable, is_statement_timeout
from webhook_app.store.postgres.locks import limit_statements
from webhook_app.store.sends.retries import Retry
from webhook_app.whatsapp.sends.send_reports import GENERATED_ID_PREFIX

RETRY_CALL_PREFIX = f"{GENERATED_ID_PREFIX}retry:"
"""The prefix of the ids of failed calls that were to send a message again: they are no messages of their own."""
_LATE, _VERY_LATE = timedelta(minutes=5), timedelta(hours=1)
_SKIPPED = timedelta(minutes=10)
_AGAIN_AFTER = timedelta(seconds=1)


class RetryableFailure(Struct, frozen=True):
    """A failure without a retry. `attempts`: retries that its message had under other ids."""

    message_id: str
    phone_number_id: str
    occurred_at: datetime
    error_code: int
    error_subcode: int
    contact: str
    series_id: int
    category: str
    first_message_id: str
    first_failed_at: datetime
    attempts: int
    reported_by: str
    """The API key that reported the message first; '': none did."""
    at: datetime
    """The time that the search goes by."""


class MessageFacts(Struct, frozen=True):
    """What is known of a message that is due.

    `later_message_id`: the first message of the same template or campaign to the contact since: since the lease began,
    or else a message since the failure that did not fail. Webhooks name it, or a report of the key that leases.
    `has_changes`: somebody left the number of the contact, or came to it, at some time.
    """

    is_delivered: bool
    callback_data: str
    later_message_id: str
    has_changes: bool


WEBHOOKS = ""
"""Stands for a key: failures that webhooks reported."""
_MILLISECONDS = 5_000
_MOST_EVENTS = 1_000  # that are read of a message; it has a few
_MOST_MESSAGES = 500  # events, and reported sends, that are read of a contact
_START = text(
    "INSERT INTO retry_progress (reported_by, searched_at) VALUES (:reported_by, :start) ON CONFLICT DO NOTHING"
)
_LOCK = text(
    "SELECT searched_at FROM retry_progress WHERE reported_by = :reported_by"
    " AND (searched_at <= :before OR searched_at > :ahead) FOR UPDATE SKIP LOCKED"
)
_SAVE = text("UPDATE retry_progress SET searched_at = :until WHERE reported_by = :reported_by")
_IN_ORDER = text(
    "SET LOCAL enable_sort = off"
)  # an index gives the first failures without reading the others
_SKIP = text(
    "UPDATE retry_progress SET searched_at = least(searched_at + :skipped, :now) WHERE reported_by = :reported_by"
)
# A report from before the failure says whose message it is. Afterwards anybody may have read about the message, and the
# first report says so only if no other key reports it, too.
_FIRST_REPORT = """
SELECT CASE WHEN o.registered_at <= f.received_at THEN o.reported_by
            WHEN o.disputed OR EXISTS (SELECT FROM sends x
                                       WHERE x.message_id = o.message_id AND x.reported_by <> o.reported_by) THEN ''
            ELSE o.reported_by END AS reported_by
FROM sends o WHERE o.message_id = f.message_id ORDER BY o.registered_at, o.reported_by LIMIT 1
"""
# OFFSET and LIMIT make Postgres look up one row at a time by the index meant, whatever its statistics say.
_IS_NEW = f"""
f.error_code = ANY(:codes) AND (f.occurred_at >= :soon_since OR f.error_code <> ALL(:soon))
AND f.contact <> '' AND f.participant = '' AND NOT starts_with(f.message_id, '{RETRY_CALL_PREFIX}')
AND (SELECT r.id FROM retries r
     WHERE r.message_id = f.message_id AND r.phone_number_id = f.phone_number_id LIMIT 1) IS NULL
"""
_OF_WEBHOOKS = f"""
SELECT f.*, f.occurred_at AS at FROM failures f
WHERE f.occurred_at >= :since AND f.source <> 'send' AND {_IS_NEW}
ORDER BY f.occurred_at LIMIT :limit
"""
# What another key than the message's own reports sends it to nobody again.
_OF_CALLS = f"""
SELECT f.*, w.registered_at AS at
FROM (SELECT * FROM sends w WHERE w.reported_by = :reported_by AND w.failed AND w.registered_at >= :since
      ORDER BY w.registered_at OFFSET 0) w
CROSS JOIN LATERAL (SELECT * FROM failures f
                    WHERE f.message_id = w.message_id AND f.occurred_at BETWEEN :oldest AND w.sent_at OFFSET 0) f
WHERE f.source = 'send' AND f.error_code = w.error_code AND {_IS_NEW} AND ({_FIRST_REPORT}) = w.reported_by
ORDER BY w.registered_at LIMIT :limit
"""
_EVENT = """
FROM status_events e
WHERE keyed_hash(e.message_id) = keyed_hash({0}.message_id) AND e.occurred_at = {0}.occurred_at
  AND e.status = 'failed' AND e.participant = '' AND e.error_code = {0}.error_code
  AND hashtext(e.phone_number_id) = hashtext({0}.phone_number_id)
  AND (e.message_id, e.phone_number_id) = ({0}.message_id, {0}.phone_number_id)
"""
"""The event of a failure, by all columns of its index."""
_FIND = """
WITH chosen AS MATERIALIZED ({chosen})
SELECT f.message_id, f.phone_number_id, f.occurred_at, f.error_code, f.error_subcode, f.contact, f.series_id,
       coalesce((SELECT max(e.category) {event}), '') AS category,
       coalesce(p.first_message_id, f.message_id) AS first_message_id,
       coalesce(p.first_failed_at, f.occurred_at) AS first_failed_at,
       greatest(p.attempts, {tries}) AS attempts,
       coalesce(o.reported_by, '') AS reported_by, f.at
FROM chosen f
LEFT JOIN LATERAL ({first_report}) o ON TRUE
LEFT JOIN LATERAL (SELECT * FROM retries p
                   WHERE p.sent_message_id = f.message_id AND p.sent_message_id <> ''
                     AND (p.phone_number_id, p.contact) = (f.phone_number_id, f.contact)
                     AND p.leased_by = coalesce(nullif(o.reported_by, ''), p.leased_by)
                   LIMIT 1) p ON TRUE
ORDER BY f.message_id, f.phone_number_id, f.occurred_at DESC, f.error_code
"""
_MOST_READ = 100  # failures of a contact and day; with more, a claim of thousands would take seconds
_PARTS = {
    "event": _EVENT.format("f"),
    "tries": tries_sql(MAX_ATTEMPTS + 1, _MOST_READ),
    "first_report": _FIRST_REPORT,
}
_FIND_OF_WEBHOOKS, _FIND_OF_CALLS = (
    text(_FIND.format(chosen=chosen, **_PARTS)) for chosen in (_OF_WEBHOOKS, _OF_CALLS)
)
# Of each contact the messages are read once, for all of its retries.
_FACTS = text(f"""
WITH due AS MATERIALIZED (
  SELECT r.*, s.template, s.campaign, r.state = 'leased' AS has_lapsed,
         CASE WHEN r.state = 'leased' THEN date_trunc('second', r.leased_at)
              ELSE r.failed_at + interval '1 second' END AS since
  FROM retries r JOIN series s ON s.id = r.series_id
  WHERE r.id = ANY(:ids)
), messages AS MATERIALIZED (
  SELECT p.contact, p.has_lapsed, m.*
  FROM (SELECT contact, has_lapsed, min(since) AS since FROM due GROUP BY contact, has_lapsed) p
  CROSS JOIN LATERAL (
    SELECT e.message_id, e.occurred_at AS at, e.phone_number_id, s.template, s.campaign, '' AS reported_by
    FROM (SELECT * FROM status_events e
          WHERE e.contact = p.contact AND e.occurred_at >= p.since AND (e.status <> 'failed' OR p.has_lapsed)
          LIMIT {_MOST_MESSAGES}) e
    JOIN series s ON s.id = e.series_id
    WHERE e.status <> 'failed'
      OR NOT EXISTS (SELECT FROM sends c WHERE c.message_id = e.message_id AND c.failed OFFSET 0)
    UNION ALL
    SELECT e.message_id, e.sent_at, e.phone_number_id, s.template, s.campaign, ''
    FROM (SELECT * FROM settled_messages e
          WHERE p.since < now() - interval '{OLD_AFTER.days} days'
            AND e.contact = p.contact AND e.sent_at >= p.since
          LIMIT {_MOST_MESSAGES}) e
    JOIN series s ON s.id = e.series_id
    UNION ALL
    SELECT w.message_id, w.sent_at, w.phone_number_id, w.template, w.campaign, w.reported_by
    FROM (SELECT * FROM sends w WHERE w.contact = p.contact AND w.sent_at >= p.since
          ORDER BY w.sent_at LIMIT {_MOST_MESSAGES}) w
    WHERE NOT w.failed
  ) m
  WHERE (m.template <> '' OR m.campaign <> '') AND NOT starts_with(m.message_id, '{GENERATED_ID_PREFIX}')
), later AS (
  SELECT DISTINCT ON (r.id) r.id, m.message_id
  FROM due r JOIN messages m USING (contact, has_lapsed, phone_number_id, template, campaign)
  WHERE m.at >= r.since AND m.message_id <> r.message_id
    AND m.reported_by = ANY(ARRAY['', :key, r.reported_by, r.leased_by])
  ORDER BY r.id, m.at, m.message_id
)
SELECT r.id,
  EXISTS (SELECT FROM (
            SELECT e.phone_number_id, e.status FROM status_events e
            WHERE keyed_hash(e.message_id) = keyed_hash(r.message_id) AND e.message_id = r.message_id
              AND e.occurred_at >= r.occurred_at - interval '1 day'
            LIMIT {_MOST_EVENTS}) e
          WHERE e.phone_number_id = r.phone_number_id AND e.status IN ('delivered', 'read', 'played')) AS is_delivered,
  coalesce((SELECT max(e.callback_data) {_EVENT.format("r")}), '') AS callback_data,
  coalesce(l.message_id, '') AS later_message_id,
  EXISTS (SELECT FROM number_changes c WHERE c.old_contact = r.contact OFFSET 0)
    OR EXISTS (SELECT FROM number_changes c WHERE c.new_contact = r.contact OFFSET 0) AS has_changes
FROM due r LEFT JOIN later l USING (id)
""")

_WITHOUT_REPORT = text("SELECT message_id FROM retries WHERE message_id = ANY(:ids) AND reported_by = ''")
# A row that a claim has locked is left for the next check of the report.
_COMPLETE = text(f"""
WITH found AS (
  SELECT r.id, o.reported_by, f.series_id, f.contact,
         coalesce((SELECT max(e.category) {_EVENT.format("f")}), r.category) AS category
  FROM retries r
  JOIN failures f ON f.message_id = r.message_id AND f.phone_number_id = r.phone_number_id
   AND f.occurred_at = r.occurred_at AND f.participant = '' AND f.error_code = r.error_code
  CROSS JOIN LATERAL ({_FIRST_REPORT}) o
  WHERE r.message_id = ANY(:ids) AND r.reported_by = '' AND o.reported_by <> ''
  FOR UPDATE OF r SKIP LOCKED
)
UPDATE retries r SET reported_by = i.reported_by, series_id = i.series_id, contact = i.contact, category = i.category
FROM found i WHERE r.id = i.id
""")
_RELEASE = text(f"""
UPDATE retries r SET reported_by = ''
FROM failures f
WHERE r.message_id = ANY(:ids) AND r.reported_by <> '' AND f.message_id = r.message_id
  AND f.phone_number_id = r.phone_number_id AND f.occurred_at = r.occurred_at AND f.participant = ''
  AND f.error_code = r.error_code AND ({_FIRST_REPORT}) = ''
""")


def begin(connection: Connection, reported_by: str, now: datetime) -> datetime | None:
    """Begin a search: since when to read failures. None if another session searches, or has just done so.

    `reported_by`: the key that reported them, or WEBHOOKS. The very first search reads those of the last hour.
    """
    connection.execute(_START, {"reported_by": reported_by, "start": now - timedelta(minutes=1)})
    values = {"reported_by": reported_by, "before": now - _AGAIN_AFTER, "ahead": now + TOLERATED}
    found: datetime | None = connection.execute(_LOCK, values).scalar_one_or_none()
    if found is None:
        return None
    before = resume_at(found, now)
    is_first_of_minute = before.replace(second=0, microsecond=0) != now.replace(second=0, microsecond=0)
    return before - (_VERY_LATE if is_first_of_minute else _LATE)


def end(connection: Connection, reported_by: str, until: datetime, now: datetime) -> None:
    """Record that all failures before `until` have been searched: the next search begins there, or minutes ago."""
    connection.execute(_SAVE, {"reported_by": reported_by, "until": min(until + _LATE, now)})


def skip(connection: Connection, reported_by: str, now: datetime) -> None:
    """Leave some minutes of failures that cannot be read in time, so that nothing they contain ends all searches."""
    connection.execute(_SKIP, {"reported_by": reported_by, "skipped": _SKIPPED, "now": now})


def find(
    connection: Connection,
    reported_by: str,
    since: datetime,
    now: datetime,
    soon: Sequence[int],
    later: Sequence[int],
    limit: int,
) -> list[RetryableFailure] | None:
    """The first failures since then with these codes that have no retry; None if to read them takes too long.

    Of a code of `soon` those within SOON_WITHIN. A message that failed more than once comes with its latest failure
    first.
    """
    values = {"since": since, "soon_since": now - SOON_WITHIN, "soon": list(soon), "codes": [*soon, *later]}
    values |= {"counted": list(COUNTED), "limit": limit}
    if reported_by != WEBHOOKS:
        values |= {"reported_by": reported_by, "oldest": now - UNCLAIMED_FOR}
    try:
        with connection.begin_nested() as reading:
            limit_statements(connection, _MILLISECONDS)
            use_indexes_until_commit(connection)
            connection.execute(_IN_ORDER)
            rows = connection.execute(_FIND_OF_CALLS if reported_by else _FIND_OF_WEBHOOKS, values).all()
            reading.rollback()  # with it all settings
    except EngineUnavailable as fault:
        if not is_statement_timeout(fault):
            raise
        return None
    return [RetryableFailure(*row) for row in rows]


def facts(connection: Connection, retries: Sequence[Retry], key: str) -> dict[int, MessageFacts]:
    """What is known of the messages of these retries, by id. `key`: the API key that leases them."""
    with connection.begin_nested() as reading:
        use_indexes_until_commit(connection)
        rows = connection.execute(_FACTS, {"ids": [each.id for each in retries], "key": key}).all()
        reading.rollback()  # with it the setting
    return {row.id: MessageFacts(*row[1:]) for row in rows}


def release_disputed(connection: Connection, message_ids: Iterable[str]) -> None:
    """Let every key lease the retries of these messages that several keys reported after their failure."""
    if ids := sorted(set(message_ids)):
        connection.execute(_RELEASE, {"ids": ids})


def complete(connection: Connection, message_ids: Iterable[str]) -> None:
    """Complete the retries of these messages that were stored before the first report of the message."""
    found = connection.execute(_WITHOUT_REPORT, {"ids": list(message_ids)}).scalars().all()
    if found:
        connection.execute(_COMPLETE, {"ids": found})
