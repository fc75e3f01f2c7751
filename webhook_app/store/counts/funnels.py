"""How far messages got, and how long the steps took, of one window.

Each message counts once per step, at its first such event (store/counts/funnel_counts). A window is read from hourly
counts and the minute counts around them. Events received since the last run of pipeline/counts/count_funnels are added
from the events themselves, so an answer never lags.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.counts import funnel_counts
from webhook_app.store.counts.rates import EVERYTHING, Filters, choose
from webhook_app.store.postgres.engine import Connection

_HOUR = timedelta(hours=1)
_EVER = datetime(1, 1, 1, tzinfo=UTC)
_MEMORY = text("SET LOCAL work_mem = '64MB'")  # percentiles of a day are sorted in memory

_COUNTED = (
    "SELECT series_id, category, sent, delivered, read, failed FROM stage_counts"
    " WHERE unit = {} AND at >= {} AND at < {}"
)
_STEPS = f"""
WITH {funnel_counts.TOLD}, {funnel_counts.DELTAS}
SELECT {{series}} AS series, {{category}} AS category, sum(sent)::bigint AS sent, sum(delivered)::bigint AS delivered,
       sum(read)::bigint AS read, sum(failed)::bigint AS failed
FROM ({_COUNTED.format(60, ":first_hour", ":last_hour")} {{chosen}}
      UNION ALL {_COUNTED.format(1, ":start", ":first_hour")} {{chosen}}
      UNION ALL {_COUNTED.format(1, ":last_hour", ":end")} {{chosen}}
      UNION ALL SELECT series_id, category, sent, delivered, read, failed FROM deltas
                WHERE at >= :start AND at < :end {{chosen}}) counted
GROUP BY 1, 2
"""

_LATENCIES = f"""
WITH {funnel_counts.TOLD}
SELECT percentile_cont(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY extract(epoch FROM delivered_at - sent_at))
         FILTER (WHERE delivered_at >= sent_at AND sent_at >= :start) AS to_delivered,
       percentile_cont(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY extract(epoch FROM read_at - delivered_at))
         FILTER (WHERE read_at >= delivered_at AND read_at < :end) AS to_read,
       count(*) FILTER (WHERE delivered_at >= sent_at AND sent_at >= :start) AS delivered,
       count(*) FILTER (WHERE read_at >= delivered_at AND read_at < :end) AS read
FROM (SELECT series_id, sent_at, delivered_at, read_at FROM message_stages h
      WHERE delivered_at >= :start AND delivered_at < :end
        AND NOT EXISTS (SELECT FROM told t WHERE t.message = h.message)
      UNION ALL SELECT series_id, sent_at, delivered_at, read_at FROM merged) m
WHERE delivered_at >= :start AND delivered_at < :end {{chosen}}
"""


class Steps(Struct):
    """Messages that first got so far. Read implies delivered; a failed one can have arrived elsewhere."""

    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: int = 0


class Latencies(Struct, frozen=True):
    """Seconds at each share asked for, and over how many messages; empty without any."""

    to_delivered: list[float]
    to_read: list[float]
    delivered: int
    read: int


def funnel(
    connection: Connection,
    start: datetime,
    end: datetime,
    group_by: Sequence[str] = (),
    filters: Filters = EVERYTHING,
) -> dict[tuple[str, ...], Steps]:
    """Messages by the steps they first took in the full minutes from `start` to before `end`, for each group."""
    chosen, values = choose(filters)
    statement = _STEPS.format(
        which=funnel_counts.RECEIVED,
        series="0" if set(group_by) <= {"category"} else "series_id",
        category="category" if "category" in group_by else "''",
        chosen=chosen,
    )
    rows = connection.execute(text(statement), values | _place(connection, start, end)).all()
    named = _dimensions(connection, {row.series for row in rows})
    found: dict[tuple[str, ...], Steps] = {}
    for row in rows:
        if row.sent or row.delivered or row.read or row.failed:
            told = named.get(row.series, {}) | {"category": row.category}
            group = found.setdefault(tuple(told[name] for name in group_by), Steps())
            group.sent += row.sent
            group.delivered += row.delivered
            group.read += row.read
            group.failed += row.failed
    return found


def latencies(
    connection: Connection,
    start: datetime,
    end: datetime,
    shares: Sequence[float],
    filters: Filters = EVERYTHING,
) -> Latencies:
    """How long messages took from sent to delivered and from there to read, when both fell into the window."""
    chosen, values = choose(filters)
    connection.execute(_MEMORY)
    values |= _place(connection, start, end) | {"shares": list(shares)}
    statement = _LATENCIES.format(which=funnel_counts.RECEIVED, chosen=chosen)
    row = connection.execute(text(statement), values).one()
    return Latencies(row.to_delivered or [], row.to_read or [], row.delivered, row.read)


def _place(connection: Connection, start: datetime, end: datetime) -> dict[str, datetime]:
    """The window, its whole hours, and since when events were received that are not counted.

    Counting may go on meanwhile: what it has counted by then is found to change nothing.
    """
    floor = start.replace(minute=0, second=0, microsecond=0)
    first = floor if floor == start else floor + _HOUR
    last = end.replace(minute=0, second=0, microsecond=0)
    if first > last:
        first = last = end
    since = funnel_counts.counted_until(connection) or _EVER
    return {"start": start, "end": end, "first_hour": first, "last_hour": last, "since": since}


def _dimensions(connection: Connection, ids: set[int]) -> dict[int, dict[str, Any]]:
    names = "phone_number_id, template, campaign, country"
    statement = text(f"SELECT id, {names} FROM series WHERE id = ANY(:ids)")
    rows = connection.execute(statement, {"ids": list(ids)}).mappings()
    return {row["id"]: {name: row[name] for name in names.split(", ")} for row in rows}
