"""Advisory locks with their keys, and limits on how long a transaction waits for locks and statements.

Postgres also releases a session's locks when it ends, but only some time after `close` has returned.
"""

from contextlib import suppress
from datetime import timedelta

import psycopg
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection, DriverConnection

MIGRATION_LOCK = 7_410_001
LEADER_LOCK = 7_410_002
CHANGES_LOCK = 7_410_003
SUPPRESS_LOCK = 7_410_004
REPLAY_LOCK = 7_410_005
PARTITIONS_LOCK = 7_410_006
FINDINGS_LOCK = 7_410_007
KEYS_LOCK = 7_410_008
SETTLE_LOCK = 7_410_009

# Classes of locks with names. Postgres never confuses their pairs of integers with the integers above, so that no name
# that a sender makes up is one of those.
CLAIM_LOCKS = 7_410_101
CLAIM_SLOT_LOCKS = 7_410_102

SILENT_SECONDS = 300
"""Limit for sessions that work between two statements; the largest document takes seconds to parse."""

_WAIT = text("SELECT pg_advisory_xact_lock(:key)")
_TRY = text("SELECT pg_try_advisory_xact_lock(:key)")
_OWN_TRANSACTION = text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
_OLDEST_TRANSACTION = text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")
_TRY_NAMED = text(
    "SELECT EXISTS (SELECT FROM unnest(CAST(:names AS text[])) AS n"
    " WHERE pg_try_advisory_xact_lock(CAST(:of AS int), hashtext(n)))"
)


def hold_until_commit(connection: Connection, key: int) -> None:
    """Wait for the lock, and hold it until the transaction ends."""
    connection.execute(_WAIT, {"key": key})


def share_until_commit(connection: DriverConnection, key: int) -> None:
    """Wait for the lock, and share it with others that do until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s::bigint)", [key])


def try_until_commit(connection: Connection, key: int) -> bool:
    """Take the lock until the transaction ends; False if another session has it."""
    return bool(connection.execute(_TRY, {"key": key}).scalar_one())


def new_transaction(connection: Connection) -> int:
    """The number of this transaction: above those of all that have changed or locked a row so far."""
    return int(connection.execute(_OWN_TRANSACTION).scalar_one())


def are_over(connection: Connection, before: int) -> bool:
    """Whether all transactions with a lower number have ended, in all databases of the server."""
    return int(connection.execute(_OLDEST_TRANSACTION).scalar_one()) >= before


def try_named_until_commit(connection: Connection, of: int, *names: str) -> bool:
    """Take the first free lock of these names in the class until the transaction ends; False if none is free."""
    return bool(connection.execute(_TRY_NAMED, {"of": of, "names": list(names)}).scalar_one())


def try_acquire(connection: DriverConnection, key: int) -> bool:
    """Take the lock until `release`; False if another session has it."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s::bigint)", [key]).fetchone()
    return row is not None and bool(row[0])


def release(connection: DriverConnection, key: int) -> None:
    """Release the lock. If the session is lost, the server has released it, or does when it notices."""
    with suppress(psycopg.Error):
        connection.execute("SELECT pg_advisory_unlock(%s::bigint)", [key])


def end_session_if_silent(connection: DriverConnection, seconds: int) -> None:
    """Make the server end the session, which releases its locks, after so many seconds without a statement.

    For sessions that hold a lock: a frozen or disconnected process would hold it for ever. In a transaction the limit
    of `connect` applies.
    """
    connection.execute(f"SET idle_session_timeout = '{seconds:d}s'".encode())


def limit_lock_wait(connection: Connection, milliseconds: int = 250) -> None:
    """Limit this transaction's wait for each lock, because other sessions queue behind a waiting one."""
    connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds:d}"))


def limit_own_lock_wait(connection: DriverConnection, milliseconds: int) -> None:
    """Limit the wait for each lock of the driver's transaction."""
    connection.execute(f"SET LOCAL lock_timeout = {milliseconds:d}".encode())


def limit_idle_transaction(connection: Connection, limit: timedelta) -> None:
    """Limit how long this transaction may be idle between two statements, instead of the limit of `connect`."""
    milliseconds = limit // timedelta(milliseconds=1)
    connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds:d}"))


def limit_statements(connection: Connection, milliseconds: int) -> None:
    """Limit the duration of each statement of this transaction."""
    connection.execute(text(f"SET LOCAL statement_timeout = {milliseconds:d}"))
