"""Series: the combinations of dimensions that messages are counted under. Their dimensions never change.

`series_ids` and `accounts_of` use the driver: they run beside the ingest statement, once per batch with new series.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from sys import getsizeof
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
_FIND = (
    f"SELECT {_NAMES}, id, seen_on < CURRENT_DATE FROM series JOIN {_WANTED} AS w({_NAMES}) USING ({_NAMES})"
)
_MARK_SEEN = "UPDATE series SET seen_on = CURRENT_DATE WHERE id = ANY(%s) AND seen_on < CURRENT_DATE"
_INSERT = (
    f"INSERT INTO series ({_NAMES}, reported_by) SELECT * FROM unnest({', '.join(['%s::text[]'] * 6)})"
    f" ON CONFLICT ({_NAMES}) DO NOTHING"
)
_NEW_THIS_HOUR = """
SELECT waba_id, reported_by, count(*) FROM series
WHERE created_at >= date_trunc('hour', now()) GROUP BY waba_id, reported_by
"""
_NEW_SINCE = text("""
SELECT waba_id, reported_by, count(*) FROM series WHERE created_at >= :since GROUP BY waba_id, reported_by
""")
_ACCOUNTS = """
SELECT DISTINCT ON (phone_number_id) phone_number_id, waba_id FROM series
WHERE phone_number_id = ANY(%s::text[]) AND waba_id <> '' ORDER BY phone_number_id, id DESC
"""
_KEYS = text(f"SELECT id, {_NAMES} FROM series WHERE id = ANY(:ids)")
# By connection: about 55 000 ordinary series, or 12 000 with the longest names.
_MAX_CACHED_BYTES = 32 * 2**20
_ENTRY_BYTES = 300  # of a series besides its texts

OTHER = "(other)"
"""The template and campaign of messages whose own would exceed the ceilings. Totals stay exact."""
MAX_NEW_PER_ACCOUNT, MAX_NEW = 2_000, 10_000
"""New series within an hour, of an account and in all: evaluation and memory grow with the number of series."""
MAX_REPORTED_PER_ACCOUNT, MAX_REPORTED = 500, 2_500
"""Series made by senders' reports are new only below these, so that made-up ones leave room for those of webhooks."""
_SHARE_OF_KEY = 0.8
"""What one key may use of these ceilings, so that it leaves room for the reports of others."""


def series_keys(connection: Connection, ids: set[int]) -> Mapping[int, SeriesKey]:
    """The dimensions of at least these series. They never change, so each connection caches what it has read."""
    known: dict[int, SeriesKey] = connection.info.setdefault("series", {})
    if connection.info.get("series_bytes", 0) > _MAX_CACHED_BYTES:
        known.clear()
        connection.info["series_bytes"] = 0
    if new := ids.difference(known):
        read = {key: SeriesKey(*values) for key, *values in connection.execute(_KEYS, {"ids": list(new)})}
        size = sum(_ENTRY_BYTES + sum(map(getsizeof, values)) for values in read.values())
        connection.info["series_bytes"] = connection.info.get("series_bytes", 0) + size
        known |= read
    return known


