"""Ceilings per hour on what webhooks and reports can make up: series have a time of creation, error texts a limit."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# The column has no default at first: rows of before count for no hour.
_UPGRADE = """
ALTER TABLE series ADD COLUMN created_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE series ALTER COLUMN created_at SET DEFAULT now();
CREATE INDEX series_created ON series (created_at);
ALTER TABLE failure_errors ADD COLUMN of_hour INTEGER;
CREATE INDEX failure_errors_first ON failure_errors (first_at, of_hour);
CREATE INDEX failure_errors_code ON failure_errors (error_code, error_subcode);

CREATE OR REPLACE FUNCTION failures_label() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    code BIGINT := -1;
    subcode BIGINT := -1;
    last INTEGER;
BEGIN
    NEW.error_id := hashtextextended(
        NEW.error_code || E'\\x1f' || NEW.error_subcode || E'\\x1f' || NEW.source || E'\\x1f' || NEW.title
        || E'\\x1f' || NEW.details, 0);
    IF EXISTS (SELECT FROM failure_errors WHERE id = NEW.error_id) THEN
        RETURN NEW;
    END IF;
    SELECT coalesce(max(of_hour), 0) INTO last FROM (
        SELECT of_hour FROM failure_errors
        WHERE first_at >= date_trunc('hour', NEW.received_at) AND first_at <= NEW.received_at AND of_hour IS NOT NULL
        ORDER BY first_at DESC, of_hour DESC LIMIT 1) AS newest;
    IF last < 2000 THEN
        INSERT INTO failure_errors (id, error_code, error_subcode, source, title, details, first_at, of_hour)
        VALUES (NEW.error_id, NEW.error_code, NEW.error_subcode, NEW.source, NEW.title, NEW.details, NEW.received_at,
                last + 1)
        ON CONFLICT DO NOTHING;
        RETURN NEW;
    END IF;
    -- Beyond the ceiling all texts of a code share a row, and so do all codes that had no row before.
    IF EXISTS (SELECT FROM failure_errors WHERE error_code = NEW.error_code) THEN
        code := NEW.error_code;
        IF EXISTS (SELECT FROM failure_errors
                   WHERE error_code = NEW.error_code AND error_subcode = NEW.error_subcode) THEN
            subcode := NEW.error_subcode;
        END IF;
    END IF;
    NEW.error_id := hashtextextended(
        code || E'\\x1f' || subcode || E'\\x1f' || NEW.source || E'\\x1f' || '(other)' || E'\\x1f', 0);
    INSERT INTO failure_errors (id, error_code, error_subcode, source, title, details, first_at)
    VALUES (NEW.error_id, code, subcode, NEW.source, '(other)', '', NEW.received_at)
    ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$;
"""

_DOWNGRADE = """
CREATE OR REPLACE FUNCTION failures_label() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.error_id := hashtextextended(
        NEW.error_code || E'\\x1f' || NEW.error_subcode || E'\\x1f' || NEW.source || E'\\x1f' || NEW.title
        || E'\\x1f' || NEW.details, 0);
    IF NOT EXISTS (SELECT FROM failure_errors WHERE id = NEW.error_id) THEN
        INSERT INTO failure_errors (id, error_code, error_subcode, source, title, details, first_at)
        VALUES (NEW.error_id, NEW.error_code, NEW.error_subcode, NEW.source, NEW.title, NEW.details, NEW.received_at)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NEW;
END $$;

DROP INDEX failure_errors_code;
DROP INDEX failure_errors_first;
ALTER TABLE failure_errors DROP COLUMN of_hour;
DROP INDEX series_created;
ALTER TABLE series DROP COLUMN created_at;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
