"""Minutes whose arrivals are not counted yet are rows too, so that none is forgotten."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE arrivals ALTER COLUMN events DROP NOT NULL, ALTER COLUMN lags DROP NOT NULL")
    op.execute("CREATE INDEX arrivals_open ON arrivals (minute) WHERE unsent IS NULL")


def downgrade() -> None:
    op.execute("DROP INDEX arrivals_open")
    op.execute("DELETE FROM arrivals WHERE lags IS NULL")
    op.execute("ALTER TABLE arrivals ALTER COLUMN events SET NOT NULL, ALTER COLUMN lags SET NOT NULL")
