"""What we were told: by Meta in webhooks, by senders in reports. Everything else is derived from it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.schema.columns import a_text, a_time, metadata

# Partitioned tables; daily or monthly partitions are made ahead and dropped by pipeline/prune.

status_events = Table(
    "status_events",
    metadata,
    a_text("message_id"),
    a_text("phone_number_id"),
    a_text("status"),
    a_time("occurred_at"),
    a_text("participant"),
    Column("error_code", BigInteger, nullable=False, server_default="-1"),  # -1: no code
    a_text("contact"),
    Column("series_id", Integer, nullable=False),
    a_text("category"),
    a_text("callback_data"),
    Column("clock_replaced", Boolean, nullable=False, server_default=text("false")),
    a_time("received_at"),
    # What makes an event itself, ids as hashes: their text would make the index twice as large and ingest a fifth
    # slower. Two messages would have to share 64 bits and the rest of the key: at 3 000 a second, in 100 000 years.
    Index(
        "status_events_identity",
        text("hashtextextended(message_id, 0)"),
        "occurred_at",
        "status",
        "participant",
        "error_code",
        text("hashtext(phone_number_id)"),
        unique=True,
    ),
    Index("status_events_contact", "contact"),
    Index("status_events_received", "received_at", postgresql_using="brin"),  # what came in one minute
    postgresql_partition_by="RANGE (occurred_at)",
)

failures = Table(  # one row per failed status event, kept longer than the events; monthly partitions
    "failures",
    metadata,
    a_text("message_id"),
    a_text("phone_number_id"),
    a_time("occurred_at"),
    a_text("participant"),
    Column("error_code", BigInteger, nullable=False),
    a_text("contact"),
    Column("series_id", Integer, nullable=False),
    a_text("title"),
    a_text("details"),
    Column("errors", JSONB),  # the whole errors[] as received
    Column("source", Text(collation="C"), nullable=False, server_default="webhook"),  # or send: see `sends`
    Column("error_subcode", BigInteger, nullable=False, server_default="-1"),  # only send calls tell it
    a_text("fbtrace_id"),
    Column("error_id", BigInteger, nullable=False, server_default="0"),  # in failure_errors; set by a trigger
    a_time("received_at"),
    a_time("considered_at", null=True),  # null: pipeline/suppress has not looked at it yet
    Column(
        "explained_by", BigInteger
    ),  # the alert it is held or excused for; 0: the failure rate of its time
    PrimaryKeyConstraint("message_id", "phone_number_id", "occurred_at", "participant", "error_code"),
    Index("failures_recent", "occurred_at", "error_code", "series_id"),
    Index("failures_contact", "contact", "occurred_at"),
    Index(
        "failures_kind",
        "error_id",
        "series_id",
        "occurred_at",
        postgresql_include=["contact", "error_code"],
    ),
    Index(
        "failures_unconsidered", "explained_by", "received_at", postgresql_where=text("considered_at IS NULL")
    ),
    postgresql_partition_by="RANGE (occurred_at)",
)

failure_errors = (
    Table(  # each distinct error of a failure once, for as long as a failure has it: searched for text
        "failure_errors",
        metadata,
        Column("id", BigInteger, primary_key=True, autoincrement=False),  # a hash of what follows
        Column("error_code", BigInteger, nullable=False),
        Column("error_subcode", BigInteger, nullable=False),
        a_text("source"),
        a_text("title"),
        a_text("details"),
        a_time("first_at"),
    )
)

inbound_messages = Table(  # who and when; message text is never stored
    "inbound_messages",
    metadata,
    a_text("message_id"),
    a_text("phone_number_id"),
    a_time("occurred_at"),
    a_text("contact"),
    a_text("kind"),
    a_text("keyword"),  # 'stop', 'start' or ''
    Column("opens_window", Boolean, nullable=False),
    a_time("received_at"),
    a_time("considered_at", null=True),
    PrimaryKeyConstraint("message_id", "phone_number_id", "occurred_at"),
    Index("inbound_contact", "contact", "occurred_at"),
    Index("inbound_unconsidered", "received_at", postgresql_where=text("considered_at IS NULL")),
    postgresql_partition_by="RANGE (occurred_at)",
)

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
    a_time("look_at", null=True),  # when to see whether webhooks tell of it; null: they do, or never will
    PrimaryKeyConstraint("message_id", "phone_number_id", "failed", "error_code"),
    Index("sends_contact", "contact", "sent_at"),
    Index("sends_time", "sent_at"),
    Index("sends_look_at", "look_at", postgresql_where=text("look_at IS NOT NULL")),
)

preferences = Table(  # user_preferences: a person stopped or resumed marketing at Meta
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

number_changes = (
    Table(  # a person goes on under another key; kept for good: it says which key is the present one
        "number_changes",
        metadata,
        a_text("old_contact"),
        a_text("new_contact"),
        a_text("phone_number_id"),
        a_text("message_id"),
        a_time("occurred_at"),
        a_time("received_at"),
        a_time("considered_at", null=True),
        PrimaryKeyConstraint("old_contact", "new_contact", "phone_number_id", "message_id"),
        Index("number_changes_new", "new_contact"),
        Index("number_changes_unconsidered", "received_at", postgresql_where=text("considered_at IS NULL")),
    )
)

health_signals = Table(
    "health_signals",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("identity", LargeBinary, nullable=False, unique=True),  # sha-256 over what Meta sent
    a_text("field"),
    a_text("event"),
    a_text("waba_id"),
    a_text("phone_number_id"),
    a_text("display_phone_number"),
    a_text("template_id"),
    a_text("template_name"),
    a_text("template_language"),
    Column("error_code", BigInteger, nullable=False, server_default="-1"),
    a_time("occurred_at"),
    a_time("received_at"),
    Column("payload", JSONB, nullable=False),
    Index("health_signals_time", "occurred_at"),
    Index(
        "health_signals_errors",
        "phone_number_id",
        "error_code",
        "occurred_at",
        postgresql_where=text("field = 'errors'"),
    ),
)

health_changes = (
    Table(  # what signals say, in our words; the latest of each aspect is its state and outlives retention
        "health_changes",
        metadata,
        a_text("subject"),  # account, number, template
        a_text("subject_id"),
        a_text("aspect"),
        a_time("occurred_at"),
        a_text("value"),
        Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
        a_text("waba_id"),
        a_text("name"),  # of a template
        a_text("language"),
        a_time("received_at"),
        PrimaryKeyConstraint("subject", "subject_id", "aspect", "occurred_at", "value"),
        Index("health_changes_time", "occurred_at"),
    )
)

business_numbers = Table(  # which number a phone_number_id stands for, as seen in webhooks; a few rows, kept
    "business_numbers",
    metadata,
    a_text("phone_number_id"),
    a_text("display_phone_number"),  # digits
    a_text("waba_id"),
    a_time("seen_at"),
    PrimaryKeyConstraint("phone_number_id", "display_phone_number", "waba_id"),
)

deliveries = Table(  # raw bodies as received, those of a commit in one row (see archive.py), kept for replay
    "deliveries",
    metadata,
    a_time("received_at"),
    Column("body", LargeBinary, nullable=False),
    Column("packed", Boolean, nullable=False, server_default=text("false")),
    Index("deliveries_time", "received_at", postgresql_using="brin"),
    postgresql_partition_by="RANGE (received_at)",
)

quarantine = Table(  # signed but not understood; kept whole
    "quarantine",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("identity", LargeBinary, nullable=False, unique=True),
    a_time("received_at"),
    a_text("reason"),
    a_text("field"),
    a_text("waba_id"),
    Column("item", Text),  # the item as ASCII JSON, null when the body itself was unreadable
    Column("body", LargeBinary),  # the whole body, when there is no item
    a_text("document"),  # a webhook with this item alone, for replay; '' when the body is kept
    a_time("replayed_at", null=True),  # null: still waiting for a parser that understands it
    a_text("became"),  # what it became when it left: applied, duplicate, ignored
    Index("quarantine_open", "id", postgresql_where=text("replayed_at IS NULL")),
    Index("quarantine_time", "received_at"),
)

clock_repairs = (
    Table(  # the time given to an event whose own could not be used, so that a repeat gets the same one
        "clock_repairs",
        metadata,
        a_text("message_id"),
        a_text("phone_number_id"),
        a_text("status"),
        a_text("raw_timestamp"),
        a_text("participant"),
        Column("error_code", BigInteger, nullable=False),
        a_time("occurred_at"),
        PrimaryKeyConstraint(
            "message_id", "phone_number_id", "status", "raw_timestamp", "participant", "error_code"
        ),
    )
)
