"""Old spellings of numbers in Ivory Coast and Benin now have the key of the new one: people keep what is stored.

Each such key is stored as a change of number, so that suppressions move in the change feed too.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# The rules of whatsapp/people/spellings.py on the day of this migration.
_MOOV = "'^225(0[1-3]|[4-9][0-3])'"
_MTN = "'^225(0[4-6]|[4-9][4-6])'"
_ORANGE = "'^225(0[7-9]|[4-9][7-9])'"
_NEW = f"""
CASE WHEN key ~ '^229[2-9]' THEN '22901' || substr(key, 4)
     WHEN key ~ {_MOOV} THEN '22501' || substr(key, 4)
     WHEN key ~ {_MTN} THEN '22505' || substr(key, 4)
     WHEN key ~ {_ORANGE} THEN '22507' || substr(key, 4)
     WHEN key ~ '^225[23].0' THEN '22525' || substr(key, 4)
     WHEN key ~ '^225[23].8' THEN '22521' || substr(key, 4)
     WHEN key ~ '^225[23]' THEN '22527' || substr(key, 4) END
"""
_TABLES = (
    *("suppressions", "preferences", "service_windows", "contact_links", "inbound_messages", "failures"),
    "status_events",
)
_OLD = " UNION ".join(
    f"SELECT contact AS key FROM {table} WHERE contact >= '{code}' AND contact < '{code}:'"
    f" AND contact ~ '^{code}[0-9]{{8}}$'"
    for table in _TABLES
    for code in ("225", "229")
)
_UPGRADE = f"""
WITH renumbered AS (SELECT key AS old, {_NEW} AS new FROM ({_OLD}) AS keys), linked AS (
  INSERT INTO contact_links (user_id, contact) SELECT old, new FROM renumbered WHERE new IS NOT NULL
  ON CONFLICT DO NOTHING
)
INSERT INTO number_changes (old_contact, new_contact, phone_number_id, message_id, occurred_at, received_at)
SELECT old, new, '', 'renumbered', now(), now() FROM renumbered WHERE new IS NOT NULL ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute("DELETE FROM number_changes WHERE message_id = 'renumbered'")
