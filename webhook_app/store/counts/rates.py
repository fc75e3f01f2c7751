"""Rates of a window: attempts from the minute counts, failures as distinct messages, by any dimension.

A read costs as much as its window holds, however long the history is.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, text

from webhook_app.rules.counts.dimensions import DIMENSIONS, SeriesKey
from webhook_app.rules.counts.failure_rate import Counts, measure
from webhook_app.store.counts.series import series_keys
from webhook_app.store.counts.slots import OF_WEBHOOKS
from webhook_app.store.counts.window_counts import FailedMessages, Mark, WindowCounts, is_failure
from webhook_app.store.postgres.engine import Connection

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

# Nearly every message failed once and is counted by ingest; the few that failed again are counted from their failures.
_FAILED_ONCE = """
SELECT date_bin(:step, minute, :start) AS at, error_code, series_id, sum(failures)::bigint AS messages
FROM failure_counts
WHERE minute >= :start AND minute < :end {chosen}
GROUP BY 1, 2, 3 HAVING sum(failures) <> 0
"""

_FAILED_AGAIN = """
SELECT at, marks, count(*) AS messages
FROM (SELECT date_bin(:step, f.occurred_at, :start) AS at,
             array_agg(DISTINCT ARRAY[coalesce(f.counted_code, f.error_code), f.series_id::bigint]) AS marks
      FROM failed_messages m JOIN failures f USING (message_id, phone_number_id)
      WHERE NOT m.alone AND m.last_at >= :start AND m.first_at < :end
        AND f.occurred_at >= :start AND f.occurred_at < :end {chosen}
      GROUP BY 1, f.message_id, f.phone_number_id) one
GROUP BY 1, 2
"""

_ATTEMPTS_IN_ALL = (
    "SELECT coalesce(sum(attempts), 0)::bigint FROM minute_counts WHERE minute >= :start AND minute < :end"
)
_CODES_ONCE = """
SELECT ARRAY[error_code] AS codes, sum(failures)::bigint AS messages FROM failure_counts
WHERE minute >= :start AND minute < :end
GROUP BY error_code HAVING sum(failures) <> 0
"""
_CODES_AGAIN = """
SELECT codes, count(*) AS messages
FROM (SELECT array_agg(DISTINCT coalesce(f.counted_code, f.error_code)) AS codes
      FROM failed_messages m JOIN failures f USING (message_id, phone_number_id)
      WHERE NOT m.alone AND m.last_at >= :start AND m.first_at < :end
        AND f.occurred_at >= :start AND f.occurred_at < :end
      GROUP BY f.message_id, f.phone_number_id) one
GROUP BY codes
"""

# A failure of a webhook and one of a report: the first is counted by ingest as the only one.
_FAILED_TWICE_IN_WEBHOOKS = """
        AND f.source <> 'send' AND EXISTS (
          SELECT FROM failures o WHERE o.message_id = f.message_id AND o.phone_number_id = f.phone_number_id
            AND o.source <> 'send' AND (o.error_code, o.occurred_at) <> (f.error_code, f.occurred_at))
"""


class Filters(Struct, frozen=True):
    """Which messages to count. None matches all, an empty text those without the value."""

    phone_number_id: str | None = None
    waba_id: str | None = None
    template: str | None = None
    campaign: str | None = None
    country: str | None = None
    code: int | None = None
    with_reports: bool = True
    """False: only what webhooks say, as far as it is counted apart; a message counts where its webhooks placed it."""


EVERYTHING = Filters()


class RateTable(Struct, frozen=True):
    """A window's rates as shares, each with its 95 % interval. With a code in the filters, only its failures count."""

    attempts: int
    failures: int
    rate: float
    low: float
    high: float
    classes: dict[str, int]
    groups: list[dict[str, Any]]


def window(now: datetime, minutes: int) -> tuple[datetime, datetime]:
    """The start and end of the last `minutes` full minutes and the current one."""
    floor = now.replace(second=0, microsecond=0)
    return floor - timedelta(minutes=minutes), floor + timedelta(minutes=1)


def read_window(
    connection: Connection, start: datetime, end: datetime, filters: Filters = EVERYTHING
) -> WindowCounts:
    """The counts of the full minutes from `start` to before `end`, read in two scans."""
    attempts = attempts_by_series(connection, start, end, filters)
    return WindowCounts(attempts, failures_by_code_and_series(connection, start, end, filters))


