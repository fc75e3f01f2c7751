"""Contacts with new links, when one delivery has more than are applied at once: a queue of the job `suppress`."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE unapplied_links (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
)
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE unapplied_links")
