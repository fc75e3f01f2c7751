"""Funnels of a window: how many messages reached each stage, and how long that took.

Each message counts once per stage, at its first such event (see stages.py). A window is read from the hourly counts and
from minute counts at its edges. Events received since the last run of pipeline/counts/count_funnels are read from
status_events, so the answer includes them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.counts.messages import stages
from webhook_app.store.counts.rates import EVERYTHING, Filters, filter_sql
from webhook_app.store.counts.series import series_keys
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.receiving.pricing import BILLINGS, OF_BILLING, Billing, pricing_of

_HOUR = timedelta(hours=1)
_EVER = datetime(1, 1, 1, tzinfo=UTC)
_MORE_MEMORY = text("SET LOCAL work_mem = '64MB'")  # to sort the percentiles of a day in memory

_COUNTS = "sent, delivered, read, failed, unread"
_COUNTED = (
    f"SELECT series_id, category, pricing, {_COUNTS} FROM stage_counts"
    " WHERE unit = {} AND at >= {} AND at < {}"
)
_FUNNEL = f"""
WITH {stages.NEW_STAGES}, {stages.DELTAS}
SELECT {{series}} AS series, {{category}} AS category, {{pricing}} AS pricing,
       {", ".join(f"sum({name})::bigint AS {name}" for name in _COUNTS.split(", "))}
FROM ({_COUNTED.format(60, ":first_hour", ":last_hour")} {{chosen}}
      UNION ALL {_COUNTED.format(1, ":start", ":first_hour")} {{chosen}}
      UNION ALL {_COUNTED.format(1, ":last_hour", ":end")} {{chosen}}
      UNION ALL SELECT series_id, category, pricing, {_COUNTS} FROM deltas
                WHERE at >= :start AND at < :end {{chosen}}) counted
WHERE CAST(:billing AS integer) IS NULL OR pricing / {OF_BILLING} = :billing
GROUP BY 1, 2, 3
"""

_LATENCIES = f"""
WITH {stages.NEW_STAGES}
SELECT percentile_cont(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY extract(epoch FROM delivered_at - sent_at))
         FILTER (WHERE delivered_at >= sent_at AND sent_at >= :start) AS to_delivered,
       percentile_cont(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY extract(epoch FROM read_at - delivered_at))
         FILTER (WHERE read_at >= delivered_at AND read_at < :end) AS to_read,
       count(*) FILTER (WHERE delivered_at >= sent_at AND sent_at >= :start) AS delivered,
       count(*) FILTER (WHERE read_at >= delivered_at AND read_at < :end) AS read
FROM (SELECT series_id, sent_at, delivered_at, read_at FROM message_stages h
      WHERE delivered_at >= :start AND delivered_at < :end
        AND NOT EXISTS (SELECT FROM new_stages n WHERE n.message = h.message)
      UNION ALL SELECT series_id, sent_at, delivered_at, read_at FROM merged) m
WHERE delivered_at >= :start AND delivered_at < :end {{chosen}}
"""


class StageCounts(Struct):
    """Messages that reached each stage. Read implies delivered; a failed message may be delivered to another device.

    `unread`: messages that were delivered in the window and have not been read since.
    """

    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: int = 0
    unread: int = 0

    def add(self, other: Any) -> None:
        """Add counts with the same names."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_PRICING = ("billing", "pricing_model", "pricing_type")
_OF_MESSAGES = {"category", *_PRICING}


class Latencies(Struct, frozen=True):
    """Seconds at each requested percentile, and the number of messages measured; empty lists without messages."""

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
    billing: Billing | None = None,
) -> dict[tuple[str, ...], StageCounts]:
    """Messages by the stages they first reached in the full minutes from `start` to before `end`, for each group.

    Groups: the dimensions, category, billing, pricing_model and pricing_type. `billing`: only these messages.
    """
    chosen, values = filter_sql(filters)
    statement = _FUNNEL.format(
        which=stages.RECEIVED,
        series="0" if set(group_by) <= _OF_MESSAGES else "series_id",
        category="category" if "category" in group_by else "''",
        pricing="pricing" if set(_PRICING) & set(group_by) else "0",
        chosen=chosen,
    )
    values |= {"billing": None if billing is None else BILLINGS.index(billing)}
    rows = connection.execute(text(statement), values | _span(connection, start, end)).all()
    known = series_keys(connection, {row.series for row in rows if row.series})
    found: dict[tuple[str, ...], StageCounts] = {}
    for row in rows:
        if row.sent or row.delivered or row.read or row.failed:
            dimensions = known[row.series]._asdict() if row.series else {}
            dimensions |= {"category": row.category} | dict(
                zip(_PRICING, pricing_of(row.pricing), strict=True)
            )
            found.setdefault(tuple(dimensions[name] for name in group_by), StageCounts()).add(row)
    return found


def latencies(
    connection: Connection,
    start: datetime,
    end: datetime,
    shares: Sequence[float],
    filters: Filters = EVERYTHING,
) -> Latencies:
    """The time from sent to delivered, and from delivered to read, of messages with both events in the window."""
    chosen, values = filter_sql(filters)
    connection.execute(_MORE_MEMORY)
    values |= _span(connection, start, end) | {"shares": list(shares)}
    statement = _LATENCIES.format(which=stages.RECEIVED, chosen=chosen)
    row = connection.execute(text(statement), values).one()
    return Latencies(row.to_delivered or [], row.to_read or [], row.delivered, row.read)


def _span(connection: Connection, start: datetime, end: datetime) -> dict[str, datetime]:
    """The window, its whole hours, and the time of receipt from which events are not counted yet.

    A concurrent run of the counting job does no harm: counting an event again changes nothing.
    """
    floor = start.replace(minute=0, second=0, microsecond=0)
    first = floor if floor == start else floor + _HOUR
    last = end.replace(minute=0, second=0, microsecond=0)
    if first > last:
        first = last = end
    since = stages.counted_until(connection) or _EVER
    return {"start": start, "end": end, "first_hour": first, "last_hour": last, "since": since}
