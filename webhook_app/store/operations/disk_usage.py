"""Disk usage of the database and of each table, with Postgres' own row estimates. Reads no table."""

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_SIZES = text("""
WITH held AS (
  SELECT c.oid, coalesce(p.relname, c.relname) AS name, p.oid IS NOT NULL AS is_part, c.reltuples
  FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
  WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
)
SELECT name, count(*) FILTER (WHERE is_part) AS partitions, sum(greatest(reltuples, 0))::bigint AS rows,
       sum(pg_total_relation_size(oid))::bigint AS bytes
FROM held GROUP BY name ORDER BY bytes DESC, name
""")


_DATABASE_SIZE = text("SELECT pg_database_size(current_database())")


class TableSize(Struct, frozen=True):
    """A table with its indexes and partitions (0: none). `rows` is the estimate of the last vacuum or analyze."""

    name: str
    partitions: int
    rows: int
    bytes: int


def table_sizes(connection: Connection) -> list[TableSize]:
    """The sizes of all tables, largest first."""
    return [TableSize(*row) for row in connection.execute(_SIZES)]


def database_bytes(connection: Connection) -> int:
    """The size of this database on disk, including indexes."""
    return int(connection.execute(_DATABASE_SIZE).scalar_one())
