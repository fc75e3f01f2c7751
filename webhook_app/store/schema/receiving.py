"""Tables of deliveries, the events and messages in them, the quarantine, and the books of items."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.schema.columns import a_text, a_time, metadata

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
    # see whatsapp/receiving/pricing.py
    Column("pricing", SmallInteger, nullable=False, server_default="0"),
    # The identity of an event, with hashes of ids: their text would make the index twice as large and ingest a fifth
    # slower. A collision needs 64 equal bits and an equal rest of the key: once in 100 000 years at 3 000 a second.
    # The function has a random key, see the migration 0033: senders choose ids, and could make collisions.
    Index(
        "status_events_identity",
        text("keyed_hash(message_id)"),
        "occurred_at",
        "status",
        "participant",
        "error_code",
        text("hashtext(phone_number_id)"),
        unique=True,
    ),
    Index("status_events_contact", "contact"),
    Index(
        "status_events_received", "received_at", postgresql_using="brin"
    ),  # the events received in a minute
    postgresql_partition_by="RANGE (occurred_at)",
)

settled_messages = (
    Table(  # a message that is finished, instead of its events and attempt; see counts/messages/settled
        "settled_messages",
        metadata,
        a_time("sent_at"),
        a_time("delivered_at", null=True),
        a_time("read_at", null=True),
        a_time("sent_received_at"),
        a_time("delivered_received_at", null=True),
        a_time("read_received_at", null=True),
        Column("series_id", Integer, nullable=False),
        Column("pricing", SmallInteger, nullable=False, server_default="0"),
        # bits: which of its events have no category, pricing or callback data
        Column("lacks", SmallInteger, nullable=False, server_default="0"),
        a_text("message_id"),
        a_text("phone_number_id"),
        a_text("contact"),
        a_text("category"),
        a_text("callback_data"),
        Index("settled_messages_id", text("keyed_hash(message_id)")),
        Index("settled_messages_contact", "contact"),
        postgresql_partition_by="RANGE (sent_at)",
    )
)

settled_days = Table(  # how far the events of each day are settled
    "settled_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("passes", SmallInteger, nullable=False, server_default="0"),
    Column("page", Integer),  # where a pass goes on; null: none has begun
    Column("bloated", Boolean, nullable=False, server_default=text("false")),  # to be rebuilt
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
    Column("source", Text(collation="C"), nullable=False, server_default="webhook"),  # or send, see `sends`
    Column("error_subcode", BigInteger, nullable=False, server_default="-1"),  # only send calls have one
    a_text("fbtrace_id"),
    Column("error_id", BigInteger, nullable=False, server_default="0"),  # in failure_errors; set by a trigger
    a_time("received_at"),
    Column(
        "counted_code", BigInteger
    ),  # the code it counts under, if not its own; see store/counts/seen_codes
    a_time("considered_at", null=True),  # by pipeline/suppressions/suppress; null: new
    Column(
        "explained_by", BigInteger
    ),  # the incident it is held or excused for; 0: the failure rate of its time; negative: undone by an operator
    PrimaryKeyConstraint("message_id", "phone_number_id", "occurred_at", "participant", "error_code"),
    Index("failures_recent", "occurred_at", "error_code", "series_id"),
    Index("failures_contact", "contact", "occurred_at"),
    Index("failures_reported", "occurred_at", postgresql_where=text("source = 'send'")),
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

failure_errors = Table(  # each distinct error once, for text search; kept as long as a failure has it
    "failure_errors",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),  # a hash of the next five columns
    Column("error_code", BigInteger, nullable=False),
    Column("error_subcode", BigInteger, nullable=False),
    a_text("source"),
    a_text("title"),
    a_text("details"),
    a_time("first_at"),
    Column(
        "of_hour", Integer
    ),  # its number among the new ones of its hour; null: one that stands for several
    Index("failure_errors_first", "first_at", "of_hour"),
    Index("failure_errors_code", "error_code", "error_subcode"),
)

seen_codes = Table(  # error codes outside the catalogue that have counts of their own
    "seen_codes",
    metadata,
    Column("code", BigInteger, primary_key=True, autoincrement=False),
    a_time("first_at"),
    Index("seen_codes_first", "first_at"),
)

inbound_messages = Table(  # sender and time; message text is never stored
    "inbound_messages",
    metadata,
    a_text("message_id"),
    a_text("phone_number_id"),
    a_time("occurred_at"),
    a_text("contact"),
    a_text("kind"),
    a_text("keyword"),  # 'stop', 'stop_marketing', 'ambiguous', 'start' or ''
    Column("opens_window", Boolean, nullable=False),
    a_time("received_at"),
    a_time("considered_at", null=True),
    PrimaryKeyConstraint("message_id", "phone_number_id", "occurred_at"),
    Index("inbound_contact", "contact", "occurred_at"),
    Index("inbound_unconsidered", "received_at", postgresql_where=text("considered_at IS NULL")),
    postgresql_partition_by="RANGE (occurred_at)",
)

deliveries = Table(  # raw bodies as received, the bodies of a commit in one row (see archive.py), for replay
    "deliveries",
    metadata,
    a_time("received_at"),
    Column("body", LargeBinary, nullable=False),
    Column("packed", Boolean, nullable=False, server_default=text("false")),
    Index("deliveries_time", "received_at", postgresql_using="brin"),
    postgresql_partition_by="RANGE (received_at)",
)

quarantine = Table(  # items that were signed but not understood, stored whole
    "quarantine",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("identity", LargeBinary, nullable=False, unique=True),
    a_time("received_at"),
    a_text("reason"),
    a_text("field"),
    a_text("waba_id"),
    Column("item", Text),  # the item as ASCII JSON; null if it is large, or the body itself was unreadable
    # Then the whole body, or a webhook with the large item alone; compressed if it is large.
    Column("body", LargeBinary),
    a_text("document"),  # a webhook with this item alone, for replay; '' if `body` is stored
    Column("items", Integer, nullable=False, server_default="1"),  # many alike ones of a body share a row
    a_time("replayed_at", null=True),  # null: not replayed
    a_text("became"),  # its outcome when it was replayed: applied, duplicate, ignored
    Index("quarantine_open", "id", postgresql_where=text("replayed_at IS NULL")),
    Index("quarantine_time", "received_at"),
)

clock_repairs = (
    Table(  # times assigned to events without a usable one, so that a repeated event gets the same
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

books = Table(  # counts of items by outcome and day of receipt; readers sum the slots
    "books",
    metadata,
    Column("day", Date, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("received", BigInteger, nullable=False, server_default="0"),
    Column("applied", BigInteger, nullable=False, server_default="0"),
    Column("duplicate", BigInteger, nullable=False, server_default="0"),
    Column("ignored", BigInteger, nullable=False, server_default="0"),
    Column("quarantined", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("day", "slot"),
)

rejections = Table(  # deliveries rejected for their signature, by minute and kind
    "rejections",
    metadata,
    a_time("minute"),
    a_text("kind"),  # missing, malformed, mismatch
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("minute", "kind"),
)
