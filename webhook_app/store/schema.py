"""The schema on one page. Facts first (events, failures, inbound, preferences, signals), everything else derived.

Migrations are written by hand; `tests/test_migrations.py` holds them against this page. No queries here.
Unique keys of the large tables start with the column they would be distributed by (message_id, contact).
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()


def _time(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=null)


def _text(name: str) -> Column[object]:
    """Text that is never null: an empty string means absent, so that it can take part in unique keys.

    Compared byte by byte: identifiers have no language, and a locale's order costs several times as much.
    """
    return Column(name, Text(collation="C"), nullable=False, server_default="")


# ── Facts ────────────────────────────────────────────────────────────────────────────────────────────────
# Partitioned tables; daily or monthly partitions are made ahead and dropped by pipeline/prune.

status_events = Table(
    "status_events",
    metadata,
    _text("message_id"),
    _text("phone_number_id"),
    _text("status"),
    _time("occurred_at"),
    _text("participant"),
    Column("error_code", BigInteger, nullable=False, server_default="-1"),  # -1: no code
    _text("contact"),
    Column("series_id", Integer, nullable=False),
    _text("category"),
    _text("callback_data"),
    Column("clock_replaced", Boolean, nullable=False, server_default=text("false")),
    _time("received_at"),
    PrimaryKeyConstraint(
        "message_id", "phone_number_id", "status", "occurred_at", "participant", "error_code"
    ),
    Index("status_events_contact", "contact", "occurred_at"),
    postgresql_partition_by="RANGE (occurred_at)",
)

failures = Table(  # one row per failed status event, kept longer than the events; monthly partitions
    "failures",
    metadata,
    _text("message_id"),
    _text("phone_number_id"),
    _time("occurred_at"),
    _text("participant"),
    Column("error_code", BigInteger, nullable=False),
    _text("contact"),
    Column("series_id", Integer, nullable=False),
    _text("title"),
    _text("details"),
    Column("errors", JSONB),  # the whole errors[] as received
    _time("received_at"),
    _time("considered_at", null=True),  # null: pipeline/suppress has not looked at it yet
    Column(
        "explained_by", BigInteger
    ),  # the alert it is held or excused for; 0: the failure rate of its time
    PrimaryKeyConstraint("message_id", "phone_number_id", "occurred_at", "participant", "error_code"),
    Index("failures_recent", "occurred_at", "error_code", "series_id"),
    Index("failures_contact", "contact", "occurred_at"),
    Index(
        "failures_unconsidered", "explained_by", "received_at", postgresql_where=text("considered_at IS NULL")
    ),
    postgresql_partition_by="RANGE (occurred_at)",
)

inbound_messages = Table(  # who and when; message text is never stored
    "inbound_messages",
    metadata,
    _text("message_id"),
    _text("phone_number_id"),
    _time("occurred_at"),
    _text("contact"),
    _text("kind"),
    _text("keyword"),  # 'stop', 'start' or ''
    Column("opens_window", Boolean, nullable=False),
    _time("received_at"),
    _time("considered_at", null=True),
    PrimaryKeyConstraint("message_id", "phone_number_id", "occurred_at"),
    Index("inbound_contact", "contact", "occurred_at"),
    Index("inbound_unconsidered", "received_at", postgresql_where=text("considered_at IS NULL")),
    postgresql_partition_by="RANGE (occurred_at)",
)

preferences = Table(  # user_preferences: a person stopped or resumed marketing at Meta
    "preferences",
    metadata,
    _text("contact"),
    _text("phone_number_id"),
    _text("category"),
    _text("value"),
    _time("occurred_at"),
    _time("received_at"),
    _time("considered_at", null=True),
    PrimaryKeyConstraint("contact", "phone_number_id", "category", "value", "occurred_at"),
    Index("preferences_unconsidered", "received_at", postgresql_where=text("considered_at IS NULL")),
)

health_signals = Table(
    "health_signals",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("identity", LargeBinary, nullable=False, unique=True),  # sha-256 over what Meta sent
    _text("field"),
    _text("event"),
    _text("waba_id"),
    _text("phone_number_id"),
    _text("display_phone_number"),
    _text("template_id"),
    _text("template_name"),
    _text("template_language"),
    Column("error_code", BigInteger, nullable=False, server_default="-1"),
    _time("occurred_at"),
    _time("received_at"),
    Column("payload", JSONB, nullable=False),
    Index("health_signals_time", "occurred_at"),
)

deliveries = (
    Table(  # raw bodies as received, kept a week for replay; not compressed: that cost more than the insert
        "deliveries",
        metadata,
        _time("received_at"),
        Column("body", LargeBinary, nullable=False),
        Index("deliveries_time", "received_at", postgresql_using="brin"),
        postgresql_partition_by="RANGE (received_at)",
    )
)

quarantine = Table(  # signed but not understood; kept whole
    "quarantine",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("identity", LargeBinary, nullable=False, unique=True),
    _time("received_at"),
    _text("reason"),
    _text("field"),
    _text("waba_id"),
    Column("item", Text),  # the item as ASCII JSON, null when the body itself was unreadable
    Column("body", LargeBinary),  # the whole body, when there is no item
    _time("replayed_at", null=True),
)

clock_repairs = (
    Table(  # the time given to an event whose own could not be used, so that a repeat gets the same one
        "clock_repairs",
        metadata,
        _text("message_id"),
        _text("phone_number_id"),
        _text("status"),
        _text("raw_timestamp"),
        _text("participant"),
        Column("error_code", BigInteger, nullable=False),
        _time("occurred_at"),
        PrimaryKeyConstraint(
            "message_id", "phone_number_id", "status", "raw_timestamp", "participant", "error_code"
        ),
    )
)

# ── Derived in the transaction of the de-duplicating insert ──────────────────────────────────────────────

series = Table(  # the dimensions a message is counted under; a row per combination seen
    "series",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    _text("phone_number_id"),
    _text("waba_id"),
    _text("template"),
    _text("campaign"),
    _text("country"),
    UniqueConstraint(
        "phone_number_id", "waba_id", "template", "campaign", "country", name="series_dimensions"
    ),
)

messages = Table(  # one row per attempted message: where its attempt is counted
    "messages",
    metadata,
    _text("message_id"),
    _text("phone_number_id"),
    _text("contact"),
    Column("series_id", Integer, nullable=False),
    _time("sent_at", null=True),  # earliest sent
    _time("failed_at", null=True),  # earliest failed
    _time("was_at", null=True),  # where it was counted before the last change: read by the same statement
    Column("was_series_id", Integer),
    PrimaryKeyConstraint("message_id", "phone_number_id"),
)

minute_counts = Table(
    "minute_counts",
    metadata,
    _time("minute"),
    Column("series_id", Integer, nullable=False),
    Column("slot", Integer, nullable=False),  # a small writer number: workers never wait for each other's row
    Column("attempts", BigInteger, nullable=False, server_default="0"),
    Column("sent", BigInteger, nullable=False, server_default="0"),
    Column("delivered", BigInteger, nullable=False, server_default="0"),
    Column("read", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("minute", "series_id", "slot"),
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

rejections = Table(  # deliveries refused for their signature, per minute and kind
    "rejections",
    metadata,
    _time("minute"),
    _text("kind"),  # missing, malformed, mismatch
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("minute", "kind"),
)

contact_links = Table(  # two keys of one person: a BSUID (or parent BSUID) and a contact key
    "contact_links",
    metadata,
    _text("user_id"),
    _text("contact"),
    PrimaryKeyConstraint("user_id", "contact"),
    Index("contact_links_contact", "contact"),
)

successes = Table(  # queue: a suppressed contact was reached or wrote; pipeline/suppress takes and deletes
    "successes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("contact"),
    _text("phone_number_id"),
    _text("what"),  # delivered, read, inbound
    _text("message_id"),
    _time("occurred_at"),
)

# ── Alerts and notifications ─────────────────────────────────────────────────────────────────────────────

alerts = Table(
    "alerts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("rule"),
    _text("kind"),
    _text("severity"),
    _text("state"),  # pending, firing, resolved
    _text("group_key"),  # canonical JSON of `group`
    Column("group", JSONB, nullable=False),
    Column("codes", ARRAY(BigInteger), nullable=False),
    Column("evaluations_above", Integer, nullable=False, server_default="0"),
    Column("evaluations_below", Integer, nullable=False, server_default="0"),
    Column("repeats", Integer, nullable=False, server_default="0"),  # reminders since it fired
    Column("attempts", BigInteger, nullable=False, server_default="0"),
    Column("failures", BigInteger, nullable=False, server_default="0"),
    Column("rate", Float, nullable=False, server_default="0"),
    Column("low", Float, nullable=False, server_default="0"),
    Column("high", Float, nullable=False, server_default="0"),
    Column("threshold", Float, nullable=False, server_default="0"),
    Column("window_minutes", Integer, nullable=False, server_default="0"),
    Column(
        "explanation", JSONB, nullable=False, server_default=text("'{}'::jsonb")
    ),  # slice, samples, contacts
    _time(
        "covers_from"
    ),  # the start of the first window above the threshold: failures since then are explained
    _time("started_at"),  # pending since
    _time("fired_at", null=True),
    _time("resolved_at", null=True),
    _time("evaluated_at"),
    _time("notified_at", null=True),
    _time("acknowledged_at", null=True),
    _text("acknowledged_by"),
    _time("snoozed_until", null=True),
    Index(
        "alerts_open",
        "rule",
        "group_key",
        unique=True,
        postgresql_where=text("state IN ('pending', 'firing')"),
    ),
    Index("alerts_time", "started_at"),
    Index("alerts_resolved", "resolved_at", postgresql_where=text("resolved_at IS NOT NULL")),
)

notifications = Table(  # outbox: written with the decision, sent afterwards
    "notifications",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("alert_id", BigInteger, nullable=False),
    _text("channel"),
    _text("reason"),  # fired, repeated, resolved
    Column("sequence", Integer, nullable=False),
    Column("payload", JSONB, nullable=False),
    _time("created_at"),
    _time("next_try_at"),
    _time("leased_until", null=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    _time("sent_at", null=True),
    _time("failed_at", null=True),  # given up for good
    _text("last_error"),
    UniqueConstraint("alert_id", "channel", "sequence", name="notifications_once"),
    Index(
        "notifications_due",
        "channel",
        "next_try_at",
        postgresql_where=text("sent_at IS NULL AND failed_at IS NULL"),
    ),
)

notification_tries = Table(  # written before the try is made, completed after
    "notification_tries",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("notification_id", BigInteger, nullable=False),
    _time("started_at"),
    _time("ended_at", null=True),
    _text("outcome"),  # '', sent, retry, permanent
    _text("error"),
    Index("notification_tries_notification", "notification_id"),
)

# ── Suppression ──────────────────────────────────────────────────────────────────────────────────────────

suppressions = Table(
    "suppressions",
    metadata,
    _text("contact"),
    _text("phone_number_id"),  # '' = every business number
    _text("scope"),  # all, marketing
    _text("reason"),  # opted_out, manual, hard, unreachable
    Column("code", BigInteger, nullable=False, server_default="-1"),
    _time("since"),
    _time("until", null=True),  # null = until lifted
    Column("times", Integer, nullable=False, server_default="1"),  # how often in a row: the wait doubles
    Column("evidence", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    _text("seen_as"),  # the digits as Meta or the caller wrote them
    _text("actor"),
    _text("note"),
    Column("review", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("contact", "phone_number_id", "scope", "reason"),
    Index("suppressions_automatic", "since", postgresql_where=text("review")),
    Index("suppressions_until", "until", postgresql_where=text("until IS NOT NULL")),
)

suppression_changes = Table(  # the audit and the change feed in one: every add, change and removal
    "suppression_changes",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _time("at"),
    _text("action"),  # suppress, extend, lift, expire
    _text("contact"),
    _text("phone_number_id"),
    _text("scope"),
    _text("reason"),
    Column("code", BigInteger, nullable=False, server_default="-1"),
    _time("until", null=True),
    Column("times", Integer, nullable=False, server_default="1"),
    _text("actor"),
    _text("note"),
    Column("evidence", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Index("suppression_changes_contact", "contact", "seq"),
)

# ── Access ───────────────────────────────────────────────────────────────────────────────────────────────

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _text("name"),
    _text("role"),  # sender, viewer, admin
    Column("key_hash", LargeBinary, nullable=False, unique=True),  # sha-256 of 256 random bits
    _text("prefix"),
    _time("created_at"),
    _time("used_at", null=True),
    _time("revoked_at", null=True),
)

scheduler_state = Table(  # one row per job: what ran last, for /readyz, /metrics and the pages
    "scheduler_state",
    metadata,
    Column("job", Text(collation="C"), primary_key=True),
    _time("started_at"),
    _time("ended_at", null=True),
    Column("seconds", Float, nullable=False, server_default="0"),
    _text("error"),
    _text("leader"),
)

PARTITIONED = {"status_events": "day", "inbound_messages": "day", "deliveries": "day", "failures": "month"}
