"""What follows from the facts: counts, books, links. Written in the transaction of the insert that found the event new,
or summed up from that later."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)

from webhook_app.store.schema.columns import a_text, a_time, metadata

series = Table(  # the dimensions a message is counted under; a row per combination seen
    "series",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    a_text("phone_number_id"),
    a_text("waba_id"),
    a_text("template"),
    a_text("campaign"),
    a_text("country"),
    # Writers say so anew each day; one not seen for longer than anything is kept has no rows left.
    Column("seen_on", Date, nullable=False, server_default=text("CURRENT_DATE")),
    UniqueConstraint(
        "phone_number_id", "waba_id", "template", "campaign", "country", name="series_dimensions"
    ),
)

messages = Table(  # one row per attempted message: where its attempt is counted
    "messages",
    metadata,
    a_text("message_id"),
    a_text("phone_number_id"),
    a_text("contact"),
    Column("series_id", Integer, nullable=False),
    a_time("sent_at", null=True),  # earliest sent
    a_time("failed_at", null=True),  # earliest failed
    a_time("was_at", null=True),  # where it was counted before the last change: read by the same statement
    Column("was_series_id", Integer),
    PrimaryKeyConstraint("message_id", "phone_number_id"),
)

minute_counts = Table(
    "minute_counts",
    metadata,
    a_time("minute"),
    Column("series_id", Integer, nullable=False),
    Column("slot", Integer, nullable=False),  # a small writer number: workers never wait for each other's row
    Column("attempts", BigInteger, nullable=False, server_default="0"),
    Column("sent", BigInteger, nullable=False, server_default="0"),
    Column("delivered", BigInteger, nullable=False, server_default="0"),
    Column("read", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("minute", "series_id", "slot"),
)

failed_messages = (
    Table(  # one row per failed message, for as long as minutes are counted: does it have several failures?
        "failed_messages",
        metadata,
        a_text("message_id"),
        a_text("phone_number_id"),
        a_time("minute"),  # where the first failure stored of it is counted, if it is the only one
        Column("error_code", BigInteger, nullable=False),
        Column("series_id", Integer, nullable=False),
        Column("alone", Boolean, nullable=False),
        Column("was_alone", Boolean),  # before the last change: read by the same statement
        a_time("first_at"),
        a_time("last_at"),
        PrimaryKeyConstraint("message_id", "phone_number_id"),
        Index("failed_messages_again", "last_at", postgresql_where=text("NOT alone")),
        Index("failed_messages_time", "last_at", postgresql_using="brin"),
    )
)

failure_counts = Table(  # messages with one failure, by where it is; those with several are counted when read
    "failure_counts",
    metadata,
    a_time("minute"),
    Column("series_id", Integer, nullable=False),
    Column("error_code", BigInteger, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("failures", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("minute", "series_id", "error_code", "slot"),
)

hourly_counts = Table(  # hours that are over, summed up by pipeline/sum_up
    "hourly_counts",
    metadata,
    a_time("hour"),
    Column("series_id", Integer, nullable=False),
    Column("attempts", BigInteger, nullable=False, server_default="0"),
    Column("events", BigInteger, nullable=False, server_default="0"),  # status events of all kinds
    PrimaryKeyConstraint("hour", "series_id"),
)

hourly_failures = Table(
    "hourly_failures",
    metadata,
    a_time("hour"),
    Column("error_code", BigInteger, nullable=False),
    Column("series_id", Integer, nullable=False),
    Column("failures", BigInteger, nullable=False, server_default="0"),  # distinct messages
    PrimaryKeyConstraint("hour", "error_code", "series_id"),
)

summed_hours = Table(  # which hours those are: an hour without a message has no row in them
    "summed_hours",
    metadata,
    a_time("hour"),
    a_time("summed_at"),
    PrimaryKeyConstraint("hour"),
)

message_steps = Table(  # the first time each message took each step; ends with the events
    "message_steps",
    metadata,
    Column("message", BigInteger, primary_key=True, autoincrement=False),  # a hash of id and number
    Column("series_id", Integer, nullable=False),
    a_text("category"),
    a_time("sent_at", null=True),
    a_time("delivered_at", null=True),  # or read: it has arrived then
    a_time("read_at", null=True),
    a_time("failed_at", null=True),
    a_time("last_at"),
    Index(
        "message_steps_time",
        "sent_at",
        "delivered_at",
        "last_at",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32},
    ),
)

step_counts = Table(  # messages by when they took a step; each counts once in all. Ends with the events
    "step_counts",
    metadata,
    Column("unit", Integer, nullable=False),  # 1 and 60 minutes: both hold everything
    a_time("at"),
    Column("series_id", Integer, nullable=False),
    a_text("category"),
    Column("sent", BigInteger, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("read", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    PrimaryKeyConstraint("unit", "at", "series_id", "category"),
)

step_recounts = Table(  # queue: messages whose events were moved, taken out or replayed; emptied every minute
    "step_recounts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    a_text("message_id"),
    a_text("phone_number_id"),
)

step_progress = Table(  # one row
    "step_progress",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, server_default="1"),
    a_time("counted_until", null=True),  # events received before this are in message_steps
)

books = Table(  # items by the day they were received; readers sum the slots
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

arrivals = Table(  # events by the minute they were received in: how late, and was what arrived ever sent?
    "arrivals",
    metadata,
    a_time("minute"),
    Column("events", BigInteger),
    Column("lags", ARRAY(BigInteger)),  # events by lag, see store/arrivals.py; null: not counted yet
    Column("reached", BigInteger),  # null: the grace is not over
    Column("unsent", BigInteger),
    PrimaryKeyConstraint("minute"),
    Index("arrivals_open", "minute", postgresql_where=text("unsent IS NULL")),
)

rejections = Table(  # deliveries refused for their signature, per minute and kind
    "rejections",
    metadata,
    a_time("minute"),
    a_text("kind"),  # missing, malformed, mismatch
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("minute", "kind"),
)

contact_links = Table(  # two keys of one person: a user id and a contact key, or an old key and the new one
    "contact_links",
    metadata,
    a_text("user_id"),
    a_text("contact"),
    Column("is_further", Boolean, nullable=False, server_default=text("false")),  # of a user id known before
    PrimaryKeyConstraint("contact", "user_id"),
    Index(
        "contact_links_first",
        "user_id",
        unique=True,
        postgresql_where=text("NOT is_further"),
        postgresql_include=["contact"],
    ),
    Index("contact_links_further", "user_id", "contact", postgresql_where=text("is_further")),
)

service_windows = Table(  # when a contact last wrote to or called a business number, of the last day or two
    "service_windows",
    metadata,
    a_text("contact"),
    a_text("phone_number_id"),
    a_time("opened_at"),
    PrimaryKeyConstraint("contact", "phone_number_id"),
)

successes = Table(  # queue: a suppressed contact was reached or wrote; pipeline/suppress takes and deletes
    "successes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    a_text("contact"),
    a_text("phone_number_id"),
    a_text("what"),  # delivered, read, inbound
    a_text("message_id"),
    a_time("occurred_at"),
)
