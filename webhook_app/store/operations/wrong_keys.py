"""How often each caller used a wrong key in the running minute, counted by all processes and hosts together.

Sign-ins with a right key are counted here too, with the key as the caller. A caller is a hash, so no address or key is
stored. The table is bounded: while it is full of running windows, further callers are not counted here. Windows that
have ended make room for the next caller.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

WINDOW = timedelta(minutes=1)
MAX_ROWS = 10_000

# Callers in order, so that two statements cannot deadlock.
_ADD = text("""
INSERT INTO wrong_keys AS w (caller, until, attempts)
SELECT caller, :until, 1 FROM unnest(CAST(:callers AS bytea[])) AS caller
WHERE (SELECT count(*) FROM (SELECT FROM wrong_keys LIMIT :max_rows) held) < :max_rows
   OR EXISTS (SELECT FROM wrong_keys known WHERE known.caller = caller.caller)
ORDER BY caller
ON CONFLICT (caller) DO UPDATE SET
  attempts = CASE WHEN w.until <= :now THEN 1 ELSE w.attempts + 1 END,
  until = CASE WHEN w.until <= :now THEN excluded.until ELSE w.until END
RETURNING caller, attempts, until
""")
_SUBTRACT = text("""
UPDATE wrong_keys SET attempts = attempts - 1 WHERE caller IN (
  SELECT caller FROM wrong_keys WHERE caller = ANY (:callers) AND until > :now ORDER BY caller FOR UPDATE)
""")
_MAKE_ROOM = text("""
DELETE FROM wrong_keys WHERE caller IN (
  SELECT caller FROM wrong_keys WHERE until <= :now LIMIT :max_rows FOR UPDATE SKIP LOCKED)
""")


class Attempts(Struct, frozen=True):
    """A caller's wrong keys in its window, and when that ends."""

    count: int
    until: datetime


def add(
    connection: Connection, callers: Iterable[bytes], now: datetime, *, max_rows: int = MAX_ROWS
) -> dict[bytes, Attempts]:
    """Count one attempt of each caller; returns their attempts, without callers for whom the table has no room."""
    wanted = sorted(set(callers))
    values = {"callers": wanted, "now": now, "until": now + WINDOW, "max_rows": max_rows}
    rows = list(connection.execute(_ADD, values))
    if (
        len(rows) < len(wanted)
        and connection.execute(_MAKE_ROOM, {"now": now, "max_rows": max_rows}).rowcount
    ):
        counted = {bytes(row.caller) for row in rows}
        rows += connection.execute(
            _ADD, values | {"callers": [each for each in wanted if each not in counted]}
        )
    return {bytes(row.caller): Attempts(row.attempts, row.until) for row in rows}


def subtract(connection: Connection, callers: Iterable[bytes], now: datetime) -> None:
    """Take back one attempt of each caller, because the key was right."""
    connection.execute(_SUBTRACT, {"callers": sorted(set(callers)), "now": now})
