"""The audit log: an entry is written before an action and completed after it."""

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
    """One action. `outcome`: done, refused, or empty if it did not complete."""

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
    """Store an entry; returns its id."""
    values = {name: getattr(entry, name) for name in AuditEntry.__struct_fields__ if name != "id"}
    return int(connection.execute(_INSERT, values).scalar_one())


def finish(connection: Connection, entry_id: int, outcome: str) -> None:
    """Record the outcome of an action."""
    connection.execute(_FINISH, {"id": entry_id, "outcome": outcome})


def list_page(
    connection: Connection, limit: int, before: int | None = None, actor: str = ""
) -> list[AuditEntry]:
    """A page of entries with an id below `before`, newest first; with `actor`, only theirs."""
    rows = connection.execute(_LIST, {"limit": limit, "before": before, "actor": actor})
    return [AuditEntry(**row) for row in rows.mappings()]
