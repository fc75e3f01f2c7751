"""Message templates as Meta's Graph API described them, their changes, and when each account's were read."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE meta_templates (
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    name TEXT COLLATE "C" DEFAULT '' NOT NULL,
    language TEXT COLLATE "C" DEFAULT '' NOT NULL,
    template_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    status TEXT COLLATE "C" DEFAULT '' NOT NULL,
    category TEXT COLLATE "C" DEFAULT '' NOT NULL,
    category_to_come TEXT COLLATE "C" DEFAULT '' NOT NULL,
    quality TEXT COLLATE "C" DEFAULT '' NOT NULL,
    rejected_reason TEXT COLLATE "C" DEFAULT '' NOT NULL,
    is_named BOOLEAN NOT NULL,
    parts JSONB NOT NULL,
    parameters BIGINT NOT NULL,
    first_read_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (waba_id, name, language)
);
CREATE INDEX meta_templates_name ON meta_templates (name, waba_id);
CREATE INDEX meta_templates_fallback ON meta_templates (waba_id, name) WHERE status = 'APPROVED' AND parameters = 0;
CREATE TABLE template_changes (
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    name TEXT COLLATE "C" DEFAULT '' NOT NULL,
    language TEXT COLLATE "C" DEFAULT '' NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    aspect TEXT COLLATE "C" DEFAULT '' NOT NULL,
    before TEXT COLLATE "C" DEFAULT '' NOT NULL,
    value TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (waba_id, name, language, changed_at, aspect)
);
CREATE INDEX template_changes_time ON template_changes (changed_at);
CREATE TABLE template_readings (
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE NOT NULL,
    templates BIGINT NOT NULL,
    PRIMARY KEY (waba_id)
)
"""


def upgrade() -> None:
    for statement in _UPGRADE.split(";"):
        op.execute(statement)


def downgrade() -> None:
    for table in ("template_readings", "template_changes", "meta_templates"):
        op.execute(f"DROP TABLE {table}")
