"""Search of failures by any filter, newest first. The cost does not depend on how many failures are stored.

1. The filters are resolved to ids of errors and of series (failure_filters).
2. The newest few thousand failures are scanned: frequent ones are found there.
3. Rarer ones are found through the index over error and series, month by month.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.counts.failures.failure_filters import FailureFilters, errors_of, series_of
from webhook_app.store.counts.failures.failures import (
    COUNTED,
    KEY,
    NEWEST_FIRST,
    ROWS,
    Failure,
    FailurePosition,
)
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.partitions import partitions

_NEWEST_SCANNED = 3_000
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)  # no event lies outside
_DAY = timedelta(days=1)
_PLAN_BY_INDEX = text("""
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true)
""")
"""Plan each statement of this transaction for its own lists of ids. Every span is small or has a fitting index, but
Postgres does not know how the lists correlate, and would read whole partitions."""
_WHILE_HELD = """ AND EXISTS (
  SELECT FROM unnest(CAST(:contacts AS text[]), CAST(:held_since AS timestamptz[]), CAST(:held_until AS timestamptz[]))
    AS k(contact, since, until)
  WHERE k.contact = f.contact AND f.occurred_at >= k.since AND f.occurred_at < k.until)"""
_AFTER = f" AND ({KEY}) < (:{', :'.join(FailurePosition._fields)})"


class _Span(NamedTuple):
    start: datetime
    end: datetime


class _Query(Struct, frozen=True):
    """The filters as SQL over failures."""

    chosen: str
    values: dict[str, Any]
    is_narrow: bool
    """Whether errors or series are filtered, so that the index over both helps."""


def search(
    connection: Connection, wanted: FailureFilters, limit: int, before: FailurePosition | None = None
) -> list[Failure]:
    """Up to `limit` matching failures older than `before`, newest first."""
    errors = errors_of(connection, wanted)
    series = series_of(connection, wanted)
    if series == [] or errors.matching == []:
        return []
    connection.execute(_PLAN_BY_INDEX)
    place: dict[str, Any] = {"counted": list(COUNTED)} | (before._asdict() if before else {})
    chosen, values = _choose(wanted, series)
    after = _AFTER if before else ""
    end = min(wanted.until or _LAST, before.occurred_at + timedelta(microseconds=1) if before else _LAST)
    span = _Span(wanted.since or _FIRST, end)
    own = "" if errors.wanted is None else " AND f.error_id = ANY(:errors)"
    narrow = errors.wanted is not None or series is not None
    found: list[Failure] = []
    if errors.wanted != []:
        asked = _Query(chosen + own + after, values | place | {"errors": errors.wanted}, narrow)
        found = _newest(connection, asked, wanted.spans is not None, span, limit)
    if wanted.dead_letter and errors.counted_wanted:
        ids = {"all_counted": errors.counted, "errors": errors.counted_wanted}
        asked = _Query(chosen, values | place | ids, narrow)
        if len(found) == limit:  # anything older than these would not be returned
            span = _Span(found[-1].occurred_at, span.end)
        found += _exhausted(connection, asked, after, span, limit)
    if wanted.dead_letter:
        of_errors = "" if errors.matching is None else " AND f.error_id = ANY(:errors)"
        asked = _Query(chosen + of_errors + after, values | place | {"errors": errors.matching}, narrow)
        found += _rows(connection, _DEAD_RETRIES.format(chosen=asked.chosen), asked, span, limit)
        found = sorted({each.place: each for each in found}.values(), key=_place, reverse=True)
    return found[:limit]


def _place(failure: Failure) -> FailurePosition:
    return failure.place


def _choose(wanted: FailureFilters, series: list[int] | None) -> tuple[str, dict[str, Any]]:
    chosen, values = "f.occurred_at >= :start AND f.occurred_at < :end", dict[str, Any]()
    if series is not None:
        chosen += " AND f.series_id = ANY(:series)"
        values["series"] = series
    if wanted.spans is not None:
        chosen += " AND f.contact = ANY(:contacts)" + _WHILE_HELD
        values["contacts"] = [each.key for each in wanted.spans]
        values |= {
            "held_since": [each.since for each in wanted.spans],
            "held_until": [each.until for each in wanted.spans],
        }
    return chosen, values


def _newest(
    connection: Connection, asked: _Query, is_one_person: bool, span: _Span, limit: int
) -> list[Failure]:
    if is_one_person:
        return _page(connection, asked, span, limit)
    near = _floor(connection, span)
    found = _page(connection, asked, _Span(near, span.end), limit)
    for month in _months(connection, _Span(span.start, near)):
        end = month.end
        while len(found) < limit and end > month.start:
            rest = _Span(month.start, end)
            start = _page_start(connection, asked, rest, limit) if asked.is_narrow else month.start
            found += _page(connection, asked, _Span(start, end), limit - len(found))
            end = start
    return found


def _floor(connection: Connection, span: _Span) -> datetime:
    """The time of the oldest of the newest few thousand failures; the start of the span if it has fewer."""
    statement = text(
        "SELECT occurred_at FROM failures WHERE occurred_at >= :start AND occurred_at < :end"
        f" ORDER BY occurred_at DESC OFFSET {_NEWEST_SCANNED} LIMIT 1"
    )
    found = connection.execute(statement, span._asdict()).scalar_one_or_none()
    return span.start if found is None else found


def _months(connection: Connection, span: _Span) -> Iterator[_Span]:
    """Split the span at the bounds of the partitions, newest first."""
    starts = [
        datetime(day.year, day.month, day.day, tzinfo=UTC) for _, day in partitions(connection, "failures")
    ]
    end = span.end
    for start in [*reversed(starts), span.start]:
        if span.start < end and start < end:
            yield _Span(max(start, span.start), end)
            end = max(start, span.start)


# Ordered by an expression, so that Postgres uses the index of the filters instead of scanning backwards through time.
_BY_FILTER_INDEX = "ORDER BY timezone('UTC', f.occurred_at) DESC"


def _page_start(connection: Connection, asked: _Query, span: _Span, limit: int) -> datetime:
    """The time of a page's oldest failure, read from the index alone."""
    chosen = asked.chosen.replace(_AFTER, "")
    statement = text(
        f"SELECT f.occurred_at FROM failures f WHERE {chosen} {_BY_FILTER_INDEX} OFFSET :skipped LIMIT 1"
    )
    values = asked.values | span._asdict() | {"skipped": limit - 1}
    found = connection.execute(statement, values).scalar_one_or_none()
    return span.start if found is None else found


