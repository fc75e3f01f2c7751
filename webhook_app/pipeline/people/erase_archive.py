"""Erases people from the quarantine, then from the raw archive, one partition after the other.

Rows are searched outside of transactions. Each row of the archive that names the person is rewritten in a transaction
of its own.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from time import monotonic, thread_time

import msgspec
import structlog
import zstandard
from msgspec import Struct

from webhook_app.pipeline.people.giving_way import GivingWay
from webhook_app.store.people import erasure, erasure_requests
from webhook_app.store.people.erasure import QuarantinedText
from webhook_app.store.people.erasure_requests import Erasure
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import DriverConnection, Engine
from webhook_app.store.postgres.locks import REPLAY_LOCK
from webhook_app.store.receiving import archive
from webhook_app.whatsapp.people.traces import Traces

log = structlog.get_logger()

Connect = Callable[[], DriverConnection]

_EVER = datetime(2000, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_DAMAGED = archive.ArchivedBody(_EVER, [])  # what cannot be read may hold anybody, and is deleted
_QUARANTINE = "(quarantine)"  # a place that sorts before the names of all partitions
_ROW_BYTES = 2**16  # a row of the archive counts as more rows if it has more
_ENTRY_BYTES = 2**10  # an entry of the quarantine counts as these at least
_MOST_S = 0.4  # of processor time, of a run with a budget: some entries take ten times as long as others of their size


class ErasedFromArchive(Struct, frozen=True):
    """Whether nothing is left for the next run, and the number of deleted quarantined entries by erasure.

    `fault`: why the first of the erasures failed that did; each is logged, and the others went on.
    """

    is_done: bool
    quarantined: Counter[int]
    fault: Exception | None = None


class _BudgetSpentError(Exception):
    """The processor time of a run is over in the middle of an entry, which is searched again in the next run."""


def erase_from_archive(
    engine: Engine,
    connect: Connect,
    now: datetime,
    *,
    rows: int | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> ErasedFromArchive:
    """Erase every person who is in no other table any more from the quarantine and the archive.

    Searches at most `rows` rows, fewer if they are large or slow to search, and stops early when `go_on` returns False
    or while a replay runs.
    """
    with engine.connect() as connection:
        unfinished = erasure_requests.unfinished(connection)
    waiting = [each for each in unfinished if each.taken_out]
    if not waiting:
        return ErasedFromArchive(not unfinished, Counter())
    own = connect()
    try:
        if not locks.try_acquire(own, REPLAY_LOCK):
            return ErasedFromArchive(False, Counter())
        try:
            locks.end_session_if_silent(own, locks.SILENT_SECONDS)
            run = _ArchiveRun(engine, own, now, rows, go_on)
            is_done = run.run(waiting) and waiting == unfinished
            return ErasedFromArchive(is_done, run.quarantined, run.fault)
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
        self._left: float | None = rows
        self._until = None if rows is None else thread_time() + _MOST_S
        self._go_on = go_on
        self._give_way = GivingWay()
        self._last_heard = monotonic()
        self.quarantined = Counter[int]()
        self.fault: Exception | None = None

    def run(self, waiting: Sequence[Erasure]) -> bool:
        try:
            done = [self._try_to_erase(each) for each in waiting]
        except _BudgetSpentError:
            return False
        return all(done)

    def _try_to_erase(self, each: Erasure) -> bool:
        try:
            return self._erase(each)
        except _BudgetSpentError:
            raise
        except Exception as fault:
            if self._own.closed:
                raise
            log.exception("an erasure from the archive failed", erasure=each.id)
            self.fault = self.fault or fault
            return False

    def _erase(self, each: Erasure) -> bool:
        traces = Traces(each.keys, each.message_ids, self._pause)
        if not each.place:
            if not self._erase_from_quarantine(each, traces):
                return False
            self._save(each, _QUARANTINE)
        for partition in archive.partition_names(self._own):
            if partition <= each.place:
                continue
            for place in archive.places(self._own, _EVER, _NEVER, only=partition):
                if not self._may_go_on():
                    return False
                self._rewrite(place, traces)
            self._save(each, partition)
        with self._engine.begin() as connection:
            erasure_requests.finish(connection, each.id, self._now)
        return True

    def _save(self, each: Erasure, place: str) -> None:
        with self._engine.begin() as connection:
            erasure_requests.save_progress(connection, each.id, place)

    def _erase_from_quarantine(self, each: Erasure, traces: Traces) -> bool:
        """Delete the entries that name the person. Reads a few at a time, and searches outside of a transaction."""
        after = 0
        while self._may_go_on():
            with self._engine.connect() as connection:
                page = erasure.quarantine_page(connection, after)
            if not page:
                return True
            searched = takewhile(lambda _: self._may_go_on(), page)
            if found := [entry.id for entry in searched if self._is_named(entry, traces)]:
                with self._engine.begin() as connection:
                    self.quarantined[each.id] += erasure.delete_quarantined(connection, found)
            after = page[-1].id
        return False

    def _is_named(self, entry: QuarantinedText, traces: Traces) -> bool:
        self._spend(max(entry.size, _ENTRY_BYTES))
        self._pause()
        return entry.names(traces)

    def _rewrite(self, place: archive.ArchivePosition, traces: Traces) -> None:
        stored = self._read(place)
        if stored is None:
            return
        self._spend(max(sum(map(len, stored.bodies)), _ROW_BYTES))
        bodies = [self._without(body, traces) for body in stored.bodies]
        left = [body for body in bodies if body is not None]
        if left and left == stored.bodies:
            return
        with self._own.transaction():
            if (
                self._read(place, lock=True) == stored
            ):  # otherwise retention dropped it, and a new row has its place
                archive.rewrite(self._own, place, left)

    def _read(self, place: archive.ArchivePosition, *, lock: bool = False) -> archive.ArchivedBody | None:
        try:
            return archive.read(self._own, place, lock=lock)
        except (zstandard.ZstdError, msgspec.DecodeError):
            return _DAMAGED

    def _without(self, body: bytes, traces: Traces) -> bytes | None:
        self._pause()
        return traces.without(body)

    def _pause(self) -> None:
        """Let others run, end a run whose budget is spent, and keep the session that holds the lock."""
        if self._give_way() and self._until is not None and thread_time() > self._until:
            raise _BudgetSpentError
        if monotonic() - self._last_heard > locks.SILENT_SECONDS / 10:
            locks.end_session_if_silent(self._own, locks.SILENT_SECONDS)  # a statement, so that it is not
            self._last_heard = monotonic()

    def _spend(self, size: int) -> None:
        if self._left is not None:
            self._left -= size / _ROW_BYTES

    def _may_go_on(self) -> bool:
        return (self._left is None or self._left > 0) and self._go_on()
