"""Replays old webhooks after a fix: quarantined items, or the raw archive of a period.

What keeps it exact during ingest and across crashes:
1. Each quarantined item and each archive row is one transaction: stored, moved in the books, marked.
2. It is stored by the same de-duplicating statements, as of its original receipt, and is not archived again.
3. Nothing counts as received: a quarantined item becomes applied, duplicate or ignored; an ignored one may become
   applied.
4. An item leaves quarantine once all of it is understood; until then it stays, with the current reason.
A replay can be stopped at any point and run again. Only one runs at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Self

import msgspec
import structlog
import zstandard
from msgspec import Struct
from msgspec.structs import replace

from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.store.people import erasure_requests
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.postgres.errors import REFUSED
from webhook_app.store.postgres.locks import REPLAY_LOCK
from webhook_app.store.receiving import archive, book_corrections, quarantine
from webhook_app.store.receiving.quarantine import QuarantineFilters, ReplayItem
from webhook_app.whatsapp.events import Parsed
from webhook_app.whatsapp.receiving.payload import parse

log = structlog.get_logger()

_PAGE = 200

Parse = Callable[[bytes], Parsed]
Advance = Callable[[int], None]
"""Called with the number of quarantined items or archive rows just processed."""


class ReplayBusyError(Exception):
    """Another replay or an erasure is running; nothing was done."""


class ReplayTally(Struct):
    """The items read, by result. `left`: still not understood, or not stored."""

    looked_at: int = 0
    applied: int = 0
    duplicate: int = 0
    ignored: int = 0
    left: int = 0


class Replay:
    """One replay over its own connection. Use it in a `with` statement, which holds the lock."""

    def __init__(
        self, connect: Callable[[], DriverConnection], now: datetime, *, read: Parse = parse
    ) -> None:
        self._writer = BatchWriter(connect, book_corrections.SLOT)
        self._now = now
        self._read = read

    def __enter__(self) -> Self:
        is_free = False
        try:
            connection = self._writer.connection()
            is_free = locks.try_acquire(connection, REPLAY_LOCK) and not erasure_requests.any_unfinished(
                connection
            )
        finally:
            if not is_free:
                self._end()
        if not is_free:
            raise ReplayBusyError("Another replay or an erasure is running; try again when it has finished.")
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if (connection := self._writer.opened) is not None:
            locks.release(connection, REPLAY_LOCK)
        self._writer.close()

    def count_quarantine(self, chosen: QuarantineFilters = quarantine.ALL) -> int:
        """The number of items `of_quarantine` would read."""
        return quarantine.count_replay_items(self._writer.connection(), chosen)

    def count_archive(self, since: datetime, until: datetime) -> int:
        """The number of rows `of_archive` would read."""
        return archive.count(self._writer.connection(), since, until)

    def of_quarantine(
        self,
        chosen: QuarantineFilters = quarantine.ALL,
        *,
        limit: int | None = None,
        advance: Advance = lambda _: None,
    ) -> ReplayTally:
        """Replay up to `limit` quarantined items, the oldest first."""
        outcome = ReplayTally()
        for outcome in self.pages_of_quarantine(chosen, limit=limit, advance=advance):  # noqa: B007  the last one
            pass
        return outcome

    def pages_of_quarantine(
        self,
        chosen: QuarantineFilters = quarantine.ALL,
        *,
        limit: int | None = None,
        advance: Advance = lambda _: None,
    ) -> Iterator[ReplayTally]:
        """Replay like `of_quarantine`, yielding the tally so far after each page."""
        outcome, after = ReplayTally(), 0
        while limit is None or outcome.looked_at < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - outcome.looked_at)
            page = quarantine.replay_items(self._writer.connection(), chosen, after, size)
            for item in page:
                self._release(item, outcome)
                advance(1)
            yield outcome
            if len(page) < size:
                break
            after = page[-1].id
        log.info("quarantine replayed", **msgspec.structs.asdict(outcome))

    def of_archive(
        self,
        since: datetime,
        until: datetime,
        *,
        not_before: datetime,
        advance: Advance = lambda _: None,
    ) -> ReplayTally:
        """Replay the raw bodies received in that period; `applied` counts items that had been ignored.

        All of quarantine is replayed first: whatever else is new can then only have been ignored on receipt.
        Events older than `not_before` are past their retention and are not restored.
        """
        self.of_quarantine()
        outcome = ReplayTally()
        for place in archive.places(self._writer.connection(), since, until):
            self._read_row(place, not_before, outcome)
            advance(1)
        log.info("archive replayed", **msgspec.structs.asdict(outcome))
        return outcome

    def _release(self, item: ReplayItem, outcome: ReplayTally) -> None:
        outcome.looked_at += 1
        parsed = Parsed() if item.webhook is None else self._read(item.webhook)
        if item.webhook is None or parsed.unreadable:
            if parsed.unreadable:
                quarantine.set_reason(self._writer.connection(), item.id, parsed.unreadable[0].reason)
            outcome.left += 1
            return
        offered = _stored_items(parsed)

        def settle(connection: DriverConnection, new: int) -> None:
            became = "applied" if new else "duplicate" if offered else "ignored"
            if quarantine.release(connection, item.id, became, self._now):
                book_corrections.reclassify(connection, item.received_at, "quarantined", became)
                setattr(outcome, became, getattr(outcome, became) + 1)

        try:
            self._writer.store_again([_readable(parsed)], item.received_at, settle)
        except REFUSED as fault:
            reason = f"refused by the database: {type(fault).__name__}"
            quarantine.set_reason(self._writer.connection(), item.id, reason)
            outcome.left += 1

    def _read_row(self, place: archive.ArchivePosition, not_before: datetime, outcome: ReplayTally) -> None:
        try:
            kept = archive.read(self._writer.connection(), place)
        except (zstandard.ZstdError, msgspec.DecodeError) as fault:
            log.error("an archive row is damaged", fault=type(fault).__name__)  # noqa: TRY400
            outcome.left += 1
            return
        if kept is None:
            return
        found = [self._read(body) for body in kept.bodies]
        outcome.looked_at += sum(parsed.received for parsed in found)
        outcome.left += sum(len(parsed.unreadable) for parsed in found)
        outcome.ignored += sum(sum(parsed.ignored.values()) for parsed in found)
        earliest = int(not_before.timestamp())
        self._store_or_halve([_since(_readable(parsed), earliest) for parsed in found], kept, outcome)

    def _store_or_halve(
        self, found: Sequence[Parsed], kept: archive.ArchivedBody, outcome: ReplayTally
    ) -> None:
        """Store the bodies together; when the database rejects one, only that body is left out."""
        offered = sum(map(_stored_items, found))
        fresh = 0

        def settle(connection: DriverConnection, new: int) -> None:
            nonlocal fresh
            fresh = new
            book_corrections.reclassify(connection, kept.received_at, "ignored", "applied", new)

        try:
            self._writer.store_again(found, kept.received_at, settle)
        except REFUSED:
            if len(found) == 1:
                outcome.left += offered
                return
            middle = len(found) // 2
            self._store_or_halve(found[:middle], kept, outcome)
            self._store_or_halve(found[middle:], kept, outcome)
        else:
            outcome.applied += fresh
            outcome.duplicate += offered - fresh


def _stored_items(parsed: Parsed) -> int:
    return parsed.received - len(parsed.unreadable) - sum(parsed.ignored.values())


def _readable(parsed: Parsed) -> Parsed:
    return replace(parsed, unreadable=[], ignored={})


def _since(parsed: Parsed, earliest: int) -> Parsed:
    """Leave out events that retention has deleted or would delete at once."""
    return replace(
        parsed,
        statuses=[e for e in parsed.statuses if e.timestamp is None or e.timestamp >= earliest],
        inbound=[m for m in parsed.inbound if m.timestamp is None or m.timestamp >= earliest],
    )
