"""Deletes old rows of tables without partitions, a batch at a time, so that each call locks few rows briefly.

The caller decides how long rows are kept.
"""

from datetime import datetime

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.receiving.books import BEFORE

BATCH = 5_000

_COUNT_FROM = text("""
INSERT INTO prune_clock AS c (counted_from) VALUES (:now)
ON CONFLICT (id) DO UPDATE SET counted_from = least(:now, c.counted_from + interval '1 day')
RETURNING counted_from
""")

Place = int
"""The page of a table up to which rows have been processed."""

START: Place = 0

_PAGES = 150  # of 8 kB, with some thirty events each

_OLD = {
    "minute_counts": "minute < :cutoff",
    "hourly_counts": "hour < :cutoff",
    "hourly_failures": "hour < :cutoff",
    "hourly_reports": "hour < :cutoff",
    "summed_hours": "hour < :cutoff",
    "failure_counts": "minute < :cutoff",
    "failed_messages": "last_at < :cutoff",
    "failure_errors": "first_at < :cutoff AND NOT EXISTS (SELECT FROM failures WHERE error_id = failure_errors.id)",
    "seen_codes": "first_at < :cutoff AND NOT EXISTS (SELECT FROM failure_errors e WHERE e.error_code = code)",
    "rejections": "minute < :cutoff",
    "lateness": "minute < :cutoff",
    "message_stages": "last_at < :cutoff",
    "stage_counts": "at < :cutoff",
    "clock_repairs": "occurred_at < :cutoff",
    "settled_days": "day < :cutoff",
    "sends": "sent_at < :cutoff",
    "retries": "first_failed_at < :cutoff",
    "service_windows": "opened_at < :cutoff",
    "handovers": "occurred_at < :cutoff",
    "quarantine": "replayed_at < :cutoff",
    "quarantine open": "received_at < :cutoff",
    "series": "seen_on < :cutoff",
    # A preference holds until the person changes it, however old it is.
    "preferences": """occurred_at < :cutoff AND considered_at IS NOT NULL AND EXISTS (
        SELECT FROM preferences later
        WHERE (later.contact, later.phone_number_id, later.category, later.value)
            = (preferences.contact, preferences.phone_number_id, preferences.category, preferences.value)
          AND later.occurred_at > preferences.occurred_at)""",
    # The last change of each suppression stays, so that reading the feed from its start gives the present state.
    "suppression_changes": """at < :cutoff AND EXISTS (
        SELECT FROM suppression_changes later
        WHERE later.contact = suppression_changes.contact AND later.seq > suppression_changes.seq
          AND (later.phone_number_id, later.scope, later.reason)
            = (suppression_changes.phone_number_id, suppression_changes.scope, suppression_changes.reason)
          AND later.at < :cutoff)""",
    "health_signals": "occurred_at < :cutoff",
    # The latest change before the cutoff stays: it is the current state. A template without later news is forgotten.
    "health_changes of lost templates": """occurred_at < :cutoff AND subject = 'template' AND NOT EXISTS (
        SELECT FROM health_changes later
        WHERE later.subject = 'template' AND later.subject_id = health_changes.subject_id
          AND later.occurred_at >= :cutoff)""",
    "health_changes": """occurred_at < :cutoff AND EXISTS (
        SELECT FROM health_changes later
        WHERE (later.subject, later.subject_id, later.aspect)
            = (health_changes.subject, health_changes.subject_id, health_changes.aspect)
          AND (later.occurred_at, later.value) > (health_changes.occurred_at, health_changes.value)
          AND later.occurred_at < :cutoff)""",
    # Evaluation reads every change, and a thousand of one state within the retention are made up.
    "health_changes of one state": """occurred_at < :cutoff AND EXISTS (
        SELECT FROM health_changes later
        WHERE (later.subject, later.subject_id, later.aspect)
            = (health_changes.subject, health_changes.subject_id, health_changes.aspect)
          AND (later.occurred_at, later.value) > (health_changes.occurred_at, health_changes.value)
        OFFSET 999)""",
    "template_changes": "changed_at < :cutoff",
    "findings": "fixed_at < :cutoff",
    "silences": "until < :cutoff",
    "backtest_people": "backtest_id IN (SELECT id FROM backtests WHERE requested_at < :cutoff)",
    "backtests": "requested_at < :cutoff AND id NOT IN (SELECT backtest_id FROM backtest_people)",
    "channel_messages": "at < :cutoff AND incident_id NOT IN (SELECT id FROM incidents WHERE state = 'open')",
    "erasures": "finished_at < :cutoff",
    "audit": "at < :cutoff",
    "sessions": "expires_at < :cutoff",
    "wrong_keys": "until < :cutoff",
    "alerts": "resolved_at < :cutoff AND NOT EXISTS (SELECT FROM incidents i WHERE i.id = incident_id)",
    "incidents": "ended_at < :cutoff AND id NOT IN (SELECT incident_id FROM notifications)",
}

