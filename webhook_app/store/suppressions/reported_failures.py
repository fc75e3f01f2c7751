"""Failures that senders reported with POST /v1/sends: which of them are evidence, and which key reported them.

A report is evidence only for a message that the same key sent or that a webhook named, for that contact, and only when
it was made within a day of the failure. A reported opt-out is never evidence: people opt out at Meta or in a chat. A
report without a business number is none either: it would count for all numbers.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import text

from webhook_app.rules.suppressions.explained_periods import REPORT_UNDONE
from webhook_app.rules.suppressions.streaks import STOPPED_MARKETING
from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import Connection, DriverConnection
from webhook_app.whatsapp.sends.send_reports import GENERATED_ID_PREFIX

_BATCH = 2000

EVIDENCE_KEY = f"""
CASE WHEN f.source <> 'send' THEN ''
     WHEN f.error_code = {STOPPED_MARKETING} OR f.phone_number_id = '' THEN NULL ELSE (
  SELECT r.reported_by FROM sends r
  WHERE r.message_id = f.message_id AND r.failed AND r.error_code = f.error_code
    AND r.sent_at >= r.registered_at - interval '1 day' AND (
      r.reported_by <> '' AND EXISTS (
        SELECT FROM sends a WHERE a.message_id = f.message_id AND NOT a.failed AND a.contact = f.contact
          AND a.reported_by = r.reported_by)
      OR EXISTS (
        SELECT FROM status_events e WHERE keyed_hash(e.message_id) = keyed_hash(f.message_id)
          AND e.message_id = f.message_id AND e.status <> 'failed' AND e.contact = f.contact
          AND e.occurred_at BETWEEN f.occurred_at - interval '8 days' AND f.occurred_at + interval '8 days'))
  ORDER BY r.registered_at, r.reported_by LIMIT 1) END
"""
"""SQL: the key whose report makes the failure f evidence against its contact; '' for a failure of a webhook, null when
it is no evidence."""

_RECONSIDER = f"""
UPDATE failures f SET considered_at = NULL
WHERE f.message_id = ANY(%s::text[]) AND f.source = 'send' AND f.considered_at IS NOT NULL AND f.explained_by IS NULL
  AND f.contact <> '' AND {EVIDENCE_KEY} IS NOT NULL
"""
_DEFER = text("""
UPDATE failures SET considered_at = NULL
WHERE message_id = ANY(:message_ids) AND source = 'send' AND explained_by IS NULL AND considered_at IS NOT NULL
""")
# The predicate is that of the index suppression_changes_reported. An extension counts for what it has that the change
# before it had not.
_SUPPRESSED_BY_KEY = text("""
SELECT e.value ->> 'reported_by' AS reported_by, count(DISTINCT c.contact)
FROM suppression_changes c CROSS JOIN LATERAL jsonb_array_elements(c.evidence) AS e
WHERE c.at >= :since AND c.action IN ('suppress', 'extend') AND c.evidence @? '$[*].reported_by'
  AND e.value ? 'reported_by' AND (c.action = 'suppress' OR NOT coalesce((
    SELECT p.evidence @> jsonb_build_array(jsonb_build_object(
      'message_id', e.value -> 'message_id', 'code', e.value -> 'code'))
    FROM suppression_changes p
    WHERE p.contact = c.contact AND p.seq < c.seq AND p.phone_number_id = c.phone_number_id AND p.scope = c.scope
      AND p.reason = c.reason ORDER BY p.seq DESC LIMIT 1), false))
GROUP BY 1
""")
_AUTOMATIC = text("SELECT count(*) FROM suppressions WHERE review AND since >= :since")
# An id that this service generated is no message that anybody knows, so its failure is never evidence.
_REPORTED = text(f"""
SELECT DISTINCT message_id, error_code FROM sends
WHERE failed AND reported_by = :key AND registered_at >= :since AND registered_at < :until
  AND message_id NOT LIKE '{GENERATED_ID_PREFIX}%' ORDER BY 1, 2
""")
_EXCUSE = text(f"""
UPDATE failures f SET considered_at = coalesce(f.considered_at, :now), explained_by = :undone
FROM unnest(CAST(:ids AS text[]), CAST(:codes AS bigint[])) AS k(message_id, error_code)
WHERE f.message_id = k.message_id AND f.error_code = k.error_code AND f.source = 'send' AND f.contact <> ''
  AND f.explained_by IS DISTINCT FROM :undone AND coalesce({EVIDENCE_KEY}, :key) = :key
RETURNING f.contact, f.phone_number_id
""")


def reconsider(connection: DriverConnection, message_ids: Collection[str]) -> None:
    """Queue reported failures of these messages that are evidence by now: their message has become known."""
    connection.execute(_RECONSIDER, [text_array(sorted(message_ids))])


def defer(connection: Connection, message_ids: Sequence[str]) -> None:
    """Put reported failures of these messages back into the queue."""
    connection.execute(_DEFER, {"message_ids": list(message_ids)})


def suppressed_by_key(connection: Connection, since: datetime) -> Mapping[str, int]:
    """How many contacts were suppressed since then, or for longer, with new evidence that a key reported, by key."""
    rows = connection.execute(_SUPPRESSED_BY_KEY, {"since": since})
    return {row[0]: row[1] for row in rows}


def count_automatic(connection: Connection, since: datetime) -> int:
    """How many suppressions of any scope that a rule made since then are waiting for review."""
    return int(connection.execute(_AUTOMATIC, {"since": since}).scalar_one())


def excuse_reports(
    connection: Connection, key: str, since: datetime, until: datetime, now: datetime
) -> set[tuple[str, str]]:
    """Never count what the key reported in this span; returns (contact, business number) of the failures."""
    reported = connection.execute(_REPORTED, {"key": key, "since": since, "until": until}).all()
    values = {"key": key, "now": now, "undone": REPORT_UNDONE}
    people: set[tuple[str, str]] = set()
    for start in range(0, len(reported), _BATCH):  # each statement has a limited time
        ids, codes = zip(*reported[start : start + _BATCH], strict=True)
        rows = connection.execute(_EXCUSE, values | {"ids": list(ids), "codes": list(codes)})
        people.update((row[0], row[1]) for row in rows)
    return people
