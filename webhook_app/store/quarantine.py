"""What was signed but not understood, kept whole until a fix can read it. Replaying it is pipeline work."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, func, select

from webhook_app.store.schema import quarantine


class Quarantined(Struct, frozen=True, kw_only=True):
    """One item as Meta sent it, and why it was not understood."""

    id: int
    received_at: datetime
    reason: str
    field: str
    waba_id: str
    item: str | None
    body: bytes | None
    replayed_at: datetime | None


_COLUMNS = [quarantine.c[name] for name in Quarantined.__struct_fields__]
_IS_OPEN = quarantine.c.replayed_at.is_(None)


def list_page(
    connection: Connection, limit: int, *, before_id: int | None = None, only_open: bool = False
) -> list[Quarantined]:
    """The newest first, up to `limit`, those with an id under `before_id`."""
    wanted = select(*_COLUMNS).order_by(quarantine.c.id.desc()).limit(limit)
    if before_id is not None:
        wanted = wanted.where(quarantine.c.id < before_id)
    if only_open:
        wanted = wanted.where(_IS_OPEN)
    return [Quarantined(**row) for row in connection.execute(wanted).mappings()]


def count_open(connection: Connection) -> int:
    """How many items wait for a fix."""
    return connection.execute(select(func.count()).where(_IS_OPEN).select_from(quarantine)).scalar_one()
