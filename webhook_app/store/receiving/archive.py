"""The raw archive: the bodies of one commit in one row, compressed together. Neither parses nor decides.

Bodies repeat each other nearly word for word: together they shrink to a sixth, which saves more in the database
(log, table and socket) than compressing costs. Rows that are not packed hold one body as it came.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import zstandard

from webhook_app.store.postgres.engine import DriverConnection

_LEVEL = 1  # measured: 0.4 µs per status at 100 statuses per POST; higher levels cost more than they save
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


def pack(bodies: Sequence[bytes]) -> bytes:
    """One value that holds all of these bodies, byte for byte and in their order."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(_encode(bodies))


def unpack(body: bytes, *, packed: bool) -> list[bytes]:
    """The bodies of one row of `deliveries`. Raises ZstdError or DecodeError when the row is damaged."""
    return _decode(zstandard.ZstdDecompressor().decompress(body)) if packed else [body]


class ArchivePosition(NamedTuple):
    """Where a row of the archive is: the partition and the row's address in it."""

    partition: str
    row: str


class ArchivedBody(NamedTuple):
    """The bodies of one commit."""

    received_at: datetime
    bodies: list[bytes]


_BLOCKS = 64  # how much of a partition is looked at in one go

_PARTITIONS = """
SELECT inhrelid::regclass::text, pg_relation_size(inhrelid) / current_setting('block_size')::bigint AS blocks
FROM pg_inherits WHERE inhparent = 'deliveries'::regclass ORDER BY 1
"""


def partition_names(connection: DriverConnection) -> list[str]:
    """Every partition of the archive, oldest first; the default one is the last."""
    return [row[0] for row in connection.execute(_PARTITIONS)]


def places(
    connection: DriverConnection, since: datetime, until: datetime, *, only: str | None = None
) -> Iterator[ArchivePosition]:
    """Every row received from `since` to before `until`, a few at a time, without holding anything.

    `only`: in this partition. A row that is written anew meanwhile may come twice or not at all.
    """
    for partition, blocks in connection.execute(_PARTITIONS).fetchall():
        if only not in (None, partition):
            continue
        within = [since, until]
        asked = f"SELECT EXISTS (SELECT FROM {partition} WHERE received_at >= %s AND received_at < %s)"
        if not _one(connection, asked, within)[0]:
            continue
        for block in range(0, blocks, _BLOCKS):
            rows = connection.execute(
                f"SELECT ctid::text FROM {partition} WHERE ctid >= %s::tid AND ctid < %s::tid"
                " AND received_at >= %s AND received_at < %s",
                [f"({block},0)", f"({block + _BLOCKS},0)", *within],
            ).fetchall()
            yield from (ArchivePosition(partition, row[0]) for row in rows)


def count(connection: DriverConnection, since: datetime, until: datetime) -> int:
    """How many rows were received in that time."""
    asked = "SELECT count(*) FROM deliveries WHERE received_at >= %s AND received_at < %s"
    return int(_one(connection, asked, [since, until])[0])


def read(connection: DriverConnection, place: ArchivePosition, *, lock: bool = False) -> ArchivedBody | None:
    """The bodies there; None when the row has gone since. Raises ZstdError or DecodeError when it is damaged."""
    locked = "FOR UPDATE" if lock else ""
    statement = f"SELECT received_at, body, packed FROM {place.partition} WHERE ctid = %s::tid {locked}"
    row = connection.execute(statement, [place.row]).fetchone()
    return None if row is None else ArchivedBody(row[0], unpack(bytes(row[1]), packed=row[2]))


def rewrite(connection: DriverConnection, place: ArchivePosition, bodies: Sequence[bytes]) -> None:
    """Keep only these bodies there; with none the row goes."""
    if bodies:
        statement = f"UPDATE {place.partition} SET body = %s, packed = true WHERE ctid = %s::tid"
        connection.execute(statement, [pack(bodies), place.row])
    else:
        connection.execute(f"DELETE FROM {place.partition} WHERE ctid = %s::tid", [place.row])


def _one(connection: DriverConnection, statement: str, values: list[Any]) -> Any:
    return connection.execute(statement, values).fetchone()
