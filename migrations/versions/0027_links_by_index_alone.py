"""Links of a contact are read from an index that holds both keys: a check of a recipient no longer visits the table."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS contact_links_person")  # of an upgrade that was cut off
        op.execute("CREATE INDEX CONCURRENTLY contact_links_person ON contact_links (contact, user_id)")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS contact_links_contact")


def downgrade() -> None:
    op.execute("CREATE INDEX contact_links_contact ON contact_links (contact)")
    op.execute("DROP INDEX contact_links_person")
