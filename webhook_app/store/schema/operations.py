"""API keys, sessions, the audit, the state of jobs, and backtests."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.schema.columns import a_text, a_time, metadata

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    a_text("name"),
    a_text("role"),  # sender, viewer, admin
    Column("key_hash", LargeBinary, nullable=False, unique=True),  # SHA-256 of 256 random bits
    a_text("prefix"),
    a_time("created_at"),
    a_time("used_at", null=True),
    a_time("revoked_at", null=True),
)

sessions = Table(  # browsers that are signed in
    "sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),  # sha-256 of the cookie's 256 random bits
    Column("key_id", BigInteger, nullable=False),  # of api_keys; 0: ADMIN_API_KEY
    Column("operator_proof", LargeBinary, nullable=False),  # binds a session of ADMIN_API_KEY to its value
    a_time("created_at"),
    a_time("expires_at"),
)

session_secret = Table(  # one row
    "session_secret",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default="1"),
    Column("secret", LargeBinary, nullable=False),
    a_time("made_at"),
    CheckConstraint("id = 1", name="session_secret_is_one"),
)

wrong_keys = Table(  # by caller and minute, to slow down guessing; not in the write-ahead log
    "wrong_keys",
    metadata,
    Column("caller", LargeBinary, primary_key=True),  # hash of an address or of the start of a key
    a_time("until"),
    Column("attempts", Integer, nullable=False),
    prefixes=["UNLOGGED"],
)

audit = Table(  # changes by page or API, and sign-ins; kept as long as failures
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    a_time("at"),
    a_text("actor"),  # the name of the key
    a_text("role"),
    a_text("via"),  # page, api
    a_text("action"),
    a_text("object"),
    a_text("contact"),  # the contact concerned, until it is erased
    a_text("outcome"),  # done, refused; empty: not completed
    Index("audit_time", "at"),
    Index("audit_contact", "contact", postgresql_where=text("contact <> ''")),
)

scheduler_state = Table(  # one row per job: its last run, for /readyz, /metrics and the pages
    "scheduler_state",
    metadata,
    Column("job", Text(collation="C"), primary_key=True),
    a_time("started_at"),
    a_time("ended_at", null=True),
    Column("seconds", Float, nullable=False, server_default="0"),
    a_text("error"),
    a_text("leader"),
    Column("interval_seconds", Float, nullable=False, server_default="0"),
    Column("runs", BigInteger, nullable=False, server_default="0"),  # ever, as the next two
    Column("failures", BigInteger, nullable=False, server_default="0"),
    Column("total_seconds", Float, nullable=False, server_default="0"),
)

prune_clock = Table(  # one row: the time that the age of data was counted from at the last pruning
    "prune_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, server_default="1"),
    a_time("counted_from"),
)

backtests = Table(  # requested by people, run by the scheduler; kept for 30 days
    "backtests",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    a_time("requested_at"),
    a_text("requested_by"),
    a_text("rules"),  # the text of a rules file
    Column("chosen", ARRAY(Text), nullable=False),  # names of its rules; empty: all
    a_time("start_at"),
    a_time("end_at"),
    Column("step_seconds", Integer, nullable=False),
    a_text("state"),  # waiting, running, done, failed, stopped
    Column("progress", Float, nullable=False, server_default="0"),
    a_time("started_at", null=True),
    a_time("seen_at", null=True),  # when its runner last saved its progress
    a_time("ended_at", null=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    a_text("fault"),
    Column("result", JSONB),  # everything but the contacts
    Index("backtests_unfinished", "id", postgresql_where=text("state IN ('waiting', 'running')")),
)

backtest_people = Table(  # the contacts that a backtest would have suppressed; deleted with it
    "backtest_people",
    metadata,
    Column("backtest_id", BigInteger, primary_key=True),
    Column("contact", Text(collation="C"), primary_key=True, server_default=""),
    Column("phone_number_id", Text(collation="C"), primary_key=True, server_default=""),
    Column("reason", Text(collation="C"), primary_key=True, server_default=""),
    Column("scope", Text(collation="C"), primary_key=True, server_default=""),
    Column("code", BigInteger, nullable=False),
    a_time("until", null=True),
    Column("failures", BigInteger, nullable=False),
    Index("backtest_people_contact", "contact"),
)
