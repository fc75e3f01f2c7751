"""Erasing a person: at once from every table, then from the raw archive, a partition at a time.

1. One transaction takes the person out of every table, and notes whom the archive has to be searched for. Of an
   opt-out a mark stays, by which only a check for that very contact is answered.
2. Each row of the archive that shows the person is packed anew without their items, in a transaction of its own.
3. When every partition is done, the note loses the person: what stays is that somebody was erased, when and by whom.
What is cut off goes on with the next run. While a note is open nothing is replayed: it could bring the person back.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import structlog
import zstandard
from msgspec import Struct

from webhook_app.store.people import contacts, erased_opt_outs, erasure, erasure_requests
from webhook_app.store.people.erasure_requests import Erasure
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection, DriverConnection, Engine
from webhook_app.store.postgres.locks import REPLAY_LOCK
from webhook_app.store.receiving import archive
from webhook_app.store.suppressions import changes, suppressions
from webhook_app.store.suppressions.changes import SuppressionChange
from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.people.traces import Traces

log = structlog.get_logger()

AT_ONCE = 100
"""Rows of the archive, each the bodies of one commit, that are searched before the caller is answered."""

Connect = Callable[[], DriverConnection]

_EVER = datetime(2000, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class Erased(Struct, frozen=True, kw_only=True):
    """What was done. `opted_out`: the person did not want to be written to; checks go on refusing."""

    id: int
    rows: dict[str, int]
    opted_out: bool
    archive_done: bool


def erase(
    engine: Engine, connect: Connect, contact: str, *, actor: str, now: datetime, at_once: int = AT_ONCE
) -> Erased:
    """Erase whoever this key belongs to, under all keys linked to it."""
    with engine.begin() as connection:
        keys = contacts.keys_of(connection, contact)
        traces = Traces(keys, erasure.message_ids(connection, Traces(keys)))
        standing = suppressions.of_contacts(connection, traces.keys)
        wishes = [(row.phone_number_id, row.scope) for row in standing if row.reason == "opted_out"]
        erased_opt_outs.keep(connection, traces.keys, wishes)
        rows = erasure.take_out(connection, traces, now)
        rows["suppression_changes"] = _tell(connection, traces, actor, now)
        erasure_id = erasure_requests.add(connection, traces, actor, now)
        erasure_requests.announce(connection)
    sweep(engine, connect, now, rows=at_once)
    with engine.connect() as connection:
        done = erasure_id not in {left.id for left in erasure_requests.unfinished(connection)}
    log.info("a contact was erased", erasure=erasure_id, rows=sum(rows.values()), archive_done=done)
    return Erased(id=erasure_id, rows=rows, opted_out=bool(wishes), archive_done=done)


def _tell(connection: Connection, traces: Traces, actor: str, now: datetime) -> int:
    """One line of the feed says that somebody was erased, so that copies are fetched anew; it does not say who."""
    suppressions.lock_changes(connection)
    line = SuppressionChange(
        seq=0,
        at=now,
        action="erase",
        contact="",
        phone_number_id="",
        scope="",
        reason="",
        code=NO_CODE,
        until=None,
        times=1,
        actor=actor,
        note="",
        evidence=(),
    )
    changes.record(connection, [line])
    return erasure.take_out_changes(connection, traces)


def sweep(
    engine: Engine,
    connect: Connect,
    now: datetime,
    *,
    rows: int | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> bool:
    """Take everybody whose erasure is open out of the archive; False when something is left to the next run.

    Looks at no more than `rows` rows, and stops early when `go_on` says so or a replay is under way.
    """
    with engine.connect() as connection:
        waiting = erasure_requests.unfinished(connection)
    if not waiting:
        return True
    own = connect()
    try:
        if not locks.take(own, REPLAY_LOCK):
            return False
        try:
            return _Sweep(engine, own, now, rows, go_on).run(waiting)
        finally:
            locks.give_back(own, REPLAY_LOCK)
    finally:
        own.close()


class _Sweep:
    """One run: what is left of its budget."""

    def __init__(
        self,
        engine: Engine,
        own: DriverConnection,
        now: datetime,
        rows: int | None,
        go_on: Callable[[], bool],
    ) -> None:
        self._engine, self._own, self._now = engine, own, now
        self._left = rows
        self._go_on = go_on

    def run(self, waiting: Sequence[Erasure]) -> bool:
        return all(self._one(each) for each in waiting)

    def _one(self, each: Erasure) -> bool:
        traces = Traces(each.keys, each.message_ids)
        for partition in archive.partition_names(self._own):
            if partition <= each.place:
                continue
            for place in archive.places(self._own, _EVER, _NEVER, only=partition):
                if not self._may_go_on():
                    return False
                self._search(place, traces)
            with self._engine.begin() as connection:
                erasure_requests.reach(connection, each.id, partition)
        with self._engine.begin() as connection:
            erasure_requests.finish(connection, each.id, self._now)
        return True

    def _search(self, place: archive.ArchivePosition, traces: Traces) -> None:
        with self._own.transaction():
            try:
                kept = archive.read(self._own, place, lock=True)
            except (zstandard.ZstdError, msgspec.DecodeError):
                archive.rewrite(self._own, place, [])  # what nobody can read may hold anybody
                return
            if kept is None:
                return
            found = [traces.without(body) for body in kept.bodies]
            left = [body for body in found if body is not None]
            if left != kept.bodies:
                archive.rewrite(self._own, place, left)

    def _may_go_on(self) -> bool:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                return False
        return self._go_on()
