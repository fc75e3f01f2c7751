"""What is counted in the transaction of the insert: series, messages, minute counts, books, links."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE series (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    waba_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    template TEXT COLLATE "C" DEFAULT '' NOT NULL,
    campaign TEXT COLLATE "C" DEFAULT '' NOT NULL,
    country TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT series_dimensions UNIQUE (phone_number_id, waba_id, template, campaign, country)
);

CREATE TABLE messages (
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    series_id INTEGER NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    failed_at TIMESTAMP WITH TIME ZONE,
    was_at TIMESTAMP WITH TIME ZONE,
    was_series_id INTEGER,
    PRIMARY KEY (message_id, phone_number_id)
);

CREATE TABLE minute_counts (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    series_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    attempts BIGINT DEFAULT '0' NOT NULL,
    sent BIGINT DEFAULT '0' NOT NULL,
    delivered BIGINT DEFAULT '0' NOT NULL,
    read BIGINT DEFAULT '0' NOT NULL,
    failed BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (minute, series_id, slot)
);

CREATE TABLE books (
    day DATE NOT NULL,
    slot INTEGER NOT NULL,
    received BIGINT DEFAULT '0' NOT NULL,
    applied BIGINT DEFAULT '0' NOT NULL,
    duplicate BIGINT DEFAULT '0' NOT NULL,
    ignored BIGINT DEFAULT '0' NOT NULL,
    quarantined BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (day, slot)
);

CREATE TABLE rejections (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    kind TEXT COLLATE "C" DEFAULT '' NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (minute, kind)
);

CREATE TABLE contact_links (
    user_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (user_id, contact)
);

CREATE INDEX contact_links_contact ON contact_links (contact);

CREATE TABLE successes (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    contact TEXT COLLATE "C" DEFAULT '' NOT NULL,
    phone_number_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    what TEXT COLLATE "C" DEFAULT '' NOT NULL,
    message_id TEXT COLLATE "C" DEFAULT '' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);
"""


def upgrade() -> None:
    op.execute(_UPGRADE)


def downgrade() -> None:
    for table in (
        "successes",
        "contact_links",
        "rejections",
        "books",
        "minute_counts",
        "messages",
        "series",
    ):
        op.execute(f"DROP TABLE {table}")
