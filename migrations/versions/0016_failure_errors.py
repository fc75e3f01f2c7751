"""Each distinct error of a failure once, so that failures are found by their text, code or source in any order of size.

The trigger labels a failure whoever stores or changes it, yesterday's code included. What is stored is labelled here in
small steps, and the index is built partition by partition without keeping writers waiting.
"""

from alembic import op
from sqlalchemy import text

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_PAGES = 1000

_UPGRADE = """
CREATE TABLE failure_errors (
    id BIGINT NOT NULL,
    error_code BIGINT NOT NULL,
    error_subcode BIGINT NOT NULL,
    source TEXT COLLATE "C" DEFAULT '' NOT NULL,
    title TEXT COLLATE "C" DEFAULT '' NOT NULL,
    details TEXT COLLATE "C" DEFAULT '' NOT NULL,
    first_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);

ALTER TABLE failures ADD COLUMN error_id BIGINT DEFAULT 0 NOT NULL;

CREATE FUNCTION failures_label() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER failures_label
    BEFORE INSERT OR UPDATE OF error_code, error_subcode, source, title, details ON failures
    FOR EACH ROW EXECUTE FUNCTION failures_label();
"""

_COLUMNS = "(error_id, series_id, occurred_at) INCLUDE (contact, error_code)"


def upgrade() -> None:
    op.execute(_UPGRADE)
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        partitions = list(
            connection.execute(
                text(
                    "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'failures'::regclass"
                )
            ).scalars()
        )
        for name in partitions:
            pages = connection.execute(
                text("SELECT pg_relation_size(CAST(:name AS regclass)) / current_setting('block_size')::int"),
                {"name": name},
            ).scalar_one()
            for first in range(0, pages, _PAGES):
                op.execute(
                    f"UPDATE {name} SET title = title WHERE error_id = 0"
                    f" AND ctid >= '({first},0)' AND ctid < '({first + _PAGES},0)'"
                )
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}_kind")
            op.execute(f"CREATE INDEX CONCURRENTLY {name}_kind ON {name} {_COLUMNS}")
        op.execute(f"CREATE INDEX IF NOT EXISTS failures_kind ON ONLY failures {_COLUMNS}")
        for name in partitions:
            op.execute(f"ALTER INDEX failures_kind ATTACH PARTITION {name}_kind")


def downgrade() -> None:
    op.execute("DROP INDEX failures_kind")
    op.execute("DROP TRIGGER failures_label ON failures")
    op.execute("DROP FUNCTION failures_label")
    op.execute("ALTER TABLE failures DROP COLUMN error_id")
    op.execute("DROP TABLE failure_errors")
