"""Series: the combinations of dimensions that messages are counted under. Rows are added and never changed.

`series_ids` and `accounts_of` use the driver: they run beside the ingest statement, once per batch with new series.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import text

from webhook_app.rules.counts.dimensions import DIMENSIONS, SeriesKey
from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import Connection, DriverConnection

Series = tuple[str, str, str, str, str]
"""The values of `DIMENSIONS`, in their order. Equal to a `SeriesKey`, and cheaper to make."""

COLUMNS = ", ".join(f"s.{name}" for name in DIMENSIONS)
"""SQL: the dimensions of a series `s`."""
OTHER_COLUMNS = ", ".join(f"s.{name}" for name in DIMENSIONS if name != "phone_number_id")
"""SQL: the dimensions of a series `s` that rows of messages do not have themselves."""

_NAMES = ", ".join(DIMENSIONS)
_WANTED = f"unnest({', '.join(['%s::text[]'] * len(DIMENSIONS))})"
_INSERT = f"""
INSERT INTO series AS s ({_NAMES}) SELECT * FROM {_WANTED} ON CONFLICT ({_NAMES})
DO UPDATE SET seen_on = CURRENT_DATE WHERE s.seen_on < CURRENT_DATE
"""
_IDS = f"SELECT {_NAMES}, id FROM series JOIN {_WANTED} AS w({_NAMES}) USING ({_NAMES})"
_ACCOUNTS = """
SELECT DISTINCT ON (phone_number_id) phone_number_id, waba_id FROM series
WHERE phone_number_id = ANY(%s::text[]) AND waba_id <> '' ORDER BY phone_number_id, id DESC
"""
_KEYS = text(f"SELECT id, {_NAMES} FROM series WHERE id = ANY(:ids)")
_MAX_CACHED = 100_000


def series_keys(connection: Connection, ids: set[int]) -> Mapping[int, SeriesKey]:
    """The dimensions of at least these series. They never change, so each connection caches what it has read."""
    known: dict[int, SeriesKey] = connection.info.setdefault("series", {})
    if len(known) > _MAX_CACHED:
        known.clear()
    if new := ids.difference(known):
        known |= {key: SeriesKey(*values) for key, *values in connection.execute(_KEYS, {"ids": list(new)})}
    return known


def series_ids(connection: DriverConnection, wanted: Sequence[Series]) -> dict[Series, int]:
    """The ids of these series; missing ones are inserted, all are marked as seen today.

    Run outside the batch's transaction.
    """
    columns = [text_array(column) for column in zip(*sorted(wanted), strict=True)]
    connection.execute(_INSERT, columns)
    return {tuple(row[:-1]): row[-1] for row in connection.execute(_IDS, columns).fetchall()}


def accounts_of(connection: DriverConnection, numbers: Iterable[str]) -> dict[str, str]:
    """The account of each business number according to its newest series; unknown numbers are left out."""
    rows = connection.execute(_ACCOUNTS, [text_array(list(numbers))])
    return {row[0]: row[1] for row in rows}


def groups_sql(groups: Sequence[Mapping[str, str | int]]) -> tuple[str, dict[str, Any]]:
    """SQL that holds for the series of any of these groups, with its values; empty when every series belongs.

    A code in a group is left to the caller; a group without a dimension of a series holds every series.
    """
    shapes: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for group in groups:
        names = tuple(name for name in DIMENSIONS if name in group)
        shapes.setdefault(names, set()).add(tuple(str(group[name]) for name in names))
    if not shapes or () in shapes:
        return "", {}
    values: dict[str, Any] = {}
    conditions = []
    for place, (names, held) in enumerate(sorted(shapes.items())):
        columns = [f"group_{place}_{name}" for name in names]
        for column, given in zip(columns, zip(*sorted(held), strict=True), strict=True):
            values[column] = list(given)
        arrays = ", ".join(f"CAST(:{column} AS text[])" for column in columns)
        conditions.append(f"({', '.join(names)}) IN (SELECT * FROM unnest({arrays}))")
    return " OR ".join(conditions), values
