"""The books of a replay: an item received once stays one item, and moves from what it was to what it became.

A replay books in a slot of its own, by the day of receipt, so that it waits for no worker. Its rows hold moves:
they add up to nothing received.
"""

from datetime import datetime
from typing import Any

from webhook_app.store.postgres.engine import DriverConnection

SLOT = -1
_COLUMNS = ("received", "applied", "duplicate", "ignored", "quarantined")
_LIST = ", ".join(_COLUMNS)


def hold(connection: DriverConnection, received_at: datetime) -> tuple[int, ...]:
    """Lock the replay's row of that day until the commit; returns what stands in it."""
    connection.execute(
        "INSERT INTO books (day, slot) VALUES (%s::timestamptz::date, %s) ON CONFLICT DO NOTHING",
        [received_at, SLOT],
    )
    return _read(connection, received_at, "FOR UPDATE")


def take_back(connection: DriverConnection, received_at: datetime, held: tuple[int, ...]) -> int:
    """Undo what has been booked since `hold`: nothing was received. Returns how many items were new."""
    now = dict(zip(_COLUMNS, _read(connection, received_at), strict=True))
    settings = ", ".join(f"{column} = %s" for column in _COLUMNS)
    connection.execute(
        f"UPDATE books SET {settings} WHERE day = %s::timestamptz::date AND slot = %s",
        [*held, received_at, SLOT],
    )
    return now["applied"] - held[_COLUMNS.index("applied")]


def move(
    connection: DriverConnection, received_at: datetime, source: str, target: str, items: int = 1
) -> int:
    """Book items of that day as `target` instead of `source`, no more than stand there; returns how many."""
    assert {source, target} < set(_COLUMNS)  # noqa: S101  column names of ours
    row = connection.execute(
        f"SELECT least(%s, greatest(sum({source}), 0))::bigint FROM books WHERE day = %s::timestamptz::date",
        [items, received_at],
    ).fetchone()
    moved = int(row[0] or 0) if row else 0
    connection.execute(
        f"UPDATE books SET {source} = {source} - %s, {target} = {target} + %s"
        " WHERE day = %s::timestamptz::date AND slot = %s",
        [moved, moved, received_at, SLOT],
    )
    return moved


def _read(connection: DriverConnection, received_at: datetime, lock: str = "") -> tuple[int, ...]:
    statement = f"SELECT {_LIST} FROM books WHERE day = %s::timestamptz::date AND slot = %s {lock}"
    row: Any = connection.execute(statement, [received_at, SLOT]).fetchone()
    return tuple(row)
