"""Creates partitions ahead and drops old ones. Old rows in a default partition are deleted in batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text

from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection, driver
from webhook_app.store.schema import PARTITIONED

_TIME_COLUMN = {"deliveries": "received_at", "settled_messages": "sent_at"}
_STEPS = PARTITIONED | {"settled_messages": "day"}
_BATCH = 5_000
_PARTITIONS = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(:table)")
_PLAN_ONCE = text("SET LOCAL plan_cache_mode = force_generic_plan")
_PLAN_AUTO = text("SET LOCAL plan_cache_mode = auto")


def ensure(connection: Connection, now: datetime, *, days_back: int = 8, days_ahead: int = 7) -> list[str]:
    """Create missing partitions from `days_back` days ago to `days_ahead` days from now; returns their names.

    Call it in a transaction: a second caller waits until the first has committed.
    """
    locks.hold_until_commit(connection, locks.PARTITIONS_LOCK)
    made = []
    for table, step in PARTITIONED.items():
        back = 1 if table in _TIME_COLUMN else days_back  # raw bodies are always stored in today's
        first, last = now - timedelta(days=back), now + timedelta(days=days_ahead)
        existing = {name for name, _ in partitions(connection, table)}
        start = _floor(first.date(), step)
        while start <= last.date():
            end = _next(start, step)
            name = f"{table}_{start:%Y%m%d}" if step == "day" else f"{table}_{start:%Y%m}"
            if name not in existing:
                _create(connection, table, name, start, end)
                made.append(name)
            start = end
    return made


def ensure_day(connection: Connection, table: str, day: date) -> None:
    """Create the partition of one day unless it exists."""
    locks.hold_until_commit(connection, locks.PARTITIONS_LOCK)
    if day not in {start for _, start in partitions(connection, table)}:
        _create(connection, table, f"{table}_{day:%Y%m%d}", day, _next(day, "day"))


def rebuild_day(connection: Connection, table: str, day: date) -> None:
    """Replace the partition of a day by a copy without the space of deleted rows.

    Writers of this day wait while the rows are copied, readers and the other days only while the two change places.
    """
    locks.hold_until_commit(connection, locks.PARTITIONS_LOCK)
    name, column = f"{table}_{day:%Y%m%d}", _TIME_COLUMN.get(table, "occurred_at")
    end = _next(day, "day")
    bounds = f"FOR VALUES FROM ('{day:%Y-%m-%d} 00:00+00') TO ('{end:%Y-%m-%d} 00:00+00')"
    for statement in (
        "SET LOCAL statement_timeout = '10min'",
        f'LOCK TABLE "{name}" IN SHARE ROW EXCLUSIVE MODE',
        f'CREATE TABLE "{name}_new" (LIKE {table} INCLUDING ALL)',
        f'INSERT INTO "{name}_new" SELECT * FROM "{name}"',
        # With this constraint the copy is not read again when it is attached.
        f"""ALTER TABLE "{name}_new" ADD CONSTRAINT of_the_day
            CHECK ({column} >= '{day:%Y-%m-%d} 00:00+00' AND {column} < '{end:%Y-%m-%d} 00:00+00')""",
        f'ALTER TABLE {table} DETACH PARTITION "{name}"',
        f'DROP TABLE "{name}"',
        f'ALTER TABLE "{name}_new" RENAME TO "{name}"',
        f'ALTER TABLE {table} ATTACH PARTITION "{name}" {bounds}',
        f'ALTER TABLE "{name}" DROP CONSTRAINT of_the_day',
    ):
        connection.execute(text(statement))


def partitions(connection: Connection, table: str) -> list[tuple[str, date]]:
    """The (name, first day) of each partition of `table` except the default one, oldest first."""
    found = connection.execute(_PARTITIONS, {"table": table}).scalars()
    named = ((name, name.removeprefix(f"{table}_")) for name in found)
    return sorted((name, _day(stamp)) for name, stamp in named if stamp.isdigit())


@contextmanager
def planned_once(connection: Connection) -> Iterator[None]:
    """Plan prepared statements once for all values instead of for each execution.

    Planning a lookup in a hundred partitions costs several times the lookup. The driver prepares frequent statements.
    In autocommit mode the connection's own setting applies, see store/postgres/engine.
    """
    if driver(connection).autocommit:
        yield
        return
    connection.execute(_PLAN_ONCE)
    yield
    connection.execute(_PLAN_AUTO)  # an error ends the transaction and the setting


def drop_before(connection: Connection, table: str, cutoff: date) -> list[str]:
    """Drop all partitions that end at or before `cutoff`; returns their names."""
    step = _STEPS[table]
    gone = [name for name, start in partitions(connection, table) if _next(start, step) <= cutoff]
    for name in gone:
        connection.execute(text(f'DROP TABLE "{name}"'))
    return gone


def delete_strays(connection: Connection, table: str, cutoff: date) -> int:
    """Delete up to one batch of rows older than `cutoff` from the default partition; returns how many."""
    column = _TIME_COLUMN.get(table, "occurred_at")
    statement = text(
        f"DELETE FROM {table}_default WHERE ctid = ANY (ARRAY("
        f"SELECT ctid FROM {table}_default WHERE {column} < :cutoff LIMIT {_BATCH}))"
    )
    cutoff_at = datetime(cutoff.year, cutoff.month, cutoff.day, tzinfo=UTC)
    return connection.execute(statement, {"cutoff": cutoff_at}).rowcount


def _create(connection: Connection, table: str, name: str, start: date, end: date) -> None:
    """Create a table, move rows into it that are in the default partition, then attach it.

    Attaching takes a lock that does not block readers and writers of the other partitions.
    """
    column = _TIME_COLUMN.get(table, "occurred_at")
    bounds = f"('{start:%Y-%m-%d} 00:00+00') TO ('{end:%Y-%m-%d} 00:00+00')"
    connection.execute(text(f'CREATE TABLE "{name}" (LIKE {table} INCLUDING ALL)'))
    stray = f"{column} >= '{start:%Y-%m-%d} 00:00+00' AND {column} < '{end:%Y-%m-%d} 00:00+00'"
    if connection.execute(text(f"SELECT EXISTS (SELECT FROM {table}_default WHERE {stray})")).scalar_one():
        connection.execute(text(f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE"))
        connection.execute(
            text(
                f"WITH moved AS (DELETE FROM {table}_default WHERE {stray} RETURNING *)"
                f' INSERT INTO "{name}" SELECT * FROM moved'
            )
        )
    connection.execute(text(f'ALTER TABLE {table} ATTACH PARTITION "{name}" FOR VALUES FROM {bounds}'))


def _floor(day: date, step: str) -> date:
    return day if step == "day" else day.replace(day=1)


def _next(start: date, step: str) -> date:
    if step == "day":
        return start + timedelta(days=1)
    return (start.replace(day=1) + timedelta(days=32)).replace(day=1)


def _day(stamp: str) -> date:
    year, month = int(stamp[:4]), int(stamp[4:6])
    return date(year, month, int(stamp[6:8]) if len(stamp) == 8 else 1)
