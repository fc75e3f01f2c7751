"""Who did what: written before it is done, completed after. Decides nothing about who may."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_INSERT = text("""
INSERT INTO audit (at, actor, role, via, action, object, contact, outcome)
VALUES (:at, :actor, :role, :via, :action, :object, :contact, :outcome) RETURNING id
""")
_FINISH = text("UPDATE audit SET outcome = :outcome WHERE id = :id")
_LIST = text("""
SELECT id, at, actor, role, via, action, object, contact, outcome FROM audit
WHERE (CAST(:before AS bigint) IS NULL OR id < :before) AND (:actor = '' OR actor = :actor)
ORDER BY id DESC LIMIT :limit
""")


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One thing somebody did. `outcome`: done, refused, or empty when it was begun and did not come to its end."""

    id: int = 0
    at: datetime
    actor: str
    role: str
    via: str
    action: str
    object: str = ""
    contact: str = ""
    outcome: str = ""


def insert(connection: Connection, entry: AuditEntry) -> int:
    """Write it down; returns its id."""
    values = {name: getattr(entry, name) for name in AuditEntry.__struct_fields__ if name != "id"}
    return int(connection.execute(_INSERT, values).scalar_one())


def finish(connection: Connection, entry_id: int, outcome: str) -> None:
    """Say how it ended."""
    connection.execute(_FINISH, {"id": entry_id, "outcome": outcome})


def list_page(
    connection: Connection, limit: int, before: int | None = None, actor: str = ""
) -> list[AuditEntry]:
    """The latest first; of one person, when named."""
    rows = connection.execute(_LIST, {"limit": limit, "before": before, "actor": actor})
    return [AuditEntry(**row) for row in rows.mappings()]