def attempts_by_series(
    connection: Connection, start: datetime, end: datetime, filters: Filters = EVERYTHING
) -> dict[SeriesKey, int]:
    """Messages attempted in each series; series without attempts are left out."""
    chosen, values = filter_sql(filters)
    chosen += _written(filters)
    values |= {"start": start, "end": end}
    rows = connection.execute(text(_ATTEMPTS.format(chosen=chosen)), values).all()
    known = series_keys(connection, {series_id for series_id, _ in rows})
    return {known[series_id]: attempts for series_id, attempts in rows if attempts}


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
    """Rates of the full minutes from `start` to before `end`: in total, and by group with most failures first.

    Groups by code count each code's failures, whatever its class; other groups count broken and unreachable.
    """
    return _table(read_window(connection, start, end, filters), group_by, filters)


def rates_by_code(connection: Connection, start: datetime, end: datetime) -> RateTable:
    """As `rates` by code alone, summed by the database: an outage has thousands of codes and series."""
    window = {"start": start, "end": end}
    attempts = connection.execute(text(_ATTEMPTS_IN_ALL), window).scalar_one()
    rows = [row for query in (_CODES_ONCE, _CODES_AGAIN) for row in connection.execute(text(query), window)]
    every = SeriesKey(*[""] * len(SeriesKey._fields))
    failed = [
        FailedMessages(tuple([Mark(code, every) for code in codes]), messages) for codes, messages in rows
    ]
    return _table(WindowCounts({every: attempts}, failed), ("code",), EVERYTHING)


def _table(counts: WindowCounts, group_by: Sequence[str], filters: Filters) -> RateTable:
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
    """A row for each `step_minutes` from `start` on, empty ones included; sent, delivered and read count events."""
    step = timedelta(minutes=step_minutes)
    chosen, values = filter_sql(filters)
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
    codes = None if filters.code is None else [filters.code]
    chosen, values = filter_sql(filters, codes)
    values |= {"start": start, "end": end, "step": step}
    once = connection.execute(text(_FAILED_ONCE.format(chosen=chosen + _written(filters))), values).all()
    chosen, _ = filter_sql(filters, codes, table="f.", code="coalesce(f.counted_code, f.error_code)")
    chosen += "" if filters.with_reports else _FAILED_TWICE_IN_WEBHOOKS
    again = connection.execute(text(_FAILED_AGAIN.format(chosen=chosen)), values).all()
    ids = {series_id for _, _, series_id, _ in once}
    known = series_keys(connection, ids | {series_id for _, marks, _ in again for _, series_id in marks})
    return [
        (at, FailedMessages((Mark(code, known[series_id]),), messages))
        for at, code, series_id, messages in once
    ] + [
        (at, FailedMessages(tuple([Mark(code, known[series_id]) for code, series_id in marks]), messages))
        for at, marks, messages in again
    ]


def filter_sql(
    filters: Filters, codes: Sequence[int] | None = None, table: str = "", code: str = "error_code"
) -> tuple[str, dict[str, Any]]:
    """SQL conditions on `table`'s series_id, and on `code` if `codes` are given, with their values."""
    wanted = {name: value for name in DIMENSIONS if (value := getattr(filters, name)) is not None}
    chosen, values = "", dict[str, Any](wanted)
    if wanted:
        same = " AND ".join(f"{name} = :{name}" for name in wanted)
        chosen += f" AND {table}series_id IN (SELECT id FROM series WHERE {same})"
    if codes is not None:
        chosen += f" AND {code} = ANY(:codes)"
        values["codes"] = list(codes)
    return chosen, values


def _written(filters: Filters) -> str:
    """A SQL condition on the writers of the counts."""
    return "" if filters.with_reports else f" AND {OF_WEBHOOKS}"


def _measured(counts: Counts) -> dict[str, Any]:
    rate = measure(counts.attempts, counts.failures)
    return {name: getattr(rate, name) for name in rate.__struct_fields__}


def _point(at: datetime, events: Row[Any] | None, counts: WindowCounts, filters: Filters) -> dict[str, Any]:
    failures = counts.failures(is_failure if filters.code is None else lambda _: True)
    held = {name: getattr(events, name, 0) for name in ("attempts", "sent", "delivered", "read")}
    return {"at": at, "failures": failures, "classes": counts.failures_by_class(), **held}
