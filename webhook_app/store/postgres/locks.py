"""Advisory locks with their keys, and limits on how long a transaction waits for locks and statements.

Postgres also releases a session's locks when it ends, but only some time after `close` has returned.
"""

from contextlib import suppress

import psycopg
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection, DriverConnection

MIGRATION_LOCK = 7_410_001
LEADER_LOCK = 7_410_002
CHANGES_LOCK = 7_410_003
SUPPRESS_LOCK = 7_410_004
REPLAY_LOCK = 7_410_005
PARTITIONS_LOCK = 7_410_006


_WAIT = text("SELECT pg_advisory_xact_lock(:key)")
_TRY = text("SELECT pg_try_advisory_xact_lock(:key)")
_SHORT_WAIT = text("SET LOCAL lock_timeout = '250ms'")


def hold_until_commit(connection: Connection, key: int) -> None:
    """Wait for the lock, and hold it until the transaction ends."""
    connection.execute(_WAIT, {"key": key})


def try_until_commit(connection: Connection, key: int) -> bool:
    """Take the lock until the transaction ends; False if another session has it."""
    return bool(connection.execute(_TRY, {"key": key}).scalar_one())


def try_acquire(connection: DriverConnection, key: int) -> bool:
    """Take the lock until `release`; False if another session has it."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s::bigint)", [key]).fetchone()
    return row is not None and bool(row[0])


def release(connection: DriverConnection, key: int) -> None:
    """Release the lock. If the session is lost, the server has released it, or does when it notices."""
    with suppress(psycopg.Error):
        connection.execute("SELECT pg_advisory_unlock(%s::bigint)", [key])


def limit_lock_wait(connection: Connection) -> None:
    """Limit this transaction's wait for a lock to 250 ms, because other sessions queue behind a waiting one."""
    connection.execute(_SHORT_WAIT)


def limit_statements(connection: Connection, milliseconds: int) -> None:
    """Limit the duration of each statement of this transaction."""
    connection.execute(text(f"SET LOCAL statement_timeout = {milliseconds:d}"))
