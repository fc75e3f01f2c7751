"""Counts of outcomes by minute and hour, in columns of `stage_counts`: messages not reported in time, slow, unread.

A message is watched in the minute it was sent, if its `sent` arrived without delay. In the minute it was delivered it
is timed, and unread until it is read. All go by Meta's clock, so late and repeated events lead to the same counts.
stages.py keeps the columns.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.outcome_measures import (
    SLOW_SECONDS,
    TIMED_WITHIN,
    UNDELIVERED_MINUTES,
    OutcomeMeasure,
)
from webhook_app.store.counts.series import series_keys
from webhook_app.store.counts.window_counts import OUTCOME, FailedMessages, Mark, WindowCounts
from webhook_app.store.postgres.engine import Connection

OF_SENT = ("watched", *(f"unreported_{minutes}m" for minutes in UNDELIVERED_MINUTES))
OF_DELIVERED = ("unread", "timed", *(f"slower_{seconds}s" for seconds in SLOW_SECONDS))
COLUMNS = (*OF_SENT, *OF_DELIVERED)


class MinuteSpan(NamedTuple):
    """Full minutes from `start` to before `end`, and what to count in them."""

    measure: OutcomeMeasure
    start: datetime
    end: datetime


OutcomeCounts = Mapping[SeriesKey, tuple[int, int]]
"""By series: the messages judged by a measure, and those that it counts."""

_TIMED = TIMED_WITHIN // timedelta(seconds=1)

_HOURS = """
SELECT series_id, sum({of})::bigint AS messages, sum({counted})::bigint AS counted FROM stage_counts
WHERE unit = 60 AND at = ANY(:hours) AND {of} > 0 GROUP BY series_id
"""
_SPANS = """
SELECT series_id, {sums} FROM stage_counts WHERE unit = 1 AND at >= :start AND at < :end GROUP BY series_id
"""
_SUM = "coalesce(sum({column}) FILTER (WHERE at >= :start_{place} AND at < :end_{place}), 0)::bigint"
_MINUTES = """
SELECT at, series_id, sum({of})::bigint AS messages, sum({counted})::bigint AS counted FROM stage_counts
WHERE unit = 1 AND at >= :start AND at < :end AND {of} > 0 GROUP BY at, series_id
"""


def sent_values(prefix: str, sign: int) -> list[str]:
    """SQL: the columns that a message adds in the minute it was sent. `prefix`: of the columns of message_stages.

    Only webhooks are delivery reports: what senders say of a message may be made up.
    """
    live, sent = f"{prefix}sent_live", f"{prefix}sent_at"
    reported = f"least({prefix}delivered_at, {prefix}failed_at)"
    late = (f"coalesce({reported} > {sent} + interval '{m} minutes', TRUE)" for m in UNDELIVERED_MINUTES)
    return [f"{sign} * {live}::int", *(f"{sign} * ({live} AND {is_late})::int" for is_late in late)]


def delivered_values(prefix: str, sign: int) -> list[str]:
    """SQL: the columns that a message adds in the minute it was delivered."""
    took = f"extract(epoch FROM {prefix}delivered_at - {prefix}sent_at)"
    timed = [f"{took} <= {_TIMED}", *(f"{took} > {limit} AND {took} <= {_TIMED}" for limit in SLOW_SECONDS)]
    unread = f"{prefix}read_at IS NULL"
    return [f"{sign} * coalesce({is_counted}, FALSE)::int" for is_counted in (unread, *timed)]


def read_spans(connection: Connection, spans: Sequence[MinuteSpan]) -> list[OutcomeCounts]:
    """The counts of the full minutes of each span, read in one scan."""
    sums: list[str] = []
    values = {"start": min(span.start for span in spans), "end": max(span.end for span in spans)}
    for place, span in enumerate(spans):
        values |= {f"start_{place}": span.start, f"end_{place}": span.end}
        sums += [_SUM.format(column=name, place=place) for name in _columns(span.measure).values()]
    rows = connection.execute(text(_SPANS.format(sums=", ".join(sums))), values).all()
    known = series_keys(connection, {row[0] for row in rows})
    return [
        {known[row[0]]: (row[at], row[at + 1]) for row in rows if row[at]}
        for at in range(1, len(sums) + 1, 2)
    ]


def read_hours(connection: Connection, measure: OutcomeMeasure, hours: Sequence[datetime]) -> OutcomeCounts:
    """The counts of these hours together."""
    return _read(connection, _HOURS, measure, {"hours": list(hours)})


def read_minutes(
    connection: Connection, measure: OutcomeMeasure, start: datetime, end: datetime
) -> dict[datetime, OutcomeCounts]:
    """The counts of each minute from `start` to before `end`; empty minutes are left out."""
    rows = connection.execute(text(_MINUTES.format(**_columns(measure))), {"start": start, "end": end}).all()
    known = series_keys(connection, {row.series_id for row in rows})
    found: dict[datetime, dict[SeriesKey, tuple[int, int]]] = {}
    for row in rows:
        found.setdefault(row.at, {})[known[row.series_id]] = row.messages, row.counted
    return dict(found)


def _read(
    connection: Connection, statement: str, measure: OutcomeMeasure, values: Mapping[str, object]
) -> OutcomeCounts:
    rows = connection.execute(text(statement.format(**_columns(measure))), values).all()
    known = series_keys(connection, {series_id for series_id, _, _ in rows})
    return {known[series_id]: (messages, counted) for series_id, messages, counted in rows}


def _columns(measure: OutcomeMeasure) -> dict[str, str]:
    if measure.kind == "undelivered":
        return {"of": "watched", "counted": f"unreported_{measure.limit}m"}
    return {"of": "timed", "counted": f"slower_{measure.limit}s"}


def as_window(*parts: OutcomeCounts) -> WindowCounts:
    """The counts as a window: messages as attempts, those that the measure counts as failures marked OUTCOME."""
    attempts: dict[SeriesKey, int] = {}
    counted: dict[SeriesKey, int] = {}
    for part in parts:
        for series, (messages, these) in part.items():
            attempts[series] = attempts.get(series, 0) + messages
            if these:
                counted[series] = counted.get(series, 0) + these
    return WindowCounts(
        attempts, [FailedMessages((Mark(OUTCOME, series),), these) for series, these in counted.items()]
    )
