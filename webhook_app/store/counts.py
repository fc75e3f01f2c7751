"""What a window holds: attempts from the minute counts, failures as distinct messages, by any dimension.

A read costs what its window holds, however long the history is. No thresholds and no decisions here.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Row, text

from webhook_app.rules.failure_rate import Counts, measure
from webhook_app.store.window_counts import FailedMessages, Mark, SeriesKey, WindowCounts, is_failure

GROUPS = ("code", *SeriesKey._fields)

_ATTEMPTS = """
SELECT series_id, sum(attempts)::bigint AS attempts FROM minute_counts
WHERE minute >= :start AND minute < :end {chosen}
GROUP BY series_id
"""

_EVENTS = """
SELECT date_bin(:step, minute, :start) AS at, sum(attempts)::bigint AS attempts, sum(sent)::bigint AS sent,
       sum(delivered)::bigint AS delivered, sum(read)::bigint AS read
FROM minute_counts
WHERE minute >= :start AND minute < :end {chosen}
GROUP BY 1
"""

# Nearly every message has one row; only those with several are looked up again, by primary key.
_FAILED = """
SELECT at, CASE WHEN low_code = high_code AND low_series = high_series THEN ARRAY[ARRAY[low_code, low_series]]
                ELSE (SELECT array_agg(DISTINCT ARRAY[f.error_code, f.series_id::bigint]) FROM failures f
                      WHERE f.message_id = m.message_id AND f.phone_number_id = m.phone_number_id
                        AND f.occurred_at >= :start AND f.occurred_at < :end
                        AND date_bin(:step, f.occurred_at, :start) = m.at {chosen})
           END AS marks, count(*) AS messages
FROM (SELECT date_bin(:step, occurred_at, :start) AS at, message_id, phone_number_id,
             min(error_code) AS low_code, max(error_code) AS high_code,
             min(series_id)::bigint AS low_series, max(series_id)::bigint AS high_series
      FROM failures
      WHERE occurred_at >= :start AND occurred_at < :end {chosen}
      GROUP BY 1, 2, 3) m
GROUP BY 1, 2
"""


class Filters(Struct, frozen=True):
    """Which messages count. None asks for all, an empty text for those without the value."""

    phone_number_id: str | None = None
    waba_id: str | None = None
    template: str | None = None
    campaign: str | None = None
    country: str | None = None
    code: int | None = None


EVERYTHING = Filters()


class RateTable(Struct, frozen=True):
    """A window's rates as shares, each with its 95 % interval. With a code asked for, its failures alone."""

    attempts: int
    failures: int
    rate: float
    low: float
    high: float
    classes: dict[str, int]
    groups: list[dict[str, Any]]


def window(now: datetime, minutes: int) -> tuple[datetime, datetime]:
    """The last `minutes` full minutes and the running one: the first moment, and the one after the last."""
    floor = now.replace(second=0, microsecond=0)
    return floor - timedelta(minutes=minutes), floor + timedelta(minutes=1)


def read_window(
    connection: Connection, start: datetime, end: datetime, filters: Filters = EVERYTHING
) -> WindowCounts:
    """Everything that can be asked about the full minutes from `start` to before `end`, in two scans."""
    attempts = attempts_by_series(connection, start, end, filters)
    return WindowCounts(attempts, failures_by_code_and_series(connection, start, end, filters))


def attempts_by_series(
    connection: Connection, start: datetime, end: datetime, filters: Filters = EVERYTHING
) -> dict[SeriesKey, int]:
    """Messages attempted in each series; series without any are left out."""
    chosen, values = choose(filters)
    values |= {"start": start, "end": end}
    rows = connection.execute(text(_ATTEMPTS.format(chosen=chosen)), values).all()
    known = _series(connection, [row.series_id for row in rows])
    return {known[row.series_id]: row.attempts for row in rows if row.attempts}


def failures_by_code_and_series(
    connection: Connection, start: datetime, end: datetime, filters: Filters = EVERYTHING
) -> list[FailedMessages]:
    """Distinct failed messages, counted by the codes and series they failed under."""
    found = _failures(connection, start, end, end - start, filters)
    return [failed for _, failed in found]


