"""What only the pages show: the pulse of the webhook, suppressions by reason.

Every read costs the same however long the history is, but for the count of suppressions. Nothing is written here.
"""

from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.partitions import partitions

_LAST_PAGES = 8  # rows of one commit may lie before those of an earlier one, but not many pages apart
_REFUSED_MINUTES = 60

_STATUSES = text("""
SELECT minute, sum(sent)::bigint, sum(delivered)::bigint, sum(read)::bigint, sum(failed)::bigint
FROM minute_counts WHERE minute >= :start AND minute < :end GROUP BY minute
""")
_REFUSED = text(
    "SELECT kind, sum(count)::bigint FROM rejections WHERE minute >= :since GROUP BY kind ORDER BY kind"
)
_SUPPRESSED = text("""
SELECT reason, count(*) FROM suppressions WHERE until IS NULL OR until > :now GROUP BY reason ORDER BY reason
""")


class Statuses(Struct, frozen=True):
    """Status events by kind; one message has several."""

    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.sent + self.delivered + self.read + self.failed


def statuses_by_minute(connection: Connection, start: datetime, end: datetime) -> dict[datetime, Statuses]:
    """Status events by the minute they occurred in; minutes without any are left out."""
    rows = connection.execute(_STATUSES, {"start": start, "end": end})
    return {row[0]: Statuses(*row[1:]) for row in rows}


def last_received_at(connection: Connection, now: datetime) -> datetime | None:
    """When the latest delivery that is still in the archive came; None without any."""
    for name, day in reversed(partitions(connection, "deliveries")):
        if day <= now.date() and (at := _latest_in(connection, name)):
            return at
    return None


def refused_by_kind(connection: Connection, now: datetime) -> dict[str, int]:
    """Deliveries of the last hour that were refused for their signature."""
    since = now - timedelta(minutes=_REFUSED_MINUTES)
    return {row[0]: row[1] for row in connection.execute(_REFUSED, {"since": since})}


def suppressed_by_reason(connection: Connection, now: datetime) -> dict[str, int]:
    """Suppressions in force. Reads the whole table: not for every request."""
    return {row[0]: row[1] for row in connection.execute(_SUPPRESSED, {"now": now})}


def _latest_in(connection: Connection, partition: str) -> datetime | None:
    # Rows are only ever appended, and a BRIN index cannot give the last: the last pages of the heap can.
    statement = text(
        f"SELECT max(received_at) FROM \"{partition}\" WHERE ctid >= (SELECT format('(%s,0)', greatest("
        f"pg_relation_size(CAST(:name AS regclass)) / current_setting('block_size')::int - {_LAST_PAGES}, 0))::tid)"
    )
    latest: datetime | None = connection.execute(statement, {"name": f'"{partition}"'}).scalar_one()
    return latest
