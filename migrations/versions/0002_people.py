"""Links between the keys of one person, number changes, erasures."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE contact_links (
    user_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    is_further BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (contact, user_id)
);
CREATE UNIQUE INDEX contact_links_first ON contact_links (user_id) INCLUDE (contact) WHERE NOT is_further;
CREATE INDEX contact_links_further ON contact_links (user_id, contact) WHERE is_further;

CREATE TABLE number_changes (
    old_contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    new_contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    considered_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (old_contact, new_contact, phone_number_id, message_id)
);
CREATE INDEX number_changes_new ON number_changes (new_contact);
CREATE INDEX number_changes_unconsidered ON number_changes (received_at) WHERE considered_at IS NULL;

CREATE TABLE erasures (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT COLLATE "C" DEFAULT '' NOT NULL,
    keys TEXT[] DEFAULT '{}'::text[] NOT NULL,
    message_ids TEXT[] DEFAULT '{}'::text[] NOT NULL,
    place TEXT COLLATE "C" DEFAULT '' NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);

CREATE TABLE erased_opt_outs (
    mark BYTEA NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    scope TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (mark, phone_number_id, scope)
);

CREATE TABLE erased_opt_outs_secret (
    one BOOLEAN DEFAULT true NOT NULL,
    secret BYTEA NOT NULL,
    PRIMARY KEY (one),
    CHECK (one)
);
"""

_DOWNGRADE = """
DROP TABLE erased_opt_outs_secret;
DROP TABLE erased_opt_outs;
DROP TABLE erasures;
DROP TABLE number_changes;
DROP TABLE contact_links;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
