"""Tables of counts by minute and hour, derived from events, and of the dimensions they are counted under."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    UniqueConstraint,
    text,
)

from webhook_app.rules.counts.dimensions import DIMENSIONS
from webhook_app.rules.counts.outcome_measures import SLOW_SECONDS, UNDELIVERED_MINUTES
from webhook_app.store.schema.columns import a_text, a_time, metadata


def _a_count(name: str) -> Column[object]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _pricing() -> Column[int]:
    """A number of whatsapp/receiving/pricing.py."""
    return Column("pricing", SmallInteger, nullable=False, server_default="0")


series = Table(  # the dimensions a message is counted under; a row per combination
    "series",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    *map(a_text, DIMENSIONS),
    # Updated once a day; a series not used for longer than any retention is deleted.
    Column("seen_on", Date, nullable=False, server_default=text("CURRENT_DATE")),
    Column(
        "created_at", DateTime(timezone=True), server_default=text("now()")
    ),  # null: before there were ceilings
    a_text("reported_by"),  # the API key whose report made it; '': a webhook
    Index("series_created", "created_at"),
    UniqueConstraint(*DIMENSIONS, name="series_dimensions"),
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
    a_time("was_at", null=True),  # where it was counted before the last change; read by the same statement
    Column("was_series_id", Integer),
    PrimaryKeyConstraint("message_id", "phone_number_id"),
)

minute_counts = Table(
    "minute_counts",
    metadata,
    a_time("minute"),
    Column("series_id", Integer, nullable=False),
    Column(
        "slot", Integer, nullable=False
    ),  # a small number of the writer, so that writers never share a row
    Column("attempts", BigInteger, nullable=False, server_default="0"),
    Column("sent", BigInteger, nullable=False, server_default="0"),
    Column("delivered", BigInteger, nullable=False, server_default="0"),
    Column("read", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("minute", "series_id", "slot"),
)

failed_messages = Table(  # one row per failed message, kept as long as minute counts
    "failed_messages",
    metadata,
    a_text("message_id"),
    a_text("phone_number_id"),
    a_time("minute"),  # where its first stored failure is counted, if it is the only one
    Column("error_code", BigInteger, nullable=False),
    Column("series_id", Integer, nullable=False),
    Column("alone", Boolean, nullable=False),  # it has a single failure
    Column("was_alone", Boolean),  # before the last change; read by the same statement
    a_time("first_at"),
    a_time("last_at"),
    PrimaryKeyConstraint("message_id", "phone_number_id"),
    Index("failed_messages_again", "last_at", postgresql_where=text("NOT alone")),
    Index("failed_messages_time", "last_at", postgresql_using="brin"),
)

failure_counts = Table(  # messages with a single failure; those with several are counted when read
    "failure_counts",
    metadata,
    a_time("minute"),
    Column("series_id", Integer, nullable=False),
    Column("error_code", BigInteger, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("failures", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("minute", "series_id", "error_code", "slot"),
)

hourly_counts = Table(  # finished hours, summed by pipeline/counts/sum_hours
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

hourly_reports = (
    Table(  # the part of the two tables above that only reports of senders show: it may be made up
        "hourly_reports",
        metadata,
        a_time("hour"),
        Column("error_code", BigInteger, nullable=False),
        Column("series_id", Integer, nullable=False),
        Column("attempts", BigInteger, nullable=False),
        Column("failures", BigInteger, nullable=False),
        PrimaryKeyConstraint("hour", "error_code", "series_id"),
    )
)

summed_hours = (
    Table(  # the hours that are summed: an hour without messages has no row in the two tables above
        "summed_hours",
        metadata,
        a_time("hour"),
        a_time("summed_at"),
        PrimaryKeyConstraint("hour"),
    )
)

message_stages = Table(  # the first time each message reached each stage; kept as long as events
    "message_stages",
    metadata,
    Column("message", BigInteger, primary_key=True, autoincrement=False),  # a hash of id and number
    Column("series_id", Integer, nullable=False),
    a_text("category"),
    a_time("sent_at", null=True),
    a_time("delivered_at", null=True),  # or read, which implies it
    a_time("read_at", null=True),
    a_time("failed_at", null=True),  # by a webhook; rows from before migration 0046: or by a send call
    a_time("last_at"),
    # its `sent` arrived without delay
    Column("sent_live", Boolean, nullable=False, server_default=text("false")),
    _pricing(),
    a_time("call_failed_at", null=True),  # by a send call, and by no webhook: no delivery report
    Index(
        "message_stages_time",
        "sent_at",
        "delivered_at",
        "last_at",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32},
    ),
)

stage_counts = Table(  # messages by when they reached a stage, each counted once per stage; kept as long as events
    "stage_counts",
    metadata,
    Column("unit", Integer, nullable=False),  # 1 or 60 minutes; each holds everything
    a_time("at"),
    Column("series_id", Integer, nullable=False),
    a_text("category"),
    Column("sent", BigInteger, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("read", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    # by when they were sent: messages whose `sent` arrived without delay, and those without a report in time
    *map(_a_count, ("watched", *(f"unreported_{minutes}m" for minutes in UNDELIVERED_MINUTES))),
    # by when they were delivered: messages delivered within an hour, and slow ones
    *map(_a_count, ("timed", *(f"slower_{seconds}s" for seconds in SLOW_SECONDS))),
    _pricing(),
    _a_count("unread"),  # by when they were delivered
    PrimaryKeyConstraint("unit", "at", "series_id", "category", "pricing"),
)

stage_recounts = (
    Table(  # a queue of messages whose events were reassigned, deleted or replayed; emptied every minute
        "stage_recounts",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        a_text("message_id"),
        a_text("phone_number_id"),
    )
)

stage_progress = Table(  # one row
    "stage_progress",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, server_default="1"),
    a_time("counted_until", null=True),  # events received before then are in message_stages
)

lateness = Table(  # by the minute of receipt: lags of events, and delivered messages without a `sent`
    "lateness",
    metadata,
    a_time("minute"),
    Column("events", BigInteger),
    Column("lags", ARRAY(BigInteger)),  # events by lag, see store/counts/lateness.py; null: not counted yet
    Column("reached", BigInteger),  # delivered messages; null: the grace is not over
    Column("unsent", BigInteger),
    PrimaryKeyConstraint("minute"),
    Index("lateness_open", "minute", postgresql_where=text("unsent IS NULL")),
)
