"""Tables of suppressions, of their changes, and of the events that decide them."""

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

suppressions = Table(
    "suppressions",
    metadata,
    a_text("contact"),
    a_text("phone_number_id"),  # '': all business numbers
    a_text("scope"),  # all, marketing
    a_text("reason"),  # opted_out, manual, hard, unreachable
    Column("code", BigInteger, nullable=False, server_default="-1"),
    a_time("since"),
    a_time("until", null=True),  # null: until lifted
    Column(
        "times", Integer, nullable=False, server_default="1"
    ),  # consecutive suppressions: each is twice as long
    Column("evidence", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    a_text("seen_as"),  # the digits in the form Meta or the caller used
    a_text("actor"),
    a_text("note"),
    Column("review", Boolean, nullable=False, server_default=text("false")),
    a_time("half_open_at", null=True),  # when it expired: one message is allowed as a probe and decides
    a_time("probe_until", null=True),  # a probe was allowed, and no other is until then
    PrimaryKeyConstraint("contact", "phone_number_id", "scope", "reason"),
    Index(
        "suppressions_to_review",
        "contact",
        "phone_number_id",
        "scope",
        "reason",
        postgresql_where=text("review AND code NOT IN (131049, 130472)"),
    ),  # Meta's pauses of marketing are the most, and nobody reviews them
    Index("suppressions_automatic", "since", postgresql_where=text("review")),
    Index("suppressions_until", "until", postgresql_where=text("until IS NOT NULL")),
)

suppression_changes = Table(  # the audit and the change feed in one
    "suppression_changes",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    a_time("at"),
    a_text("action"),  # suppress, extend, half_open, lift, expire, erase
    a_text("contact"),
    a_text("phone_number_id"),
    a_text("scope"),
    a_text("reason"),
    Column("code", BigInteger, nullable=False, server_default="-1"),
    a_time("until", null=True),
    Column("times", Integer, nullable=False, server_default="1"),
    a_text("actor"),
    a_text("note"),
    Column("evidence", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    a_time("since", null=True),  # with the columns below, the whole row after the change
    a_time("half_open_at", null=True),
    a_text("seen_as"),
    Column("review", Boolean, nullable=False, server_default=text("false")),
    a_text("batch"),  # changes made together, such as an import, can be undone together
    Index("suppression_changes_contact", "contact", "seq"),
    Index(
        "suppression_changes_reported", "at", postgresql_where=text("evidence @? '$[*].reported_by'")
    ),  # made with evidence that a key reported
    Index("suppression_changes_batch", "batch", "seq", postgresql_where=text("batch <> ''")),
)

preferences = Table(  # user_preferences: a person stopped or resumed marketing in WhatsApp
    "preferences",
    metadata,
    a_text("contact"),
    a_text("phone_number_id"),
    a_text("category"),
    a_text("value"),
    a_time("occurred_at"),
    a_time("received_at"),
    a_time("considered_at", null=True),
    PrimaryKeyConstraint("contact", "phone_number_id", "category", "value", "occurred_at"),
    Index("preferences_unconsidered", "received_at", postgresql_where=text("considered_at IS NULL")),
)

service_windows = Table(  # when a contact last wrote to or called a business number, for a day or two
    "service_windows",
    metadata,
    a_text("contact"),
    a_text("phone_number_id"),
    a_time("opened_at"),
    PrimaryKeyConstraint("contact", "phone_number_id"),
)

handovers = Table(  # messaging_handovers: to whom Meta gave a conversation; is_ours: to this app
    "handovers",
    metadata,
    a_text("contact"),
    a_text("phone_number_id"),
    a_time("occurred_at"),
    Column("is_ours", Boolean, nullable=False),
    a_text("owner"),  # its role, such as ai_agent or escalation
    a_time("received_at"),
    PrimaryKeyConstraint("contact", "phone_number_id", "occurred_at", "is_ours", "owner"),
)

successes = (
    Table(  # a queue of deliveries to suppressed contacts and of their messages, for suppressions/suppress
        "successes",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        a_text("contact"),
        a_text("phone_number_id"),
        a_text("what"),  # delivered, read, inbound
        a_text("message_id"),
        a_time("occurred_at"),
    )
)

opt_ins = Table(  # when and where people agreed to messages, as senders recorded it
    "opt_ins",
    metadata,
    a_text("contact"),
    a_time("opted_in_at"),
    a_text("channel"),
    a_text("note"),
    a_text("actor"),
    a_time("recorded_at"),
    PrimaryKeyConstraint("contact", "opted_in_at", "channel"),
    Index("opt_ins_recorded", "actor", "recorded_at"),
)
