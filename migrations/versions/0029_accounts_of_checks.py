"""The account of each of doctor's checks, so that what could not be read again is kept."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""ALTER TABLE doctor_checks ADD COLUMN account TEXT COLLATE "C" DEFAULT '' NOT NULL""")


def downgrade() -> None:
    op.execute("ALTER TABLE doctor_checks DROP COLUMN account")
