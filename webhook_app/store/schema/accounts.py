"""Tables of what Meta says of accounts, business numbers and templates, in webhooks and by its Graph API."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.schema.columns import a_text, a_time, metadata

health_signals = Table(
    "health_signals",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("identity", LargeBinary, nullable=False, unique=True),  # SHA-256 of what Meta sent
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

# The changes that signals report. The latest of each aspect is its state, and is kept beyond the retention.
health_changes = Table(
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
    a_time("new_at", null=True),  # of the first change of an aspect, when it was stored
    PrimaryKeyConstraint("subject", "subject_id", "aspect", "occurred_at", "value"),
    Index("health_changes_time", "occurred_at"),
    Index("health_changes_new", "new_at", postgresql_where=text("new_at IS NOT NULL")),
)

business_numbers = Table(  # the number of each phone_number_id, from webhooks; few rows, never deleted
    "business_numbers",
    metadata,
    a_text("phone_number_id"),
    a_text("display_phone_number"),  # digits
    a_text("waba_id"),
    a_time("seen_at"),
    PrimaryKeyConstraint("phone_number_id", "display_phone_number", "waba_id"),
)

doctor_checks = Table(  # of the latest reading of the Graph API; few rows
    "doctor_checks",
    metadata,
    a_text("kind"),
    a_text("subject"),
    a_text("subject_id"),
    a_text("name"),
    a_text("status"),
    a_text("message"),
    a_text("fix"),
    Column("code", BigInteger, nullable=False, server_default="-1"),
    a_text("account"),
    a_time("since"),
    a_time("checked_at"),
    PrimaryKeyConstraint("kind", "subject", "subject_id"),
)

meta_numbers = Table(  # as the Graph API described them at the latest reading; few rows, never deleted
    "meta_numbers",
    metadata,
    a_text("phone_number_id"),
    a_text("waba_id"),
    a_text("account_name"),
    a_text("display_phone_number"),
    a_text("verified_name"),
    a_text("status"),
    a_text("quality"),
    a_text("messaging_limit"),
    a_text("throughput"),
    a_text("mode"),
    a_time("read_at"),
    PrimaryKeyConstraint("phone_number_id"),
)

meta_templates = Table(  # as the Graph API described them at the latest reading; never deleted
    "meta_templates",
    metadata,
    a_text("waba_id"),
    a_text("name"),
    a_text("language"),
    a_text("template_id"),
    a_text("status"),  # DELETED: Meta no longer lists it
    a_text("category"),
    a_text("category_to_come"),
    a_text("quality"),
    a_text("rejected_reason"),
    Column("is_named", Boolean, nullable=False),
    Column("parts", JSONB, nullable=False),
    Column("parameters", BigInteger, nullable=False),
    a_time("first_read_at"),
    a_time("changed_at"),
    PrimaryKeyConstraint("waba_id", "name", "language"),
    Index("meta_templates_name", "name", "waba_id"),
    Index(
        "meta_templates_fallback",
        "waba_id",
        "name",
        postgresql_where=text("status = 'APPROVED' AND parameters = 0"),
    ),
)

template_changes = Table(
    "template_changes",
    metadata,
    a_text("waba_id"),
    a_text("name"),
    a_text("language"),
    a_time("changed_at"),
    a_text("aspect"),
    a_text("before"),
    a_text("value"),
    PrimaryKeyConstraint("waba_id", "name", "language", "changed_at", "aspect"),
    Index("template_changes_time", "changed_at"),
)

template_readings = Table(  # when all templates of an account were read last
    "template_readings",
    metadata,
    a_text("waba_id"),
    a_time("read_at"),
    Column("templates", BigInteger, nullable=False),
    PrimaryKeyConstraint("waba_id"),
)
