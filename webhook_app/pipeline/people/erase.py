"""Erases a person from the tables (see erase_rows), then from the raw archive, one partition after the other.

The first transaction records whom to erase. Each archive row that names the person is rewritten in a transaction of its
own. Then the record loses the person. The next run continues an interrupted one; nothing is replayed before, as that
could restore them.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
import zstandard
from msgspec import Struct

from webhook_app.pipeline.people.erase_rows import erase_rows, pause
from webhook_app.store.people import erased_messages, erasure_requests, former_numbers
from webhook_app.store.people.erasure_requests import Erasure
from webhook_app.store.people.free_text import NOT_SEARCHED
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import DriverConnection, Engine
from webhook_app.store.postgres.locks import REPLAY_LOCK
from webhook_app.store.receiving import archive
from webhook_app.whatsapp.people.traces import Traces

log = structlog.get_logger()

ROWS_BEFORE_ANSWER = 100
"""Rows of the archive, each with the bodies of one commit, that are searched before the caller gets an answer."""

Connect = Callable[[], DriverConnection]

_INTERRUPTED_AFTER = timedelta(minutes=15)
"""Erasures of the tables that take longer are done twice, which harms nothing."""
_EVER = datetime(2000, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


class Erased(Struct, frozen=True, kw_only=True):
    """The result. `opted_out`: the person had opted out, and checks still refuse messages to them."""

    id: int
    rows: dict[str, int]
    opted_out: bool
    archive_done: bool
    not_searched: tuple[str, ...] = NOT_SEARCHED
    """Where the person may still be named."""


def erase(
    engine: Engine,
    connect: Connect,
    contact: str,
    *,
    actor: str,
    now: datetime,
    at_once: int = ROWS_BEFORE_ANSWER,
) -> Erased:
    """Erase the person with this key, under all keys linked to it.

    Of a number that somebody else uses now, what the person wrote and got there before goes, and the rest stays.
    """
    with engine.begin() as connection:
        erasure_requests.lock(connection)
        keys, shared = former_numbers.keys_to_erase(connection, contact)
        ids = erased_messages.message_ids(connection, Traces(keys))
        traces = Traces(keys, [*ids, *former_numbers.message_ids(connection, shared)])
        taken = former_numbers.take_out(connection, shared)
        erasure = erasure_requests.add(connection, traces, actor, now)
    rows, opted_out = erase_rows(engine, erasure, now)
    rows.update(taken)
    erase_from_archive(engine, connect, now, rows=at_once)
    with engine.connect() as connection:
        done = erasure.id not in {each.id for each in erasure_requests.unfinished(connection)}
    log.info("a contact was erased", erasure=erasure.id, rows=sum(rows.values()), archive_done=done)
    return Erased(id=erasure.id, rows=dict(rows), opted_out=opted_out, archive_done=done)


def continue_erasures(
    engine: Engine, connect: Connect, now: datetime, *, go_on: Callable[[], bool] = lambda: True
) -> bool:
    """Continue interrupted erasures, and erase from the archive; False when something is left for the next run."""
    with engine.connect() as connection:
        waiting = erasure_requests.unfinished(connection)
    for each in waiting:
        if not each.taken_out and each.requested_at <= now - _INTERRUPTED_AFTER:
            if not go_on():
                return False
            erase_rows(engine, each, now)
            log.info("an interrupted erasure was continued", erasure=each.id)
    return erase_from_archive(engine, connect, now, go_on=go_on)


def erase_from_archive(
    engine: Engine,
    connect: Connect,
    now: datetime,
    *,
    rows: int | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> bool:
    """Erase every person who is in no table any more from the archive; False when something is left for the next run.

    Searches at most `rows` rows, and stops early when `go_on` returns False or while a replay runs.
    """
    with engine.connect() as connection:
        unfinished = erasure_requests.unfinished(connection)
    waiting = [each for each in unfinished if each.taken_out]
    if not waiting:
        return not unfinished
    own = connect()
    try:
        if not locks.try_acquire(own, REPLAY_LOCK):
            return False
        try:
            locks.end_session_if_silent(own, locks.SILENT_SECONDS)
            return _ArchiveRun(engine, own, now, rows, go_on).run(waiting) and waiting == unfinished
        finally:
            locks.release(own, REPLAY_LOCK)
    finally:
        own.close()


class _ArchiveRun:
    """One run with the rest of its budget of rows."""

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
        return all(self._erase(each) for each in waiting)

    def _erase(self, each: Erasure) -> bool:
        traces = Traces(each.keys, each.message_ids)
        for partition in archive.partition_names(self._own):
            if partition <= each.place:
                continue
            for place in archive.places(self._own, _EVER, _NEVER, only=partition):
                if not self._may_go_on():
                    return False
                self._rewrite(place, traces)
            with self._engine.begin() as connection:
                erasure_requests.save_progress(connection, each.id, partition)
        with self._engine.begin() as connection:
            erasure_requests.finish(connection, each.id, self._now)
        return True

    def _rewrite(self, place: archive.ArchivePosition, traces: Traces) -> None:
        with self._own.transaction():
            try:
                kept = archive.read(self._own, place, lock=True)
            except (zstandard.ZstdError, msgspec.DecodeError):
                archive.rewrite(self._own, place, [])  # it cannot be read, and so may hold anybody
                return
            if kept is None:
                return
            bodies = [traces.without(body, pause) for body in kept.bodies]
            left = [body for body in bodies if body is not None]
            if left != kept.bodies:
                archive.rewrite(self._own, place, left)

    def _may_go_on(self) -> bool:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                return False
        return self._go_on()