def _page(connection: Connection, asked: _Query, span: _Span, limit: int) -> list[Failure]:
    keys = NEWEST_FIRST.partition(",")[2]
    page = f"SELECT f.* FROM failures f WHERE {asked.chosen} {_BY_FILTER_INDEX}, {keys} LIMIT :limit"
    return _rows(connection, f"WITH page AS MATERIALIZED ({page})", asked, span, limit)


def _exhausted(connection: Connection, asked: _Query, after: str, span: _Span, limit: int) -> list[Failure]:
    """Failures whose message had already failed with the same code as often as the retry advice allows."""
    found: list[Failure] = []
    spans = [span] if "contacts" in asked.values else _months(connection, span)
    for month in spans:
        if len(found) >= limit:
            break
        codes = {"codes": list(COUNTED), "allowed": list(COUNTED.values())}
        days = {
            "first_day": _day(month.start),
            "last_day": _day(month.end - timedelta(microseconds=1)) + _DAY,
        }
        values = asked.values | codes | days
        statement = _EXHAUSTED.format(
            chosen=asked.chosen,
            grouped=asked.chosen.replace(_WHILE_HELD, "")
            .replace(":start", ":first_day")
            .replace(":end", ":last_day"),
            after=after,
        )
        page = _Query("", values, asked.is_narrow)
        found += _rows(connection, statement, page, month, limit - len(found))
    return found


_ALLOWED = "(CAST(:allowed AS bigint[]))[array_position(CAST(:codes AS bigint[]), f.error_code)]"
_EXHAUSTED = f"""
WITH again AS MATERIALIZED (
  SELECT f.contact, f.series_id, f.error_code, date_bin('1 day', f.occurred_at, '2000-01-01 00:00+00') AS day
  FROM failures f WHERE {{grouped}} AND f.error_id = ANY(:all_counted) AND f.contact <> ''
  GROUP BY 1, 2, 3, 4 HAVING count(*) > {_ALLOWED}
), page AS MATERIALIZED (
  SELECT f.* FROM again a CROSS JOIN LATERAL (
    SELECT o.*, row_number() OVER (ORDER BY o.occurred_at, o.message_id, o.phone_number_id) - 1 AS before
    FROM (SELECT * FROM failures o  -- OFFSET: read by contact, see tries_sql
          WHERE o.contact = a.contact AND o.occurred_at >= a.day AND o.occurred_at < a.day + interval '1 day'
          OFFSET 0) o
    WHERE o.series_id = a.series_id AND o.error_code = a.error_code
  ) f
  WHERE f.before >= {_ALLOWED} AND f.error_id = ANY(:errors) AND {{chosen}} {{after}}
  ORDER BY {NEWEST_FIRST} LIMIT :limit
)
"""

_DEAD_RETRIES = f"""
WITH page AS MATERIALIZED (
  SELECT f.* FROM retries r JOIN failures f
    ON (f.message_id, f.phone_number_id, f.occurred_at, f.error_code)
     = (r.message_id, r.phone_number_id, r.occurred_at, r.error_code) AND f.participant = ''
  WHERE r.state = 'dead' AND r.occurred_at >= :start AND r.occurred_at < :end AND {{chosen}}
  ORDER BY {NEWEST_FIRST} LIMIT :limit
)
"""


def _rows(connection: Connection, page: str, asked: _Query, span: _Span, limit: int) -> list[Failure]:
    values = asked.values | span._asdict() | {"limit": limit}
    return [Failure(**row) for row in connection.execute(text(page + ROWS), values).mappings()]


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
