"""Sessions of browsers as rows, and the secret for their forms."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE sessions (
    token_hash BYTEA NOT NULL,
    key_id BIGINT NOT NULL,
    operator_proof BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (token_hash)
);

CREATE TABLE session_secret (
    id SMALLINT DEFAULT '1' NOT NULL CONSTRAINT session_secret_is_one CHECK (id = 1),
    secret BYTEA NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
"""

_DOWNGRADE = """
DROP TABLE session_secret;
DROP TABLE sessions;
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    op.execute(_DOWNGRADE)
