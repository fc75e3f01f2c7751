"""Stores messaging limits that the Graph API shows as changes of health, as webhooks report them."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

# The Graph API may answer from an older copy than a webhook of the last minutes.
_SAVE = text("""
INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, detail, waba_id, name, language,
                            received_at, new_at)
SELECT 'account', i.waba_id, 'tier', :now, i.tier,
       jsonb_strip_nulls(jsonb_build_object('limit', i."limit", 'before', last.value)), i.waba_id, '', '', :now,
       CASE WHEN last.value IS NULL THEN CAST(:now AS timestamptz) END
FROM unnest(CAST(:waba_ids AS text[]), CAST(:tiers AS text[]), CAST(:limits AS bigint[]))
  AS i(waba_id, tier, "limit")
LEFT JOIN LATERAL (
  SELECT value, occurred_at FROM health_changes c
  WHERE c.subject = 'account' AND c.subject_id = i.waba_id AND c.aspect = 'tier'
  ORDER BY occurred_at DESC, value DESC LIMIT 1) last ON TRUE
WHERE last.value IS NULL OR (last.value <> i.tier AND last.occurred_at < :now - interval '10 minutes')
ON CONFLICT DO NOTHING
""")


def save_changed(connection: Connection, tiers: Mapping[str, tuple[str, int]], now: datetime) -> None:
    """Store the tier and limit of each account for which another one, or none, was reported last."""
    if tiers:
        values = {
            "waba_ids": [*tiers],
            "tiers": [name for name, _ in tiers.values()],
            "limits": [limit for _, limit in tiers.values()],
            "now": now,
        }
        connection.execute(_SAVE, values)
