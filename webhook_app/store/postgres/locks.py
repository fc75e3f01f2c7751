"""Advisory locks: every key in one place, and the ways to hold one.

The end of a session frees its locks too, but a moment after `close` has returned.
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


def hold_until_commit(connection: Connection, key: int) -> None:
    """Wait for the lock and hold it until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def try_until_commit(connection: Connection, key: int) -> bool:
    """Hold the lock until the transaction ends; False while another session has it."""
    return bool(connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": key}).scalar_one())


def take(connection: DriverConnection, key: int) -> bool:
    """Hold the lock until `give_back`; False while another session has it."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s::bigint)", [key]).fetchone()
    return row is not None and bool(row[0])


def give_back(connection: DriverConnection, key: int) -> None:
    """Free the lock now. A session that is lost has freed it, or will when the server notices."""
    with suppress(psycopg.Error):
        connection.execute("SELECT pg_advisory_unlock(%s::bigint)", [key])


def wait_briefly(connection: Connection) -> None:
    """Let this transaction give up on a lock after 250 ms: whoever queues for a lock makes everybody else queue."""
    connection.execute(text("SET LOCAL lock_timeout = '250ms'"))


def limit_statements(connection: Connection, milliseconds: int) -> None:
    """Let this transaction give up on any statement that takes longer."""
    connection.execute(text(f"SET LOCAL statement_timeout = {milliseconds:d}"))
