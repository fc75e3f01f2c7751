"""Detects a pooler that shares database sessions between its clients.

Advisory locks, time zone and timeouts belong to a session. Behind PgBouncer in transaction mode several schedulers
would hold the one leader's lock at the same time.
"""

from typing import Any
from uuid import uuid4

from webhook_app.store.postgres.engine import DriverConnection

_ROUNDS = 3  # a busy pooler can give a client the same session twice by chance
_MARK = "webhook_app.session"


def sessions_fault(one: DriverConnection, other: DriverConnection) -> str:
    """Why these two connections are not two lasting sessions in UTC; empty when they are. Ends their transactions."""
    for _ in range(_ROUNDS):
        mark = uuid4().hex
        _ask(one, "SELECT set_config(%s, %s, false)", _MARK, mark)
        if _read(other, _MARK) == mark or _read(one, _MARK) != mark:
            return (
                "a pooler shares sessions between clients (PgBouncer: pool_mode=transaction or statement)."
                " Use pool_mode=session, or connect to PostgreSQL directly"
            )
    zone = _read(one, "TimeZone")
    return "" if zone == "UTC" else f"a pooler resets session parameters: the time zone is {zone}, not UTC"


def _read(connection: DriverConnection, name: str) -> Any:
    return _ask(connection, "SELECT current_setting(%s, true)", name)


def _ask(connection: DriverConnection, query: str, *values: str) -> Any:
    """The answer to a query in a transaction of its own, so that a pooler may use another session afterwards."""
    connection.commit()
    row = connection.execute(query, values, prepare=False).fetchone()
    connection.commit()
    return row and row[0]
