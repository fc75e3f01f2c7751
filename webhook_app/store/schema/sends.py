"""The table of sends that senders report."""

from sqlalchemy import BigInteger, Boolean, Column, Index, PrimaryKeyConstraint, Table, text
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
    PrimaryKeyConstraint("message_id", "phone_number_id", "failed", "error_code"),
    Index("sends_reported", "reported_by", "registered_at", postgresql_where=text("failed")),
    Index("sends_given", "reported_by", "given", "sent_at", postgresql_where=text("given <> ''")),
    Index("sends_contact", "contact", "sent_at"),
    Index("sends_time", "sent_at"),
    Index("sends_check_at", "check_at", postgresql_where=text("check_at IS NOT NULL")),
)
