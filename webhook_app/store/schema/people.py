"""Tables of links between the keys of one person, number changes, and erasures."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from webhook_app.store.schema.columns import a_text, a_time, metadata

contact_links = Table(  # two keys of one person: a user id and a contact, or an old key and the new one
    "contact_links",
    metadata,
    a_text("user_id"),
    a_text("contact"),
    Column(
        "is_further", Boolean, nullable=False, server_default=text("false")
    ),  # not the user id's first contact
    Column(  # the earliest webhook that showed both keys; links of earlier versions have none
        "linked_at", DateTime(timezone=True), nullable=False, server_default=text("'epoch'::timestamptz")
    ),
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

unapplied_links = Table(  # contacts with new links that are not applied yet: a queue
    "unapplied_links",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    a_text("contact"),
    Index("unapplied_links_contact", "contact"),
)

number_changes = Table(  # a person's key changed; never deleted, because it says which key is the present one
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

erasures = Table(  # the record of erasures; kept as long as failures
    "erasures",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    a_time("requested_at"),
    a_text("actor"),
    # The person, until tables and archive are processed; then both are empty.
    Column("keys", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    Column("message_ids", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    # Whether the person is in no table but the archive.
    Column("taken_out", Boolean, nullable=False, server_default=text("true")),
    a_text("place"),  # the last processed partition of the archive
    a_time("finished_at", null=True),
)

erased_opt_outs = Table(  # unreadable marks of erased people who had opted out; kept until they opt in again
    "erased_opt_outs",
    metadata,
    Column("mark", LargeBinary, nullable=False),  # see store/people/erased_opt_outs.py
    a_text("phone_number_id"),  # '': all business numbers
    a_text("scope"),  # all, marketing
    PrimaryKeyConstraint("mark", "phone_number_id", "scope"),
)

erased_opt_outs_secret = Table(  # one row, inserted with the first mark; without it no mark can be matched
    "erased_opt_outs_secret",
    metadata,
    Column("one", Boolean, nullable=False, server_default=text("true")),
    Column("secret", LargeBinary, nullable=False),
    PrimaryKeyConstraint("one"),
    CheckConstraint("one"),
)
