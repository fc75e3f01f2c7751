"""Tables of the sends that senders report, and of the messages that they send again."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.schema.columns import a_text, a_time, metadata

sends = Table(  # reported send calls: accepted, or failed with Meta's error
    "sends",
    metadata,
    a_text("message_id"),  # from Meta; a failed call has none and gets a stable generated one: `send:…`
    a_text("phone_number_id"),  # '' if the sender did not name it
    Column("failed", Boolean, nullable=False),
    Column("error_code", BigInteger, nullable=False, server_default="-1"),
    a_text("contact"),
    a_text("template"),
    a_text("campaign"),
    a_text("category"),
    a_time("sent_at"),
    a_time("registered_at"),
    Column("error_subcode", BigInteger, nullable=False, server_default="-1"),
    a_text("fbtrace_id"),
    Column("error", JSONB),  # as Meta answered, without credentials
    a_text("endpoint"),
    Column("request", JSONB),  # the shape of what was sent, without credentials and text
    a_time("check_at", null=True),  # when to check for webhooks of it; null: never
    a_text("reported_by"),  # the name of the API key
    a_text("given"),  # the key it was sent to, if Meta answered that `contact` is its id; else ''
    # whether another key reported the same
    Column("disputed", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("message_id", "phone_number_id", "failed", "error_code"),
    Index("sends_reported", "reported_by", "registered_at", postgresql_where=text("failed")),
    Index("sends_given", "reported_by", "given", "sent_at", postgresql_where=text("given <> ''")),
    Index("sends_contact", "contact", "sent_at"),
    Index("sends_time", "sent_at"),
    Index("sends_check_at", "check_at", postgresql_where=text("check_at IS NOT NULL")),
)

retries = Table(  # failed messages to send again; made by the first claim after the failure
    "retries",
    metadata,
    Column("id", BigInteger, Identity(always=True), nullable=False),
    # The failure, by its key in `failures` (the participant is always empty).
    a_text("message_id"),
    a_text("phone_number_id"),
    a_time("occurred_at"),
    Column("error_code", BigInteger, nullable=False),
    a_text("contact"),
    Column("series_id", Integer, nullable=False),
    a_text("category"),
    a_text(
        "first_message_id"
    ),  # the message that failed first; a retry that failed in its turn has a row of its own
    a_time("first_failed_at"),
    a_text("state"),  # waiting, leased, sent, done, dead; see rules/sends/retries.py
    a_text("reason"),  # of done or dead
    a_text("why"),  # for people: why the contact may not be messaged
    Column("attempts", Integer, nullable=False),  # retries made, leases without an outcome included
    a_time("failed_at"),  # the latest failure: of the message, or of a call that was to send it again
    Column("last_code", BigInteger, nullable=False),
    Column("last_subcode", BigInteger, nullable=False, server_default="-1"),
    a_time("due_at"),  # while leased: when it can be leased again
    a_text("lease"),  # the token of the latest lease
    a_text("leased_by"),  # the name of its API key
    a_time("leased_at", null=True),
    a_time("leased_until", null=True),
    a_text("claim"),  # the id that the sender gave the claim
    a_text("outcome"),  # of the latest lease: sent, failed, gave_up; '': none yet
    a_text("sent_message_id"),
    a_text(
        "reported_by"
    ),  # the API key that reported the message first, the only one that may lease it; '': any may
    PrimaryKeyConstraint("message_id", "phone_number_id"),
    Index("retries_id", "id", unique=True),
    Index("retries_contact", "contact"),
    Index("retries_time", "first_failed_at"),
    Index("retries_due", "due_at", "id", postgresql_where=text("state IN ('waiting', 'leased')")),
    Index(
        "retries_key_due",
        "reported_by",
        "due_at",
        "id",
        postgresql_where=text("state IN ('waiting', 'leased')"),
    ),
    Index("retries_dead", "occurred_at", postgresql_where=text("state = 'dead'")),
    Index("retries_claim", "claim", postgresql_where=text("state = 'leased' AND claim <> ''")),
    Index("retries_sent", "sent_message_id", postgresql_where=text("sent_message_id <> ''")),
)

retry_progress = Table(  # up to when failures have been searched for retries
    "retry_progress",
    metadata,
    a_text("reported_by"),  # the key that reported them; '': webhooks did
    a_time("searched_at"),
    PrimaryKeyConstraint("reported_by"),
)
