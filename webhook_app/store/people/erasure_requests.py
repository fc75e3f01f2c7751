"""The record of erasures: when and by whom. The person's keys are kept only until tables and archive are processed.

What the batch writers call uses the driver: it runs on the connection of the ingest statement.
"""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct, json
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection, DriverConnection
from webhook_app.whatsapp.people.traces import Traces


class Erasure(Struct, frozen=True, kw_only=True):
    """An erasure that is not finished: of the tables (`taken_out`), then of the archive up to a partition (`place`)."""

    id: int
    requested_at: datetime
    actor: str
    keys: tuple[str, ...]
    message_ids: tuple[str, ...]
    taken_out: bool = False
    place: str = ""


_ADD = text("""
INSERT INTO erasures (requested_at, actor, keys, message_ids, taken_out)
VALUES (:now, :actor, :keys, ARRAY(SELECT jsonb_array_elements_text(CAST(:ids AS jsonb))), false) RETURNING id
""")
_UNFINISHED = text("""
SELECT id, requested_at, actor, keys, message_ids, taken_out, place FROM erasures WHERE finished_at IS NULL ORDER BY id
""")
_SET_TAKEN_OUT = text("UPDATE erasures SET taken_out = true WHERE id = :id")
_SAVE_PROGRESS = text("UPDATE erasures SET place = :place WHERE id = :id")
_FINISH = text("""
UPDATE erasures SET finished_at = :now, keys = '{}', message_ids = '{}', place = '' WHERE id = :id
""")
_LOCK = text("LOCK TABLE erasures IN EXCLUSIVE MODE")
_LOCK_OUT = "LOCK TABLE erasures IN ROW SHARE MODE"
_ANY_UNFINISHED = "SELECT EXISTS (SELECT FROM erasures WHERE finished_at IS NULL)"


def lock(connection: Connection) -> None:
    """Wait for transactions that called `lock_out`, and let none begin, until the transaction ends."""
    connection.execute(_LOCK)


def lock_out(connection: DriverConnection) -> None:
    """Let no erasure begin until the transaction ends."""
    connection.execute(_LOCK_OUT)


def add(connection: Connection, traces: Traces, actor: str, now: datetime) -> Erasure:
    """Record an erasure that begins."""
    keys, ids = traces.keys, tuple(sorted(traces.message_ids))
    # As an array of the driver, 100 000 ids would hold the process for 0.2 s.
    encoded = json.encode(ids).decode()
    values = {"now": now, "actor": actor, "keys": list(keys), "ids": encoded}
    erasure_id = connection.execute(_ADD, values).scalar_one()
    return Erasure(id=erasure_id, requested_at=now, actor=actor, keys=keys, message_ids=ids)


def unfinished(connection: Connection) -> list[Erasure]:
    """Erasures that are not finished, oldest first."""
    return [
        Erasure(**{**row, "keys": tuple(row["keys"]), "message_ids": tuple(row["message_ids"])})
        for row in connection.execute(_UNFINISHED).mappings()
    ]


def set_taken_out(connection: Connection, erasure_id: int) -> None:
    """Record that the person is in no table but the archive."""
    connection.execute(_SET_TAKEN_OUT, {"id": erasure_id})


def save_progress(connection: Connection, erasure_id: int, place: str) -> None:
    """Record that the archive is processed up to this partition."""
    connection.execute(_SAVE_PROGRESS, {"id": erasure_id, "place": place})


def finish(connection: Connection, erasure_id: int, now: datetime) -> None:
    """Record that the archive is processed, and delete the person's keys from the erasure."""
    connection.execute(_FINISH, {"id": erasure_id, "now": now})


def any_unfinished(connection: DriverConnection) -> bool:
    """Whether the archive may still contain an erased person."""
    row = connection.execute(_ANY_UNFINISHED).fetchone()
    return row is not None and bool(row[0])


def notify_erased(connection: Connection) -> None:
    """With the commit, make the listening processes clear their caches of people."""
    connection.execute(text("NOTIFY erased"))


def listen(connection: DriverConnection, forget: Callable[[], None]) -> None:
    """Call `forget` whenever a notification of an erasure arrives with a statement's result; see also `poll`."""
    connection.add_notify_handler(lambda _: forget())
    connection.execute("LISTEN erased")


def poll(connection: DriverConnection, forget: Callable[[], None]) -> None:
    """Call `forget` if a person was erased since the last statement. Costs no round trip."""
    connection.pgconn.consume_input()
    while connection.pgconn.notifies():
        forget()
