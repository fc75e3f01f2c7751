"""How to reach Postgres: plain driver connections for the ingest statement, an engine for everything else.

The URL goes to libpq as it is, so several hosts with target_session_attrs=read-write work. No queries here.
"""

from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import NullPool

__all__ = [
    "Connect",
    "Connection",
    "DriverConnection",
    "Engine",
    "connect",
    "driver",
    "libpq_url",
    "make_engine",
    "plan_each",
]

DriverConnection = psycopg.Connection[Any]
"""A connection of the driver's, for the ingest statement and checks; `Connection` is SQLAlchemy's, for all else."""
Connect = Callable[[], DriverConnection]


def connect(
    url: str, *, application: str, statement_seconds: int = 30, plans_once: bool = False
) -> DriverConnection:
    """A driver connection in autocommit mode, in UTC, that gives up on a statement after `statement_seconds`.

    `plans_once`: statements are prepared when first seen, and planned for all values at once. Left to itself Postgres
    plans what reads a hundred partitions anew each time, at three times the cost of a lookup.
    Raises psycopg.OperationalError when no host of the URL answers within five seconds.
    """
    options = f"-c timezone=UTC -c jit=off -c statement_timeout={statement_seconds}s -c lock_timeout=10s"
    if plans_once:
        options += " -c plan_cache_mode=force_generic_plan"
    return psycopg.connect(
        libpq_url(url),
        autocommit=True,
        connect_timeout=5,
        application_name=application,
        options=options,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        prepare_threshold=0 if plans_once else 5,
    )


def make_engine(
    url: str,
    *,
    application: str,
    statement_seconds: int = 30,
    pool_size: int = 5,
    plans_once: bool = False,
) -> Engine:
    """An engine whose connections are made by `connect`; broken ones are found out before use.

    Its errors do not show parameters: they hold phone numbers.
    """

    def creator() -> DriverConnection:
        connection = connect(
            url, application=application, statement_seconds=statement_seconds, plans_once=plans_once
        )
        connection.autocommit = False
        return connection

    if pool_size == 0:
        return create_engine(
            "postgresql+psycopg://", creator=creator, poolclass=NullPool, hide_parameters=True
        )
    engine = create_engine(
        "postgresql+psycopg://",
        creator=creator,
        pool_size=pool_size,
        max_overflow=10,
        hide_parameters=True,
    )
    event.listen(engine, "checkout", _refuse_ended)
    return engine


def _refuse_ended(held: DriverConnection, *_: object) -> None:
    """Have the pool make a new connection instead of one that the server has ended.

    Reads what has come without waiting: first the server's last word, then that it hung up. Asking it each time, as
    `pool_pre_ping` does, is half of what a check of a recipient waits for, and no surer: it may end a moment later.
    """
    try:
        held.pgconn.consume_input()
        held.pgconn.consume_input()
    except psycopg.OperationalError as ended:
        raise DisconnectionError from ended


def plan_each(connection: Connection) -> None:
    """Until the transaction ends what is asked is planned for the times asked about.

    A statement that is seen often is otherwise planned once for any time, for which no index looks good enough.
    """
    connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


def driver(connection: Connection) -> DriverConnection:
    """The driver's connection under this one, for the statements of the ingest."""
    found: DriverConnection = connection.connection.driver_connection  # type: ignore[assignment]
    return found


def libpq_url(url: str) -> str:
    """The URL as libpq wants it: without SQLAlchemy's driver name, with the scheme Heroku-like hosts omit."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme.split("+")[0] in ("postgres", "postgresql"):
        return f"postgresql://{rest}"
    return url
