"""A user id's first contact is kept apart from further ones: a check knows without a look that nobody else has it.

Nobody waits for long. Links that come while this runs count as first ones; where two are, the indexing is repeated.
"""

from alembic import op
from sqlalchemy.exc import IntegrityError

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_TRIES = 10
_MARK = """
UPDATE contact_links l SET is_further = TRUE
FROM (SELECT user_id, min(contact) AS contact FROM contact_links GROUP BY user_id HAVING count(*) > 1) AS several
WHERE l.user_id = several.user_id AND l.contact <> several.contact AND NOT l.is_further
"""
_FIRST = """
CREATE UNIQUE INDEX CONCURRENTLY contact_links_first ON contact_links (user_id) INCLUDE (contact) WHERE NOT is_further
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(
            "ALTER TABLE contact_links ADD COLUMN IF NOT EXISTS is_further boolean NOT NULL DEFAULT false"
        )
        _index_first_links()
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS contact_links_further")
        op.execute(
            "CREATE INDEX CONCURRENTLY contact_links_further ON contact_links (user_id, contact) WHERE is_further"
        )
        _make_primary_key("contact, user_id")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS contact_links_person")
        op.execute("VACUUM ANALYZE contact_links")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX contact_links_person ON contact_links (contact, user_id)")
        _make_primary_key("user_id, contact")
        op.execute("DROP INDEX IF EXISTS contact_links_further")
        op.execute("DROP INDEX IF EXISTS contact_links_first")
        op.execute("ALTER TABLE contact_links DROP COLUMN is_further")


def _index_first_links() -> None:
    for attempt in range(1, _TRIES + 1):
        # Of an upgrade or a try that was cut off.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS contact_links_first")
        op.execute(_MARK)
        try:
            op.execute(_FIRST)
        except IntegrityError:
            if attempt == _TRIES:
                raise
        else:
            return


def _make_primary_key(columns: str) -> None:
    op.execute("DROP INDEX CONCURRENTLY IF EXISTS contact_links_new_key")
    op.execute(f"CREATE UNIQUE INDEX CONCURRENTLY contact_links_new_key ON contact_links ({columns})")
    op.execute(
        "ALTER TABLE contact_links DROP CONSTRAINT contact_links_pkey,"
        " ADD CONSTRAINT contact_links_pkey PRIMARY KEY USING INDEX contact_links_new_key"
    )
