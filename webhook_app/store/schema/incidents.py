"""Alerts, the outbox of notifications, silences, and the state of channels."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.schema.columns import a_text, a_time, metadata

incidents = Table(  # one cause each; its alerts are the evidence
    "incidents",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    a_text("kind"),  # of the alert that opened it
    a_text("title"),
    a_text("state"),  # open, ended
    a_text("severity"),
    a_text("domain"),  # fault domain of the leading code
    Column("account_wide", Boolean, nullable=False, server_default=text("false")),
    Column("codes", ARRAY(BigInteger), nullable=False),  # leading codes, most failures first
    Column("names", JSONB, nullable=False),  # accounts, numbers, templates, campaigns that fail
    Column("slice", JSONB),  # where failures are concentrated; null: spread evenly
    a_time("began_at"),
    a_time("opened_at"),
    a_time("notified_at", null=True),
    a_time("last_notified_at", null=True),
    a_text("notified_severity"),
    Column("repeats", Integer, nullable=False, server_default="0"),
    Column("again", Integer, nullable=False, server_default="0"),
    a_time("ended_at", null=True),
    a_text("ended_how"),  # recovered, quiet, faded, chronic, rules, split
    a_time("evaluated_at"),
    Column("attempts", BigInteger, nullable=False, server_default="0"),
    Column("failures", BigInteger, nullable=False, server_default="0"),
    Column("rate", Float, nullable=False, server_default="0"),
    Column("low", Float, nullable=False, server_default="0"),
    Column("high", Float, nullable=False, server_default="0"),
    Column("threshold", Float, nullable=False, server_default="0"),
    Column("window_minutes", Integer, nullable=False, server_default="0"),
    Column("worst_rate", Float, nullable=False, server_default="0"),
    a_time("worst_at", null=True),
    Column("total_failures", BigInteger, nullable=False, server_default="0"),
    Column("contacts", BigInteger, nullable=False, server_default="0"),
    a_time("counted_at", null=True),
    a_text("advice"),
    Column("details", JSONB, nullable=False),
    Column("silenced_by", BigInteger),
    Column("finding_id", BigInteger),  # the finding it belongs to; it is not announced then
    a_time("acknowledged_at", null=True),
    a_text("acknowledged_by"),
    a_time("snoozed_until", null=True),
    a_text("snoozed_by"),
    Index("incidents_open", "id", postgresql_where=text("state = 'open'")),
    Index("incidents_ended", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
)

findings = Table(  # states that last, apart from incidents
    "findings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    a_text("kind"),  # chronic, recurring, template_quality, unlabelled_sends, unreached_list
    a_text("key"),  # what it is about; one open row for each kind and key
    a_text("state"),  # open, fixed
    a_text("title"),
    a_text("severity"),  # notice, warning
    a_text("waba_id"),
    Column("codes", ARRAY(BigInteger), nullable=False),  # the leading one first
    Column("slice", JSONB),  # values by dimension; null: everything of the account
    Column("impact", JSONB, nullable=False),  # failed messages, contacts, share
    Column("evidence", JSONB, nullable=False),  # what was counted
    a_text("advice"),
    a_time("since"),
    a_time("found_at"),
    a_time("seen_at"),  # when the state was observed last
    a_time("notified_at", null=True),
    a_time("fixed_at", null=True),
    Index("findings_open", "kind", "key", unique=True, postgresql_where=text("state = 'open'")),
    Index("findings_fixed", "fixed_at", postgresql_where=text("fixed_at IS NOT NULL")),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    a_text("rule"),
    a_text("kind"),
    a_text("severity"),
    a_text("state"),  # pending, firing, resolved
    a_text("group_key"),  # canonical JSON of `group`
    Column("group", JSONB, nullable=False),
    Column("codes", ARRAY(BigInteger), nullable=False),
    Column("evaluations_above", Integer, nullable=False, server_default="0"),
    Column("evaluations_below", Integer, nullable=False, server_default="0"),
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
    a_time(
        "covers_from"
    ),  # the start of the first window above the threshold: failures since then are explained
    a_time("started_at"),  # pending since
    a_time("fired_at", null=True),
    a_time("resolved_at", null=True),
    a_time("evaluated_at"),
    Column("incident_id", BigInteger),  # set when it fires
    a_text("ended_how"),  # recovered, quiet, faded, chronic, rules
    Column("webhook_codes", ARRAY(BigInteger)),  # codes that webhooks alone showed; null: not judged
    a_time("webhooks_until", null=True),  # since then only reports of senders show it
    Index(
        "alerts_open",
        "rule",
        "group_key",
        unique=True,
        postgresql_where=text("state IN ('pending', 'firing')"),
    ),
    Index("alerts_time", "started_at"),
    Index("alerts_incident", "incident_id", postgresql_where=text("incident_id IS NOT NULL")),
    Index("alerts_resolved", "resolved_at", postgresql_where=text("resolved_at IS NOT NULL")),
)

notifications = Table(  # outbox: written with the decision, sent afterwards
    "notifications",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("incident_id", BigInteger, nullable=False),
    a_text("channel"),
    a_text("reason"),  # fired, repeated, escalated, acknowledged, snoozed, resolved
    Column("sequence", Integer, nullable=False),
    Column("payload", JSONB, nullable=False),
    a_time("created_at"),
    a_time("next_try_at"),
    a_time("leased_until", null=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    a_time("sent_at", null=True),
    a_time("failed_at", null=True),  # no more tries
    a_text("last_error"),
    a_time("superseded_at", null=True),  # replaced by a newer notification; not a failure
    a_time("rerouted_at", null=True),  # sent on another channel instead
    a_time("retried_at", null=True),  # a person requested another try after it failed
    Column("alone", Boolean, nullable=False, server_default="false"),  # a digest with it was rejected
    UniqueConstraint("incident_id", "channel", "sequence", name="notifications_once"),
    Index(
        "notifications_due",
        "channel",
        "next_try_at",
        postgresql_where=text("sent_at IS NULL AND failed_at IS NULL"),
    ),
)

notification_tries = Table(  # inserted before the try and completed after it
    "notification_tries",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("notification_id", BigInteger, nullable=False),
    a_time("started_at"),
    a_time("ended_at", null=True),
    a_text("outcome"),  # '', sent, retry, permanent
    a_text("error"),
    Index("notification_tries_notification", "notification_id"),
)

rule_evaluations = Table(  # one row per rule of the file: its last evaluation
    "rule_evaluations",
    metadata,
    Column("rule", Text(collation="C"), primary_key=True),
    a_text("kind"),
    a_time("evaluated_at"),
    Column("groups", Integer, nullable=False, server_default="0"),
    Column("closeness", Float, nullable=False, server_default="0"),  # 1: above the threshold
    Column("nearest", JSONB, nullable=False),  # the group closest to the threshold
    a_text("seen"),
)

silences = Table(  # few rows, made by people; kept as long as alerts
    "silences",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "matchers", JSONB, nullable=False
    ),  # rule, kind, severity or a dimension of the group -> its value
    a_text("author"),
    a_text("comment"),
    a_time("since"),
    a_time("until"),
    a_time("ended_at", null=True),  # by a person, before `until`
    a_text("ended_by"),
    Index("silences_until", "until"),
)

unjudged_minutes = Table(  # late failures arrived for them, or no scheduler ran; removed once they are judged
    "unjudged_minutes",
    metadata,
    Column("minute", DateTime(timezone=True), primary_key=True),
    a_time("added_at"),
)

channel_states = Table(  # one row per channel, shared by processes
    "channel_states",
    metadata,
    Column("channel", Text(collation="C"), primary_key=True),
    a_time("paused_until"),
    Column("faults", Integer, nullable=False, server_default="0"),  # in a row
    a_time("resent_at", null=True),  # for channels that drop alerts unless they are sent again
)

channel_messages = Table(  # the message of an incident in a channel; pruned after its end
    "channel_messages",
    metadata,
    Column("incident_id", BigInteger, nullable=False),
    a_text("channel"),
    a_text("reference"),  # in the channel's own format
    Column("shared", Boolean, nullable=False),  # with other incidents, in a digest
    a_time("at"),
    PrimaryKeyConstraint("incident_id", "channel"),
)
