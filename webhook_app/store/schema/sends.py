"""What senders report of their calls."""

from sqlalchemy import BigInteger, Boolean, Column, Index, PrimaryKeyConstraint, Table, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.schema.columns import a_text, a_time, metadata

sends = Table(  # what senders report of their calls: accepted, or failed with Meta's error; goes by sent_at
    "sends",
    metadata,
    a_text("message_id"),  # Meta's; a failed call has none and gets a stable one of ours: `send:…`
    a_text("phone_number_id"),  # '' when the sender did not say
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
    a_time("check_at", null=True),  # when to see whether webhooks tell of it; null: they do, or never will
    a_text("reported_by"),  # the name of the API key
    PrimaryKeyConstraint("message_id", "phone_number_id", "failed", "error_code"),
    Index("sends_reported", "reported_by", "registered_at", postgresql_where=text("failed")),
    Index("sends_contact", "contact", "sent_at"),
    Index("sends_time", "sent_at"),
    Index("sends_check_at", "check_at", postgresql_where=text("check_at IS NOT NULL")),
)
