"""Replays old webhooks after a fix: quarantined items, or the raw archive of a period.

Each quarantined item and each archive row is one transaction that stores, counts in the books and marks. It uses the
statements of live deliveries, which store nothing twice, with the time of the original receipt, and nothing is received
or archived again. An item leaves quarantine once all of it is understood. Only one replay runs at a time, and it can be
stopped at any point.
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
from webhook_app.store.receiving import archive, books, quarantine
from webhook_app.store.receiving.quarantine import QuarantineFilters, ReplayItem
from webhook_app.whatsapp.events import Parsed
from webhook_app.whatsapp.receiving.payload import parse_again

log = structlog.get_logger()

MAX_REQUEST_BYTES = 2**17
"""Of a quarantined entry that a web worker parses, within 0.1 s. The command replays larger ones."""

_PAGE = 50  # entries of several megabytes each

Parse = Callable[[bytes], Parsed]
Settle = Callable[[DriverConnection, int], None]
Advance = Callable[[int], None]
"""Called with the number of quarantined items or archive rows just processed."""


_BUSY = "Another replay or an erasure is running; try again when it has finished."


class ReplayBusyError(Exception):
    """Another replay or an erasure is running; nothing was done since it began."""


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
        self,
        connect: Callable[[], DriverConnection],
        now: datetime,
        *,
        read: Parse = parse_again,
        max_bytes: int = 2**31 - 1,
    ) -> None:
        """`max_bytes`: leave larger quarantined entries, which take seconds to parse."""
        self._writer = BatchWriter(connect, books.REPLAY_SLOT)
        self._now = now
        self._read = read
        self._max_bytes = max_bytes

    def __enter__(self) -> Self:
        is_free = False
        try:
            connection = self._writer.connection()
            is_free = locks.try_acquire(connection, REPLAY_LOCK) and not erasure_requests.any_unfinished(
                connection
            )
            locks.end_session_if_silent(connection, locks.SILENT_SECONDS)
        finally:
            if not is_free:
                self._end()
        if not is_free:
            raise ReplayBusyError(_BUSY)
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
            page = quarantine.replay_items(self._writer.connection(), chosen, after, size, self._max_bytes)
            for item in page:
                self._release(item, outcome)
                advance(item.items)
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
        outcome.looked_at += item.items
        webhook = item.webhook
        if webhook is None:
            outcome.left += item.items
            return
        parsed = self._read(webhook)
        connection = self._writer.connection()
        if parsed.unreadable:
            quarantine.set_reason(connection, item.id, parsed.unreadable[0].reason)
        if parsed.unreadable and (item.items == 1 or not _stored_items(parsed)):
            outcome.left += item.items
            return
        try:
            settle = self._settle(item, parsed, outcome)
            self._store([_readable(parsed)], item.received_at, settle)
        except REFUSED as fault:
            quarantine.set_reason(connection, item.id, f"refused by the database: {type(fault).__name__}")
            outcome.left += item.items

    def _store(self, found: Sequence[Parsed], received_at: datetime, settle: Settle) -> None:
        self._writer.store_again(found, received_at, settle, self._now, begin=_refuse_erased)

    def _settle(self, item: ReplayItem, parsed: Parsed, outcome: ReplayTally) -> Settle:
        """Return the step that moves the entry's items in the books, in the transaction that stores them.

        Of an entry of several, those that are new become applied even if others are still not understood.
        """
        offered = _stored_items(parsed)

        def move(connection: DriverConnection, became: str, items: int) -> None:
            books.reclassify(connection, item.received_at, "quarantined", became, items)
            setattr(outcome, became, getattr(outcome, became) + items)

        def settle(connection: DriverConnection, new: int) -> None:
            new = min(new, item.items)
            others = item.items - new
            if parsed.unreadable:
                new = min(new, item.items - 1)
                quarantine.reduce_items(connection, item.id, new)
                move(connection, "applied", new)
                outcome.left += item.items - new
            elif quarantine.release(
                connection, item.id, "applied" if new else "duplicate" if offered else "ignored", self._now
            ):
                move(connection, "applied", new)
                move(connection, "duplicate" if offered > new else "ignored", others)

        return settle

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
        outcome.left += sum(each.items for parsed in found for each in parsed.unreadable)
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
            books.reclassify(connection, kept.received_at, "ignored", "applied", new)

        try:
            self._store(found, kept.received_at, settle)
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


def _refuse_erased(connection: DriverConnection) -> None:
    """Store nothing that was read before an erasure began, as it would restore the person; none begins meanwhile."""
    erasure_requests.lock_out(connection)
    if erasure_requests.any_unfinished(connection):
        raise ReplayBusyError(_BUSY)


def _stored_items(parsed: Parsed) -> int:
    return (
        parsed.received
        - sum(unreadable.items for unreadable in parsed.unreadable)
        - sum(parsed.ignored.values())
    )


def _readable(parsed: Parsed) -> Parsed:
    return replace(parsed, unreadable=[], ignored={})


def _since(parsed: Parsed, earliest: int) -> Parsed:
    """Leave out events that retention has deleted or would delete at once."""
    return replace(
        parsed,
        statuses=[e for e in parsed.statuses if e.timestamp is None or e.timestamp >= earliest],
        inbound=[m for m in parsed.inbound if m.timestamp is None or m.timestamp >= earliest],
        handovers=[h for h in parsed.handovers if h.timestamp is None or h.timestamp >= earliest],
    )
