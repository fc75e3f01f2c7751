"""How often each job ran, failed, and for how long altogether: counters for /metrics that survive every process."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE scheduler_state
          ADD COLUMN interval_seconds DOUBLE PRECISION DEFAULT 0 NOT NULL,
          ADD COLUMN runs BIGINT DEFAULT 0 NOT NULL,
          ADD COLUMN failures BIGINT DEFAULT 0 NOT NULL,
          ADD COLUMN total_seconds DOUBLE PRECISION DEFAULT 0 NOT NULL
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE scheduler_state
          DROP COLUMN interval_seconds, DROP COLUMN runs, DROP COLUMN failures, DROP COLUMN total_seconds
    """)
