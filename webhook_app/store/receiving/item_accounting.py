"""Statements that store items which are no statuses and book them in the same breath. No table of its own items.

The caller's statement ends with a CTE `new_rows` that returns what was new; the rest of what was offered is known.
"""

from datetime import datetime
from typing import Any

from webhook_app.store.postgres.engine import DriverConnection

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
BOOK_QUARANTINED = _BOOK.format(counts="SELECT 0 AS applied, count(*) AS quarantined FROM new_rows")


def store_booked(
    connection: DriverConnection,
    statement: str,
    values: dict[str, Any],
    offered: int,
    received_at: datetime,
    slot: int,
) -> None:
    """Run a statement made with one of these endings; `offered` items are booked."""
    values |= {"offered": offered, "received_at": received_at, "slot": slot}
    connection.execute(statement, values)
