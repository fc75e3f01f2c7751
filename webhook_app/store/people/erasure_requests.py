"""The record of erasures: that somebody was erased, when and by whom. Whom, only until the archive is done."""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection, DriverConnection
from webhook_app.whatsapp.people.traces import Traces


class Erasure(Struct, frozen=True, kw_only=True):
    """An erasure whose archive is not done; `place` is the last partition that is."""

    id: int
    keys: tuple[str, ...]
    message_ids: tuple[str, ...]
    place: str


def add(connection: Connection, traces: Traces, actor: str, now: datetime) -> int:
    """Note whom the archive has still to be searched for; returns the erasure's id."""
    statement = text(
        "INSERT INTO erasures (requested_at, actor, keys, message_ids) VALUES (:now, :actor, :keys, :ids) RETURNING id"
    )
    values = {"now": now, "actor": actor, "keys": list(traces.keys), "ids": sorted(traces.message_ids)}
    return int(connection.execute(statement, values).scalar_one())


def unfinished(connection: Connection) -> list[Erasure]:
    """Erasures whose archive is not done, the oldest first."""
    rows = connection.execute(
        text("SELECT id, keys, message_ids, place FROM erasures WHERE finished_at IS NULL ORDER BY id")
    )
    return [
        Erasure(id=r.id, keys=tuple(r.keys), message_ids=tuple(r.message_ids), place=r.place) for r in rows
    ]


def reach(connection: Connection, erasure_id: int, place: str) -> None:
    """The archive is done up to this partition."""
    connection.execute(
        text("UPDATE erasures SET place = :place WHERE id = :id"), {"id": erasure_id, "place": place}
    )


def finish(connection: Connection, erasure_id: int, now: datetime) -> None:
    """The archive is done: what is left of the erasure is that there was one, when, and by whom."""
    statement = (
        "UPDATE erasures SET finished_at = :now, keys = '{}', message_ids = '{}', place = '' WHERE id = :id"
    )
    connection.execute(text(statement), {"id": erasure_id, "now": now})


def are_open(connection: DriverConnection) -> bool:
    """Whether the archive may still hold somebody who was to be erased."""
    row = connection.execute("SELECT EXISTS (SELECT FROM erasures WHERE finished_at IS NULL)").fetchone()
    return row is not None and bool(row[0])


def announce(connection: Connection) -> None:
    """With the commit, have everybody who listens forget whom they remember."""
    connection.execute(text("NOTIFY erased"))


def listen(connection: DriverConnection, forget: Callable[[], None]) -> None:
    """From now on call `forget` when an erasure is heard of while a statement runs; `hear` asks in between."""
    connection.add_notify_handler(lambda _: forget())
    connection.execute("LISTEN erased")


def hear(connection: DriverConnection, forget: Callable[[], None]) -> None:
    """Call `forget` when somebody was erased since the last statement. Costs no round trip."""
    connection.pgconn.consume_input()
    while connection.pgconn.notifies():
        forget()
