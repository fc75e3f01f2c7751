"""Connections to Postgres: the driver's own for ingest and checks, an engine for everything else. No queries.

The URL goes to libpq unchanged, so several hosts with target_session_attrs=read-write work. Session parameters are
set after connecting: a pooler such as PgBouncer refuses a connection whose start-up packet has `options`.
"""

import re
from collections.abc import Callable

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import NullPool, StaticPool

from webhook_app.store.postgres.driver_connection import DriverConnection

__all__ = [
    "Connect",
    "Connection",
    "DriverConnection",
    "Engine",
    "connect",
    "driver",
    "is_libpq_url",
    "libpq_url",
    "make_engine",
    "over",
    "plan_each",
    "use_indexes",
    "use_indexes_until_commit",
]

Connect = Callable[[], DriverConnection]

_OPTION = re.compile(r"(?:-c\s*|--)([\w.-]+)=")


def connect(
    url: str, *, application: str, statement_seconds: int = 30, plans_once: bool = False
) -> DriverConnection:
    """A driver connection in autocommit mode, in UTC, that cancels a statement after `statement_seconds`.

    The server ends a session whose transaction has been idle for a minute: a frozen process must not keep its locks.
    `plans_once` prepares statements at first use, with one plan for all values. By default Postgres plans a query over
    a hundred partitions anew each time, which costs three times the lookup itself.
    Options in the URL are kept, and take precedence except for the time zone.
    Raises psycopg.OperationalError when no host of the URL answers within five seconds.
    """
    parameters = {
        "jit": "off",
        "statement_timeout": f"{statement_seconds}s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "60s",
    }
    if plans_once:
        parameters["plan_cache_mode"] = "force_generic_plan"
    given = _options_in(url)
    connection = DriverConnection.connect(
        libpq_url(url),
        autocommit=True,
        connect_timeout=5,
        application_name=application,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        prepare_threshold=0 if plans_once else 5,
    )
    parameters = {name: value for name, value in parameters.items() if name not in given}
    statements = [f"SET {name} = '{value}'" for name, value in ({"timezone": "UTC"} | parameters).items()]
    try:
        connection.execute("; ".join(statements).encode(), prepare=False)  # one round trip
    except BaseException:
        connection.close()
        raise
    return connection


def _options_in(url: str) -> set[str]:
    """The session parameters that the URL sets itself."""
    options = conninfo_to_dict(libpq_url(url)).get("options") or ""
    return {name.lower().replace("-", "_") for name in _OPTION.findall(str(options))}


def make_engine(
    url: str,
    *,
    application: str,
    statement_seconds: int = 30,
    pool_size: int = 5,
    plans_once: bool = False,
) -> Engine:
    """An engine whose connections come from `connect`; the pool replaces one that the server has ended.

    Its errors do not show parameters, which include phone numbers. `pool_size=0` keeps no connection open.
    """

    def creator() -> DriverConnection:
        connection = connect(
            url, application=application, statement_seconds=statement_seconds, plans_once=plans_once
        )
        connection.autocommit = False
        return connection

    pool = {"poolclass": NullPool} if pool_size == 0 else {"pool_size": pool_size, "max_overflow": 10}
    engine = create_engine(
        "postgresql+psycopg://",
        creator=creator,
        hide_parameters=True,
        use_native_hstore=False,  # otherwise the first connection looks for this type, which no column has
        **pool,
    )
    if pool_size:
        event.listen(engine, "checkout", _refuse_ended)
    return engine


def _refuse_ended(held: DriverConnection, *_: object) -> None:
    """Make the pool replace a connection that the server has ended.

    Reads what has arrived without waiting: first the server's last message, then the end of the stream. A query on each
    checkout, as `pool_pre_ping` sends, takes half the time of a recipient check and proves no more.
    """
    try:
        held.pgconn.consume_input()
        held.pgconn.consume_input()
    except psycopg.OperationalError as ended:
        raise DisconnectionError from ended


def plan_each(connection: Connection) -> None:
    """Plan each statement for its own values until the transaction ends.

    A frequent statement is otherwise planned once for any time range, for which no index looks selective enough.
    """
    connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


def use_indexes(connection: DriverConnection) -> None:
    """Look rows up by index from now on, however many rows of a key the statistics promise.

    Where one contact has nearly all rows of a table or partition, Postgres expects as many of any other contact, and
    would read the whole table for each key.
    """
    connection.execute("SET enable_seqscan = off", prepare=False)


def use_indexes_until_commit(connection: Connection) -> None:
    """Look rows up by index until the transaction ends, see `use_indexes`."""
    connection.execute(text("SET LOCAL enable_seqscan = off"))


def over(connection: DriverConnection) -> Connection:
    """An engine's connection over this one, for statements within its transactions. It never commits or rolls back."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connection,
        poolclass=StaticPool,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        use_native_hstore=False,
    )
    return engine.connect()


def driver(connection: Connection) -> DriverConnection:
    """The driver's connection under an engine's, for the ingest statement."""
    found: DriverConnection = connection.connection.driver_connection  # type: ignore[assignment]
    return found


def libpq_url(url: str) -> str:
    """The URL as libpq accepts it: without SQLAlchemy's driver name, and with the scheme postgresql."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme.split("+")[0] in ("postgres", "postgresql"):
        return f"postgresql://{rest}"
    return url


def is_libpq_url(url: str) -> bool:
    """Whether libpq can read the URL, or the string of keywords and values."""
    try:
        conninfo_to_dict(libpq_url(url))
    except psycopg.ProgrammingError:
        return False
    return True