class _New:
    """The number of new series, counted as further ones are stored."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self.total = 0
        self.of_account: Counter[str] = Counter()
        self.of_key: Counter[str] = Counter()
        self.of_key_and_account: Counter[tuple[str, str]] = Counter()
        for account, reported_by, number in rows:
            self.add(account, reported_by, number)

    def add(self, account: str, reported_by: str = "", number: int = 1) -> None:
        self.total += number
        self.of_account[account] += number
        if reported_by:
            self.of_key[reported_by] += number
            self.of_key_and_account[reported_by, account] += number

    def is_key_full(self, reported_by: str, account: str) -> bool:
        """Whether this key has made its share of the series of this account or of all."""
        return (
            self.of_key[reported_by] >= _SHARE_OF_KEY * MAX_REPORTED
            or self.of_key_and_account[reported_by, account] >= _SHARE_OF_KEY * MAX_REPORTED_PER_ACCOUNT
        )


def series_ids(
    connection: DriverConnection,
    wanted: Sequence[Series],
    *,
    reported_by: Mapping[Series, str] | None = None,
) -> dict[Series, int]:
    """The ids of these series; missing ones are inserted, all are marked as seen today.

    Beyond MAX_NEW_PER_ACCOUNT or MAX_NEW new series in an hour, a missing one shares a series with others of its
    number and country; beyond twice MAX_NEW with all others. `reported_by`: the API key whose report makes each, which
    has smaller ceilings. Run outside the batch's transaction.
    """
    known, unseen = _find(connection, wanted)
    if unseen:
        connection.execute(_MARK_SEEN, [unseen])
        known, _ = _find(connection, wanted)  # one that was never seen again may have been pruned meanwhile
    if missing := [key for key in wanted if key not in known]:
        new, keys = _New(connection.execute(_NEW_THIS_HOUR).fetchall()), reported_by or {}
        used = (
            _admit(sorted(missing), new)
            if reported_by is None
            else _admit_reported(sorted(missing), new, keys)
        )
        made_by = {stored: keys.get(key, "") for key, stored in used.items()}
        rows = sorted((*stored, by) for stored, by in made_by.items())
        connection.execute(_INSERT, [text_array(column) for column in zip(*rows, strict=True)])
        made, _ = _find(connection, list(set(used.values())))
        known |= {key: made[stored] for key, stored in used.items()}
    return known


def _find(connection: DriverConnection, wanted: Sequence[Series]) -> tuple[dict[Series, int], list[int]]:
    """The ids of those that exist, and which of the ids were not seen today."""
    columns = [text_array(column) for column in zip(*sorted(wanted), strict=True)]
    rows = connection.execute(_FIND, columns).fetchall()
    return {tuple(row[:-2]): row[-2] for row in rows}, [row[-2] for row in rows if row[-1]]


def _admit(missing: Iterable[Series], new: _New) -> dict[Series, Series]:
    """The series under which each missing one is stored."""
    used = {}
    for key in missing:
        number, account, _, _, country = key
        if new.total < MAX_NEW and new.of_account[account] < MAX_NEW_PER_ACCOUNT:
            used[key] = key
        elif new.total < 2 * MAX_NEW:
            used[key] = (number, account, OTHER, OTHER, country)
        else:
            used[key] = (OTHER, OTHER, OTHER, OTHER, "")
        new.add(account)
    return used


def _admit_reported(
    missing: Iterable[Series], new: _New, reported_by: Mapping[Series, str]
) -> dict[Series, Series]:
    """Return the series under which each missing one of a report is stored.

    Beyond the ceilings its number counts only if webhooks named it.
    """
    used = {}
    for key in missing:
        number, account, _, _, country = key
        by, of_account = reported_by.get(key, ""), new.of_account[account]
        is_key_full = new.is_key_full(by, account)
        if new.total < MAX_REPORTED and of_account < MAX_REPORTED_PER_ACCOUNT and not is_key_full:
            used[key] = key
        elif account:
            is_odd = of_account >= 2 * MAX_REPORTED_PER_ACCOUNT or is_key_full
            used[key] = (number, account, OTHER, OTHER, "" if is_odd else country)
        else:
            used[key] = (OTHER, OTHER, OTHER, OTHER, "")
        if not is_key_full:
            new.add(account, by)
    return used


def is_at_ceiling(connection: Connection, since: datetime, *, reported: bool = False) -> bool:
    """Whether so many series are new since then that further ones, or those of reports, are stored as OTHER."""
    new = _New(connection.execute(_NEW_SINCE, {"since": since}))
    most, most_of_account = (
        (MAX_REPORTED, MAX_REPORTED_PER_ACCOUNT) if reported else (MAX_NEW, MAX_NEW_PER_ACCOUNT)
    )
    if new.total >= most or max(new.of_account.values(), default=0) >= most_of_account:
        return True
    return reported and any(new.is_key_full(*pair) for pair in list(new.of_key_and_account))


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