_NOTIFICATIONS = f"""
WITH gone AS (
  DELETE FROM notifications WHERE id = ANY (ARRAY(
    (SELECT n.id FROM incidents i JOIN notifications n ON n.incident_id = i.id
     WHERE i.ended_at < :cutoff LIMIT {BATCH})
    UNION ALL (SELECT id FROM notifications WHERE incident_id = 0 AND created_at < :cutoff LIMIT {BATCH})))
  RETURNING id
), tries AS (
  DELETE FROM notification_tries t USING gone WHERE t.notification_id = gone.id
)
SELECT count(*) FROM gone
"""

# `messages` has no index by time. Its rows are found through their events, before those are deleted; a message with
# a later event in a newer partition stays until that partition is deleted.
_MESSAGES = """
WITH ended AS (
  SELECT DISTINCT message_id, phone_number_id FROM {events}
  WHERE ctid >= CAST(:first AS tid) AND ctid < CAST(:next AS tid) AND occurred_at < :cutoff
), gone AS (
  DELETE FROM messages m USING ended e
  WHERE m.message_id = e.message_id AND m.phone_number_id = e.phone_number_id
    AND coalesce(m.sent_at < :cutoff, true) AND coalesce(m.failed_at < :cutoff, true)
  RETURNING m.message_id
)
SELECT (SELECT count(*) FROM gone) AS deleted,
       pg_relation_size('{events}') / current_setting('block_size')::int AS pages
"""

# Days older than the retention are added up in one row, so that the totals go back to the first delivery.
_BOOKS = """
WITH gone AS (
  DELETE FROM books WHERE day < :cutoff AND day > :before
  RETURNING received, applied, duplicate, ignored, quarantined
), added AS (
  INSERT INTO books AS b (day, slot, received, applied, duplicate, ignored, quarantined)
  SELECT :before, 0, sum(received), sum(applied), sum(duplicate), sum(ignored), sum(quarantined)
  FROM gone HAVING count(*) > 0
  ON CONFLICT (day, slot) DO UPDATE SET
    received = b.received + excluded.received, applied = b.applied + excluded.applied,
    duplicate = b.duplicate + excluded.duplicate, ignored = b.ignored + excluded.ignored,
    quarantined = b.quarantined + excluded.quarantined
)
SELECT count(*) FROM gone
"""


def count_ages_from(connection: Connection, now: datetime) -> datetime:
    """The time that the age of data is counted from: now, but at most a day later than the time before.

    So a clock that is wrong for a while makes only the oldest day or days of data too old.
    """
    found: datetime = connection.execute(_COUNT_FROM, {"now": now}).scalar_one()
    return found


def fold_books(connection: Connection, cutoff: datetime) -> int:
    """Sum the days before `cutoff` in one row; returns how many rows were removed."""
    values = {"cutoff": cutoff.date(), "before": BEFORE}
    return int(connection.execute(text(_BOOKS), values).scalar_one())


def delete_old(connection: Connection, rule: str, cutoff: datetime) -> int:
    """Delete up to one batch of rows from before `cutoff`; returns how many. A rule's name starts with its table."""
    table = rule.partition(" ")[0]
    statement = (
        f"DELETE FROM {table} WHERE ctid = ANY (ARRAY("
        f"SELECT ctid FROM {table} WHERE {_OLD[rule]} LIMIT {BATCH}))"
    )
    return connection.execute(text(statement), {"cutoff": cutoff}).rowcount


def delete_notifications(connection: Connection, cutoff: datetime) -> int:
    """Delete up to two batches of notifications of incidents that ended before `cutoff`, or older ones of findings."""
    return int(connection.execute(text(_NOTIFICATIONS), {"cutoff": cutoff}).scalar_one())


def delete_messages(
    connection: Connection, events: str, cutoff: datetime, after: Place
) -> tuple[int, Place | None]:
    """Delete messages whose last event is before `cutoff`, for some pages of the partition `events`.

    Returns how many were deleted and the next page, None after the last.
    """
    end = after + _PAGES
    values = {"cutoff": cutoff, "first": f"({after},0)", "next": f"({end},0)"}
    row = connection.execute(text(_MESSAGES.format(events=events)), values).one()
    return row.deleted, (end if end < row.pages else None)
