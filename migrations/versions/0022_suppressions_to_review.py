"""The index of the review queue leaves out Meta's pauses of marketing, which nobody reviews and which are the most."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_KEY = "(contact, phone_number_id, scope, reason)"


def upgrade() -> None:
    op.execute(
        f"CREATE INDEX suppressions_to_review ON suppressions {_KEY}"
        " WHERE review AND code NOT IN (131049, 130472)"
    )
    op.execute("DROP INDEX suppressions_review")


def downgrade() -> None:
    op.execute(f"CREATE INDEX suppressions_review ON suppressions {_KEY} WHERE review")
    op.execute("DROP INDEX suppressions_to_review")
