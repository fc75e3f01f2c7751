"""The identity of a status event as a narrow unique index, its ids hashed; the contact's index without the time.

Built beside the old ones, partition by partition and without holding up writers; then the old ones go.
"""

from alembic import op
from sqlalchemy import text

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_IDENTITY = "(hashtextextended(message_id, 0), occurred_at, status, participant, error_code, hashtext(phone_number_id))"
_PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'status_events'::regclass"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX IF EXISTS status_events_identity, status_events_of_contact")
        op.execute(f"CREATE UNIQUE INDEX status_events_identity ON ONLY status_events {_IDENTITY}")
        op.execute("CREATE INDEX status_events_of_contact ON ONLY status_events (contact)")
        for partition in op.get_bind().execute(text(_PARTITIONS)).scalars().all():
            for unique, parent, suffix, columns in (
                ("UNIQUE", "status_events_identity", "identity", _IDENTITY),
                ("", "status_events_of_contact", "of_contact", "(contact)"),
            ):
                name = f"{partition}_{suffix}"
                # One half built by a run that was cut off goes first.
                op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
                op.execute(f"CREATE {unique} INDEX CONCURRENTLY {name} ON {partition} {columns}")
                op.execute(f"ALTER INDEX {parent} ATTACH PARTITION {name}")
    op.execute("ALTER TABLE status_events DROP CONSTRAINT status_events_pkey")
    op.execute("DROP INDEX status_events_contact")
    op.execute("ALTER INDEX status_events_of_contact RENAME TO status_events_contact")


def downgrade() -> None:
    op.execute(
        "ALTER TABLE status_events"
        " ADD PRIMARY KEY (message_id, phone_number_id, status, occurred_at, participant, error_code)"
    )
    op.execute("DROP INDEX status_events_contact, status_events_identity")
    op.execute("CREATE INDEX status_events_contact ON status_events (contact, occurred_at)")
