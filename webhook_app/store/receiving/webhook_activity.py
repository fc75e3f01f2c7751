"""When webhooks arrive, and which deliveries are rejected for their signature. Every read costs what its span holds.

`add_rejections` uses the driver: it runs on the connection of the ingest statement.
"""

from datetime import datetime, timedelta

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection, DriverConnection
from webhook_app.store.postgres.partitions import partitions

_LAST_PAGES = 128
"""1 MiB, read in half a millisecond. Postgres adds up to 64 empty pages at once when several writers wait for one, and
new rows fill the room that an erasure left: in a small archive they stay there, in a large one for moments."""

_ADD = """
INSERT INTO rejections AS r (minute, kind, count) VALUES (date_trunc('minute', %s::timestamptz), %s, %s)
ON CONFLICT (minute, kind) DO UPDATE SET count = r.count + excluded.count
"""
_BY_KIND = text("""
SELECT kind, sum(count)::bigint FROM rejections WHERE minute >= :start AND minute < :end GROUP BY kind ORDER BY kind
""")
_BY_STEP = text("""
SELECT date_bin(:step, minute, :start) AS at, sum(count)::bigint FROM rejections
WHERE minute >= :start AND minute < :end GROUP BY 1
""")


def add_rejections(connection: DriverConnection, kind: str, count: int, minute: datetime) -> None:
    """Add rejected deliveries to the minute they arrived in."""
    connection.execute(_ADD, [minute, kind, count])


def rejections(connection: Connection, start: datetime, end: datetime) -> dict[str, int]:
    """Deliveries rejected in the span, by what was wrong with the signature."""
    return {row[0]: row[1] for row in connection.execute(_BY_KIND, {"start": start, "end": end})}


def rejections_by_step(
    connection: Connection, start: datetime, end: datetime, step_minutes: int
) -> dict[datetime, int]:
    """Rejected deliveries by the start of steps counted from `start`; empty steps are left out."""
    values = {"step": timedelta(minutes=step_minutes), "start": start, "end": end}
    return {row[0]: row[1] for row in connection.execute(_BY_STEP, values)}


def last_received_at(connection: Connection, now: datetime) -> datetime | None:
    """When the latest delivery in the archive arrived; None if the archive is empty."""
    for name, day in reversed(partitions(connection, "deliveries")):
        if day <= now.date() and (at := _latest_in(connection, name)):
            return at
    return None


def _latest_in(connection: Connection, partition: str) -> datetime | None:
    # New rows are nearly always at the end, and a BRIN index cannot give the last: the last pages of the heap can.
    statement = text(
        f"SELECT max(received_at) FROM \"{partition}\" WHERE ctid >= (SELECT format('(%s,0)', greatest("
        f"pg_relation_size(CAST(:name AS regclass)) / current_setting('block_size')::int - {_LAST_PAGES}, 0))::tid)"
    )
    latest: datetime | None = connection.execute(statement, {"name": f'"{partition}"'}).scalar_one()
    return latest
