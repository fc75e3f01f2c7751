"""What was signed but not understood, kept whole until a fix can read it. Replaying it is pipeline work."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from psycopg.rows import class_row
from sqlalchemy import Select, func, select

from webhook_app.store.postgres.engine import Connection, DriverConnection
from webhook_app.store.schema import quarantine


class Quarantined(Struct, frozen=True, kw_only=True):
    """One item as Meta sent it, and why it was not understood. `became`: '' while it waits."""

    id: int
    received_at: datetime
    reason: str
    field: str
    waba_id: str
    item: str | None
    body: bytes | None
    replayed_at: datetime | None
    became: str


class QuarantineFilters(Struct, frozen=True, kw_only=True):
    """Which items; None and '' choose all. `reason` is a part of the reason, `since` counts and `until` does not."""

    reason: str = ""
    field: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Waiting(Struct, frozen=True, kw_only=True):
    """An item to be read again: the body it is in, alone or as it came."""

    id: int
    received_at: datetime
    webhook: bytes | None
    """None when it was kept by an earlier version, without what stood around it."""


ALL = QuarantineFilters()
_COLUMNS = [quarantine.c[name] for name in Quarantined.__struct_fields__]
_IS_OPEN = quarantine.c.replayed_at.is_(None)


def list_page(
    connection: Connection,
    limit: int,
    *,
    before_id: int | None = None,
    only_open: bool = False,
    chosen: QuarantineFilters = ALL,
) -> list[Quarantined]:
    """The newest first, up to `limit`, those with an id under `before_id`."""
    wanted = _choose(select(*_COLUMNS), chosen).order_by(quarantine.c.id.desc()).limit(limit)
    if before_id is not None:
        wanted = wanted.where(quarantine.c.id < before_id)
    if only_open:
        wanted = wanted.where(_IS_OPEN)
    return [Quarantined(**row) for row in connection.execute(wanted).mappings()]


def get(connection: Connection, item_id: int) -> Quarantined | None:
    """The item with this id, whole."""
    row = connection.execute(select(*_COLUMNS).where(quarantine.c.id == item_id)).mappings().one_or_none()
    return Quarantined(**row) if row else None


def count_open(connection: Connection, chosen: QuarantineFilters = ALL) -> int:
    """How many items wait for a fix."""
    counted = _choose(select(func.count()).select_from(quarantine).where(_IS_OPEN), chosen)
    return int(connection.execute(counted).scalar_one())


def _choose(wanted: Select[Any], chosen: QuarantineFilters) -> Select[Any]:
    if chosen.reason:
        wanted = wanted.where(func.strpos(quarantine.c.reason, chosen.reason) > 0)
    if chosen.field is not None:
        wanted = wanted.where(quarantine.c.field == chosen.field)
    if chosen.since is not None:
        wanted = wanted.where(quarantine.c.received_at >= chosen.since)
    if chosen.until is not None:
        wanted = wanted.where(quarantine.c.received_at < chosen.until)
    return wanted


_CHOSEN = """
FROM quarantine
WHERE replayed_at IS NULL AND id > %(after)s AND strpos(reason, %(reason)s) > 0
  AND (%(field)s::text IS NULL OR field = %(field)s)
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
"""
_WAITING = f"""
SELECT id, received_at, CASE WHEN document <> '' THEN convert_to(document, 'UTF8') ELSE body END AS webhook
{_CHOSEN} ORDER BY id LIMIT %(limit)s
"""


def waiting(connection: DriverConnection, chosen: QuarantineFilters, after: int, limit: int) -> list[Waiting]:
    """Up to `limit` of the items that wait, by id from the first one after `after`."""
    with connection.cursor(row_factory=class_row(Waiting)) as cursor:
        return cursor.execute(_WAITING, asdict(chosen) | {"after": after, "limit": limit}).fetchall()


def count_waiting(connection: DriverConnection, chosen: QuarantineFilters) -> int:
    """How many items `waiting` would give in all."""
    row = connection.execute(f"SELECT count(*) {_CHOSEN}", asdict(chosen) | {"after": 0}).fetchone()
    return int(row[0]) if row else 0


def release(connection: DriverConnection, item_id: int, became: str, now: datetime) -> bool:
    """Let an item leave as what it became; False when it has left already."""
    done = connection.execute(
        "UPDATE quarantine SET replayed_at = %s, became = %s WHERE id = %s AND replayed_at IS NULL",
        [now, became, item_id],
    )
    return done.rowcount == 1


def keep(connection: DriverConnection, item_id: int, reason: str) -> None:
    """Say why an item could not leave this time."""
    connection.execute("UPDATE quarantine SET reason = %s WHERE id = %s", [reason, item_id])
