"""Deleting what is too old and in no partition, a batch at a time: each call locks few rows for a moment.

How long things are kept is not decided here.
"""

from datetime import datetime

from sqlalchemy import Connection, text

BATCH = 5_000

Place = tuple[str, str]
"""The message_id and phone_number_id up to which a table has been walked."""

START: Place = ("", "")

_OLD = {
    "minute_counts": "minute < :cutoff",
    "rejections": "minute < :cutoff",
    "clock_repairs": "occurred_at < :cutoff",
    "quarantine": "replayed_at < :cutoff",
    "alerts": "resolved_at < :cutoff AND id NOT IN (SELECT alert_id FROM notifications)",
}

_NOTIFICATIONS = f"""
WITH gone AS (
  DELETE FROM notifications WHERE id = ANY (ARRAY(
    SELECT n.id FROM alerts a JOIN notifications n ON n.alert_id = a.id
    WHERE a.resolved_at < :cutoff LIMIT {BATCH}))
  RETURNING id
), tries AS (
  DELETE FROM notification_tries t USING gone WHERE t.notification_id = gone.id
)
SELECT count(*) FROM gone
"""

# `messages` has no index by time. Its rows are found through the events that made them, before those go: one
# with a later event in a younger partition stays until that partition's turn.
_MESSAGES = f"""
WITH page AS (
  SELECT DISTINCT message_id, phone_number_id FROM {{events}}
  WHERE (message_id, phone_number_id) > (:message_id, :phone_number_id) AND occurred_at < :cutoff
  ORDER BY message_id, phone_number_id LIMIT {BATCH}
), gone AS (
  DELETE FROM messages m USING page p
  WHERE m.message_id = p.message_id AND m.phone_number_id = p.phone_number_id
    AND coalesce(m.sent_at < :cutoff, true) AND coalesce(m.failed_at < :cutoff, true)
  RETURNING m.message_id
)
SELECT (SELECT count(*) FROM gone) AS deleted, message_id, phone_number_id
FROM page ORDER BY message_id DESC, phone_number_id DESC LIMIT 1
"""

TABLES = tuple(_OLD)


def delete_old(connection: Connection, table: str, cutoff: datetime) -> int:
    """Delete up to one batch of the table's rows from before `cutoff`; returns how many."""
    statement = (
        f"DELETE FROM {table} WHERE ctid = ANY (ARRAY("
        f"SELECT ctid FROM {table} WHERE {_OLD[table]} LIMIT {BATCH}))"
    )
    return connection.execute(text(statement), {"cutoff": cutoff}).rowcount


def delete_notifications(connection: Connection, cutoff: datetime) -> int:
    """Delete up to a batch of notifications of alerts resolved before `cutoff`, with their tries."""
    return int(connection.execute(text(_NOTIFICATIONS), {"cutoff": cutoff}).scalar_one())


def delete_messages(
    connection: Connection, events: str, cutoff: datetime, after: Place
) -> tuple[int, Place | None]:
    """Delete messages over by `cutoff`, one page of the partition `events` at a time.

    Returns how many went and where the next page begins, None after the last.
    """
    values = {"cutoff": cutoff, "message_id": after[0], "phone_number_id": after[1]}
    row = connection.execute(text(_MESSAGES.format(events=events)), values).one_or_none()
    return (0, None) if row is None else (row.deleted, (row.message_id, row.phone_number_id))
