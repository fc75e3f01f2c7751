"""Advisory locks that a session holds. The end of the session frees them too, but a moment after `close` returned."""

from contextlib import suppress
from typing import Any

import psycopg


def take(connection: psycopg.Connection[Any], key: int) -> bool:
    """Try for the lock; False while another session has it."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s::bigint)", [key]).fetchone()
    return row is not None and bool(row[0])


def give_back(connection: psycopg.Connection[Any], key: int) -> None:
    """Free the lock now. A session that is lost has freed it, or will when the server finds out."""
    with suppress(psycopg.Error):
        connection.execute("SELECT pg_advisory_unlock(%s::bigint)", [key])
