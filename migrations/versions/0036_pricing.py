"""What Meta says about the price of messages, counted with their stages, and delivered messages that are unread."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_UPGRADE = """
ALTER TABLE status_events ADD COLUMN pricing SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE message_stages ADD COLUMN pricing SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE stage_counts ADD COLUMN pricing SMALLINT NOT NULL DEFAULT 0, ADD COLUMN unread INTEGER NOT NULL DEFAULT 0,
  DROP CONSTRAINT stage_counts_pkey;
ALTER TABLE stage_counts ADD PRIMARY KEY (unit, at, series_id, category, pricing);
UPDATE stage_counts c SET unread = m.unread
FROM (SELECT unit, date_trunc(CASE unit WHEN 60 THEN 'hour' ELSE 'minute' END, delivered_at) AS at, series_id, category,
             count(*) AS unread
      FROM message_stages CROSS JOIN (VALUES (1), (60)) AS u(unit)
      WHERE delivered_at IS NOT NULL AND read_at IS NULL GROUP BY 1, 2, 3, 4) m
WHERE (c.unit, c.at, c.series_id, c.category) = (m.unit, m.at, m.series_id, m.category);
"""
_DOWNGRADE = """
CREATE TEMPORARY TABLE summed ON COMMIT DROP AS
SELECT unit, at, series_id, category, {sums} FROM stage_counts GROUP BY unit, at, series_id, category;
TRUNCATE stage_counts;
ALTER TABLE stage_counts DROP COLUMN pricing, DROP COLUMN unread, ADD PRIMARY KEY (unit, at, series_id, category);
INSERT INTO stage_counts (unit, at, series_id, category, {names}) SELECT * FROM summed;
ALTER TABLE message_stages DROP COLUMN pricing;
ALTER TABLE status_events DROP COLUMN pricing;
"""
_COUNTS = (
    *("sent", "delivered", "read", "failed"),
    *("watched", "unreported_5m", "unreported_15m", "unreported_30m", "unreported_60m"),
    *("timed", "slower_10s", "slower_30s", "slower_60s", "slower_120s", "slower_300s", "slower_900s"),
)


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(
        _DOWNGRADE.format(
            sums=", ".join(f"sum({name}) AS {name}" for name in _COUNTS), names=", ".join(_COUNTS)
        )
    )
