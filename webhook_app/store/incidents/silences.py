"""Silences as rows: what they match, who wants them and until when. They stay as a record when they are over."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct
from sqlalchemy import func, insert, select, update

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.schema import silences


class Silence(Struct, frozen=True, kw_only=True):
    """No news of alerts that match, from `since` to before `until`, or to when somebody ended it."""

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


_COLUMNS = [silences.c[name] for name in Silence.__struct_fields__]


def add(
    connection: Connection,
    *,
    matchers: Mapping[str, str | int],
    author: str,
    comment: str,
    since: datetime,
    until: datetime,
) -> Silence:
    """Keep a new silence."""
    values = {
        "matchers": dict(matchers),
        "author": author,
        "comment": comment,
        "since": since,
        "until": until,
    }
    row = connection.execute(insert(silences).values(values).returning(*_COLUMNS)).mappings().one()
    return Silence(**row)


def end(connection: Connection, silence_id: int, by: str, now: datetime) -> Silence | None:
    """End it now, unless it is over; the first to end it stays. None when there is none."""
    statement = (
        update(silences)
        .where(silences.c.id == silence_id, silences.c.ended_at.is_(None), silences.c.until > now)
        .values(ended_at=func.greatest(now, silences.c.since), ended_by=by)
    )
    connection.execute(statement)
    return get(connection, silence_id)


def get(connection: Connection, silence_id: int) -> Silence | None:
    """The silence with this id, in force or over."""
    row = connection.execute(select(*_COLUMNS).where(silences.c.id == silence_id)).mappings().one_or_none()
    return Silence(**row) if row else None


def active(connection: Connection, now: datetime) -> list[Silence]:
    """Those in force, oldest first."""
    wanted = (
        select(*_COLUMNS)
        .where(silences.c.until > now, silences.c.since <= now, silences.c.ended_at.is_(None))
        .order_by(silences.c.id)
    )
    return [Silence(**row) for row in connection.execute(wanted).mappings()]


def list_page(
    connection: Connection, limit: int, before_id: int | None, active_at: datetime | None = None
) -> list[Silence]:
    """The newest first, those with an id under `before_id`; with `active_at` those in force or to come then."""
    wanted = select(*_COLUMNS).order_by(silences.c.id.desc()).limit(limit)
    if before_id is not None:
        wanted = wanted.where(silences.c.id < before_id)
    if active_at is not None:
        wanted = wanted.where(silences.c.until > active_at, silences.c.ended_at.is_(None))
    return [Silence(**row) for row in connection.execute(wanted).mappings()]