def rates(
    connection: Connection,
    start: datetime,
    end: datetime,
    group_by: Sequence[str] = (),
    filters: Filters = EVERYTHING,
) -> RateTable:
    """Rates of the full minutes from `start` to before `end`: in total, and by group, the worst first.

    Groups by code hold each code's failures, whatever its class; other groups the broken and unreachable.
    """
    counts = read_window(connection, start, end, filters)
    any_code = filters.code is not None
    counted = (lambda _: True) if any_code else is_failure
    in_groups = (lambda _: True) if any_code or "code" in group_by else is_failure
    groups = counts.by_group(group_by, in_groups) if group_by else {}
    rows = [dict(zip(group_by, key, strict=True)) | _measured(count) for key, count in groups.items()]
    rows.sort(key=lambda row: (-row["failures"], -row["attempts"], *(str(row[name]) for name in group_by)))
    total = Counts(sum(counts.attempts.values()), counts.failures(counted))
    return RateTable(**_measured(total), classes=counts.failures_by_class(), groups=rows)


def series(
    connection: Connection, start: datetime, end: datetime, step_minutes: int, filters: Filters = EVERYTHING
) -> list[dict[str, Any]]:
    """A row for each `step_minutes` from `start` on, empty ones too; sent, delivered, read count events."""
    step = timedelta(minutes=step_minutes)
    chosen, values = choose(filters)
    place = {"start": start, "end": end, "step": step}
    events = {row.at: row for row in connection.execute(text(_EVENTS.format(chosen=chosen)), values | place)}
    failed: dict[datetime, list[FailedMessages]] = {}
    for at, messages in _failures(connection, start, end, step, filters):
        failed.setdefault(at, []).append(messages)
    moments = [start + step * index for index in range(-(-(end - start) // step))]
    return [_point(at, events.get(at), WindowCounts({}, failed.get(at, [])), filters) for at in moments]


def _failures(
    connection: Connection, start: datetime, end: datetime, step: timedelta, filters: Filters
) -> list[tuple[datetime, FailedMessages]]:
    chosen, values = choose(filters, None if filters.code is None else [filters.code])
    values |= {"start": start, "end": end, "step": step}
    rows = connection.execute(text(_FAILED.format(chosen=chosen)), values).all()
    known = _series(connection, {series_id for row in rows for _, series_id in row.marks})
    marks = [tuple(Mark(code, known[series_id]) for code, series_id in row.marks) for row in rows]
    return [(row.at, FailedMessages(mark, row.messages)) for row, mark in zip(rows, marks, strict=True)]


def _series(connection: Connection, ids: Sequence[int] | set[int]) -> dict[int, SeriesKey]:
    statement = text(f"SELECT id, {', '.join(SeriesKey._fields)} FROM series WHERE id = ANY(:ids)")
    return {row[0]: SeriesKey(*row[1:]) for row in connection.execute(statement, {"ids": list(ids)})}


def choose(filters: Filters, codes: Sequence[int] | None = None) -> tuple[str, dict[str, Any]]:
    """SQL that narrows a query by series_id, and by error_code if `codes` are given, with its values."""
    wanted = {name: value for name in SeriesKey._fields if (value := getattr(filters, name)) is not None}
    chosen, values = "", dict[str, Any](wanted)
    if wanted:
        same = " AND ".join(f"{name} = :{name}" for name in wanted)
        chosen += f" AND series_id IN (SELECT id FROM series WHERE {same})"
    if codes is not None:
        chosen += " AND error_code = ANY(:codes)"
        values["codes"] = list(codes)
    return chosen, values


def _measured(counts: Counts) -> dict[str, Any]:
    rate = measure(counts.attempts, counts.failures)
    return {name: getattr(rate, name) for name in rate.__struct_fields__}


def _point(at: datetime, events: Row[Any] | None, counts: WindowCounts, filters: Filters) -> dict[str, Any]:
    failures = counts.failures(is_failure if filters.code is None else lambda _: True)
    held = {name: getattr(events, name, 0) for name in ("attempts", "sent", "delivered", "read")}
    return {"at": at, "failures": failures, "classes": counts.failures_by_class(), **held}
