"""Quarantined items keep a webhook of their own to be replayed from, and say what they became."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""ALTER TABLE quarantine ADD COLUMN document TEXT COLLATE "C" DEFAULT '' NOT NULL""")
    op.execute("""ALTER TABLE quarantine ADD COLUMN became TEXT COLLATE "C" DEFAULT '' NOT NULL""")
    op.execute("CREATE INDEX quarantine_open ON quarantine (id) WHERE replayed_at IS NULL")


def downgrade() -> None:
    op.execute("DROP INDEX quarantine_open")
    op.execute("ALTER TABLE quarantine DROP COLUMN became")
    op.execute("ALTER TABLE quarantine DROP COLUMN document")
