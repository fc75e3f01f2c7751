"""How to reach Postgres: plain driver connections for the ingest statement, an engine for everything else.

The URL goes to libpq as it is, so several hosts with target_session_attrs=read-write work. No queries here.
"""

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

MIGRATION_LOCK = 7_410_001
LEADER_LOCK = 7_410_002
CHANGES_LOCK = 7_410_003
SUPPRESS_LOCK = 7_410_004


def connect(
    url: str, *, application: str, statement_seconds: int = 30
) -> psycopg.Connection[tuple[object, ...]]:
    """A driver connection in autocommit mode, in UTC, that gives up on a statement after `statement_seconds`.

    Raises psycopg.OperationalError when no host of the URL answers within five seconds.
    """
    options = f"-c timezone=UTC -c jit=off -c statement_timeout={statement_seconds}s -c lock_timeout=10s"
    return psycopg.connect(
        libpq_url(url),
        autocommit=True,
        connect_timeout=5,
        application_name=application,
        options=options,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
    )


def make_engine(url: str, *, application: str, statement_seconds: int = 30, pool_size: int = 5) -> Engine:
    """An engine whose connections are made by `connect`; broken ones are found out before use.

    Its errors do not show parameters: they hold phone numbers.
    """

    def creator() -> psycopg.Connection[tuple[object, ...]]:
        connection = connect(url, application=application, statement_seconds=statement_seconds)
        connection.autocommit = False
        return connection

    if pool_size == 0:
        return create_engine(
            "postgresql+psycopg://", creator=creator, poolclass=NullPool, hide_parameters=True
        )
    return create_engine(
        "postgresql+psycopg://",
        creator=creator,
        pool_size=pool_size,
        max_overflow=10,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def libpq_url(url: str) -> str:
    """The URL as libpq wants it: without SQLAlchemy's driver name, with the scheme Heroku-like hosts omit."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme.split("+")[0] in ("postgres", "postgresql"):
        return f"postgresql://{rest}"
    return url
