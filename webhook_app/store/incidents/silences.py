"""Silences as rows: what they match, their author and their time. They are kept as a record after they end."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.postgres.engine import Connection


class Silence(Struct, frozen=True, kw_only=True):
    """Matching alerts send no notifications from `since` to before `until`, or until somebody ends the silence."""

    id: int
    matchers: dict[str, str | int]
    author: str
    comment: str
    since: datetime
    until: datetime
    ended_at: datetime | None = None
    ended_by: str = ""

    def is_active(self, now: datetime) -> bool:
        return self.ended_at is None and self.since <= now < self.until


_COLUMNS = ", ".join(Silence.__struct_fields__)
_ADD = text(
    "INSERT INTO silences (matchers, author, comment, since, until)"
    f" VALUES (:matchers, :author, :comment, :since, :until) RETURNING {_COLUMNS}"
).bindparams(bindparam("matchers", type_=JSONB))
_END = text("""
UPDATE silences SET ended_at = greatest(CAST(:now AS timestamptz), since), ended_by = :by
WHERE id = :id AND ended_at IS NULL AND until > :now
""")
_GET = text(f"SELECT {_COLUMNS} FROM silences WHERE id = :id")
_ACTIVE = text(f"""
SELECT {_COLUMNS} FROM silences WHERE until > :now AND since <= :now AND ended_at IS NULL ORDER BY id
""")


def add(
    connection: Connection,
    *,
    matchers: Mapping[str, str | int],
    author: str,
    comment: str,
    since: datetime,
    until: datetime,
) -> Silence:
    """Store a new silence."""
    values = {
        "matchers": dict(matchers),
        "author": author,
        "comment": comment,
        "since": since,
        "until": until,
    }
    return Silence(**connection.execute(_ADD, values).mappings().one())


def end(connection: Connection, silence_id: int, by: str, now: datetime) -> Silence | None:
    """End the silence now, unless it has ended already; returns it, or None if there is none."""
    connection.execute(_END, {"id": silence_id, "by": by, "now": now})
    return get(connection, silence_id)


def get(connection: Connection, silence_id: int) -> Silence | None:
    """The silence with this id, active or not."""
    row = connection.execute(_GET, {"id": silence_id}).mappings().one_or_none()
    return Silence(**row) if row else None


def active(connection: Connection, now: datetime) -> list[Silence]:
    """The active silences, oldest first."""
    return [Silence(**row) for row in connection.execute(_ACTIVE, {"now": now}).mappings()]


def list_page(
    connection: Connection, limit: int, before_id: int | None, active_at: datetime | None = None
) -> list[Silence]:
    """A page of silences with an id below `before_id`, newest first; with `active_at`, only those not over then."""
    conditions = ["true"]
    conditions += ["id < :before_id"] if before_id is not None else []
    conditions += ["until > :active_at AND ended_at IS NULL"] if active_at is not None else []
    statement = (
        f"SELECT {_COLUMNS} FROM silences WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit"
    )
    values = {"before_id": before_id, "active_at": active_at, "limit": limit}
    return [Silence(**row) for row in connection.execute(text(statement), values).mappings()]
