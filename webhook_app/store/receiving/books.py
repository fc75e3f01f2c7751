"""The books: every received item, counted once as received and once by its outcome. They balance at all times.

Statements that store items end with `BOOK_APPLIED` or `BOOK_QUARANTINED`. A replay keeps its corrections in a slot of
its own, by the day of receipt. Writing uses the driver: it shares the transaction of the ingest statement.
"""

from datetime import date, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.counts.slots import CORRECTIONS_SLOT
from webhook_app.store.postgres.engine import Connection, DriverConnection

BEFORE = date(1970, 1, 1)
"""The day that holds the sum of all days older than the retention."""
REPLAY_SLOT = CORRECTIONS_SLOT
"""The slot of corrections. Its rows move items from one outcome to another, and add up to nothing received."""

_COLUMNS = ("received", "applied", "duplicate", "ignored", "quarantined")
_SUMS = ", ".join(f"coalesce(sum({column}), 0)::bigint AS {column}" for column in _COLUMNS)
_TOTALS = text(f"SELECT {_SUMS} FROM books")
_BY_DAY = text(
    f"SELECT day, {_SUMS} FROM books WHERE day > :before GROUP BY day ORDER BY day DESC LIMIT :limit"
)
_BOOK = """
INSERT INTO books AS b (day, slot, received, applied, duplicate, quarantined)
SELECT %(received_at)s::timestamptz::date, %(slot)s, %(offered)s, n.applied, %(offered)s - n.applied - n.quarantined,
       n.quarantined
FROM ({counts}) n
ON CONFLICT (day, slot) DO UPDATE SET
  received = b.received + excluded.received, applied = b.applied + excluded.applied,
  duplicate = b.duplicate + excluded.duplicate, quarantined = b.quarantined + excluded.quarantined
"""
BOOK_APPLIED = _BOOK.format(counts="SELECT count(*) AS applied, 0 AS quarantined FROM new_rows")
"""SQL: the end of a statement whose CTE `new_rows` returns the new items; the rest are duplicates."""
BOOK_QUARANTINED = _BOOK.format(
    counts="SELECT 0 AS applied, coalesce(sum(items), 0) AS quarantined FROM new_rows"
)
_ADD_SLOT = "INSERT INTO books (day, slot) VALUES (%s::timestamptz::date, %s) ON CONFLICT DO NOTHING"
_OF_SLOT = "day = %s::timestamptz::date AND slot = %s"
_RESTORE = f"UPDATE books SET {', '.join(f'{column} = %s' for column in _COLUMNS)} WHERE {_OF_SLOT}"


class Totals(Struct, frozen=True, kw_only=True):
    """Items, each counted once in `received` and once in one of the others."""

    received: int
    applied: int
    duplicate: int
    ignored: int
    quarantined: int

    @property
    def balanced(self) -> bool:
        return self.received == self.applied + self.duplicate + self.ignored + self.quarantined


def totals(connection: Connection) -> Totals:
    """The totals since the first delivery."""
    return Totals(**connection.execute(_TOTALS).mappings().one())


def by_day(connection: Connection, limit: int) -> dict[date, Totals]:
    """Totals of the latest `limit` days (UTC, by receipt) on which items were received, newest first."""
    rows = connection.execute(_BY_DAY, {"limit": limit, "before": BEFORE}).mappings()
    return {row["day"]: Totals(**{name: row[name] for name in _COLUMNS}) for row in rows}


def store_items(
    connection: DriverConnection,
    statement: str,
    values: dict[str, Any],
    offered: int,
    received_at: datetime,
    slot: int,
) -> None:
    """Run a statement that ends with BOOK_APPLIED or BOOK_QUARANTINED; it counts `offered` items as received."""
    values |= {"offered": offered, "received_at": received_at, "slot": slot}
    connection.execute(statement, values)


def lock_totals(connection: DriverConnection, received_at: datetime) -> tuple[int, ...]:
    """Lock the replay's row of that day until the commit; returns its counts."""
    connection.execute(_ADD_SLOT, [received_at, REPLAY_SLOT])
    return _replay_totals(connection, received_at, "FOR UPDATE")


def undo_received(connection: DriverConnection, received_at: datetime, held: tuple[int, ...]) -> int:
    """Reset the replay's row to its counts in `lock_totals`. Returns how many items were applied since."""
    now = _replay_totals(connection, received_at)
    connection.execute(_RESTORE, [*held, received_at, REPLAY_SLOT])
    applied = _COLUMNS.index("applied")
    return now[applied] - held[applied]


def reclassify(
    connection: DriverConnection, received_at: datetime, source: str, target: str, items: int = 1
) -> int:
    """Count items of that day as `target` instead of `source`, at most as many as there are; returns how many."""
    assert {source, target} < set(_COLUMNS)  # noqa: S101  column names of ours
    row = connection.execute(
        f"SELECT least(%s, greatest(sum({source}), 0))::bigint FROM books WHERE day = %s::timestamptz::date",
        [items, received_at],
    ).fetchone()
    moved = int(row[0] or 0) if row else 0
    connection.execute(
        f"UPDATE books SET {source} = {source} - %s, {target} = {target} + %s WHERE {_OF_SLOT}",
        [moved, moved, received_at, REPLAY_SLOT],
    )
    return moved


def _replay_totals(connection: DriverConnection, received_at: datetime, lock: str = "") -> tuple[int, ...]:
    statement = f"SELECT {', '.join(_COLUMNS)} FROM books WHERE {_OF_SLOT} {lock}"
    row: Any = connection.execute(statement, [received_at, REPLAY_SLOT]).fetchone()
    return tuple(row)
