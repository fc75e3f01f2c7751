"""Stores parsed deliveries, many in one transaction, over its own connection. Does not wait for or wake callers.

An item the database rejects is found by halving the batch, then the delivery. It is quarantined with its whole body;
everything else is stored. When the database is unavailable the error is raised and nothing is stored.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import repeat
from typing import Any

import structlog

from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.receiving.event_rows import EventRows
from webhook_app.pipeline.receiving.other_items import has_others, insert_others
from webhook_app.pipeline.sends import merge
from webhook_app.pipeline.sends.contradictions import KnownSends, without_contradictions
from webhook_app.pipeline.suppressions import statements
from webhook_app.store.counts.messages import settled, stages
from webhook_app.store.people import erasure_requests
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection, DriverConnection, driver, over, use_indexes
from webhook_app.store.postgres.errors import (
    REFUSED,
    RETRYABLE,
    DriverError,
    EngineError,
    driver_fault,
    is_lock_timeout,
)
from webhook_app.store.receiving import books, webhook_activity
from webhook_app.store.receiving import inbound as inbound_store
from webhook_app.store.receiving import ingest_statement as event_store
from webhook_app.store.receiving.ingest_statement import Batch
from webhook_app.store.sends import reports as sends_store
from webhook_app.store.suppressions.consent import TooManyStatementsError
from webhook_app.whatsapp.events import Parsed, StatusEvent
from webhook_app.whatsapp.receiving.payload import unreadable_part

log = structlog.get_logger()

_STATEMENTS_WAIT_MS = 2_000  # for the lock of changes; other deliveries wait meanwhile
_MOST_UNMERGED = 1_000
_MAX_REFUSALS = 24  # statements per delivery that the database may reject before whole parts are quarantined


class BatchWriter:
    """Stores batches over its own connection, reopened after an error. `EventRows` caches what most batches need."""

    def __init__(self, connect: Callable[[], DriverConnection], slot: int) -> None:
        self._connect = connect
        self._slot = slot
        self._connection: DriverConnection | None = None
        self._rows = EventRows()
        self._over: Connection | None = None
        self._sends_are_used = False
        self._other_keys = False
        self._unmerged: set[str] = set()
        self._unmerged_failures: list[event_store.FailureRow] = []

    def store(self, deliveries: Sequence[Delivery], received_at: datetime) -> None:
        """Commit all deliveries. Raises DriverError when the database is unavailable or cannot store them now."""
        for attempt in (1, 2, 3):
            try:
                self._store_or_halve(deliveries, received_at)
                break
            except RETRYABLE:
                if attempt == 3:
                    raise
            except DriverError:
                # An idle connection may have been closed: retry once with a new one, then raise.
                self.close()
                if attempt > 1:
                    raise
        self._merge_reports(received_at)

    def store_again(
        self,
        found: Sequence[Parsed],
        received_at: datetime,
        settle: Callable[[DriverConnection, int], None],
        now: datetime,
        *,
        begin: Callable[[DriverConnection], None] = lambda _: None,
    ) -> None:
        """Store replayed items as of their receipt at `received_at`, without archiving or counting them as received.

        `settle` gets the number of new items and moves them in the books, in the same transaction, which begins with
        `begin`.
        """
        connection = self.connection()
        erasure_requests.poll(connection, self._rows.forget_links)
        batch = Batch([], [], [], None, 0)
        reports = self._reports(connection, found)
        self._rows.add(connection, batch, _events(connection, found, reports), found, received_at)
        receipt: dict[str, Any] = {"received_at": received_at, "slot": books.REPLAY_SLOT}
        new = self._new_facts(found)
        with connection.transaction():
            begin(connection)
            held = books.lock_totals(connection, received_at)
            if old := _old_messages(batch, now):
                settled.restore(connection, old, slot=books.REPLAY_SLOT)
            stored = event_store.insert_batch(connection, batch, **receipt)
            insert_others(connection, found, int(received_at.timestamp()), receipt)
            stages.request_recount(connection, [row[:2] for row in batch.statuses])
            settle(connection, stored.new + books.undo_received(connection, received_at, held))
            if new:
                self._apply_facts(connection, stored, new, received_at, now)
        if not new:
            self._apply_facts(connection, stored, new, received_at, now)
        self._note_reports(batch, reports, stored)
        self._merge_reports(received_at)

    def store_rejections(self, counts: dict[str, int], now: datetime) -> None:
        for kind, count in counts.items():
            webhook_activity.add_rejections(self.connection(), kind, count, now)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def opened(self) -> DriverConnection | None:
        """The writer's connection, or None when it is not open."""
        return self._connection

    def connection(self) -> DriverConnection:
        """The writer's own connection, reopened after an error."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            use_indexes(self._connection)
            erasure_requests.listen(self._connection, self._rows.forget_links)
        return self._connection

    def _store_or_halve(self, deliveries: Sequence[Delivery], received_at: datetime) -> None:
        try:
            self._store(deliveries, received_at)
        except REFUSED as fault:
            if len(deliveries) == 1:
                self._store_apart(deliveries[0], received_at, fault)
                return
            middle = len(deliveries) // 2
            self._store_or_halve(deliveries[:middle], received_at)
            self._store_or_halve(deliveries[middle:], received_at)

    def _store_apart(self, delivery: Delivery, received_at: datetime, fault: Exception) -> None:
        """Archive a rejected delivery, store its parts, and quarantine the rejected ones as one entry."""
        rest, ignored = delivery.without_ignored()
        bodies = [delivery.body] if delivery.is_archived else []
        receipt: dict[str, Any] = {"received_at": received_at, "slot": self._slot}
        event_store.insert_batch(self.connection(), Batch([], [], [], bodies, ignored), **receipt)
        if refused := self._store_parts(rest, received_at, repeat(fault, _MAX_REFUSALS)):
            log.error("items rejected by the database were quarantined", fault=type(fault).__name__)
            reason = f"refused by the database: {type(fault).__name__}"
            item = unreadable_part(delivery.body, reason, refused)
            inbound_store.insert_unreadable(self.connection(), [item], **receipt)

    def _store_parts(self, part: Delivery, received_at: datetime, tries: Iterator[object]) -> list[Parsed]:
        """Store the halves of a rejected part, and theirs; return what is left when the tries are used up."""
        halves = part.halves()
        if not halves or next(tries, None) is None:
            return [part.parsed]
        refused = []
        for half in halves:
            try:
                self._store([half], received_at)
            except REFUSED:
                refused += self._store_parts(half, received_at, tries)
        return refused

    def _store(self, deliveries: Sequence[Delivery], received_at: datetime) -> None:
        connection = self.connection()
        erasure_requests.poll(connection, self._rows.forget_links)
        found = [delivery.parsed for delivery in deliveries]
        bodies = [delivery.body for delivery in deliveries if delivery.is_archived]
        batch = Batch([], [], [], bodies, 0)
        reports = self._reports(connection, found)
        self._rows.add(connection, batch, _events(connection, found, reports), found, received_at)
        receipt: dict[str, Any] = {"received_at": received_at, "slot": self._slot}
        new = self._new_facts(found)
        old = _old_messages(batch, received_at)
        if old or any(map(has_others, found)):
            with connection.transaction():
                if old:
                    settled.restore(connection, old, slot=self._slot)
                stored = self._insert(connection, batch, **receipt)
                insert_others(connection, found, int(received_at.timestamp()), receipt)
                if new:
                    self._apply_facts(connection, stored, new, received_at, received_at)
        else:
            stored = self._insert(connection, batch, **receipt)
        if not new:
            self._apply_facts(connection, stored, new, received_at, received_at)
        self._rows.cache_links(batch.links, received_at)
        self._note_reports(batch, reports, stored)

    def _insert(self, connection: DriverConnection, batch: Batch, **receipt: Any) -> event_store.Stored:
        stored = event_store.insert_batch(connection, batch, other_keys=self._other_keys, **receipt)
        self._other_keys = self._other_keys or stored.other_keys
        return stored

    def _new_facts(self, found: Sequence[Parsed]) -> statements.NewFacts:
        """What these deliveries state about messages and numbers; nothing, as nearly always.

        More changes than people make at once are left to the job `suppress`, so that no delivery waits for them.
        """
        stated = [each.contact for parsed in found for each in parsed.preferences]
        stated += [each.contact for parsed in found for each in parsed.inbound if each.keyword]
        changed = [(each.old_contact, each.new_contact) for parsed in found for each in parsed.number_changes]
        new = statements.NewFacts(stated, changed if len(changed) <= statements.MAX_STATEMENTS else [])
        if new:
            self._engine_connection()  # cannot be made within a transaction
        return new

    def _engine_connection(self) -> Connection:
        own = self.connection()
        if self._over is None or driver(self._over) is not own:
            try:
                self._over = over(own)
            except EngineError as fault:
                raise driver_fault(fault) from fault
        return self._over

    def _apply_facts(
        self,
        connection: DriverConnection,
        stored: event_store.Stored,
        new: statements.NewFacts,
        received_at: datetime,
        now: datetime,
    ) -> None:
        """Apply opt-outs, their lifts and changes of number, as the last work of the transaction that stores them.

        After a fault nothing of this is stored, and the job `suppress` applies it; the webhook is stored. New links are
        applied in a transaction of their own unless there are statements. More of them than people show at once are
        left to the job `suppress`, so that no delivery waits for them.
        """
        if len(stored.concerned) <= statements.MAX_STATEMENTS:
            new.linked = [*stored.concerned]
        if not new:
            return
        own = self._engine_connection()
        for attempt in (1, 2):
            try:
                with connection.transaction():
                    locks.limit_lock_wait(own, _STATEMENTS_WAIT_MS)
                    statements.apply_new(own, received_at, new, now)
            except Exception as fault:
                if connection.closed:
                    raise driver_fault(fault) from None
                if is_lock_timeout(fault):
                    log.warning(
                        "opt-outs and changes of number are left to the job suppress, which is at work"
                    )
                    return
                if isinstance(fault, TooManyStatementsError):
                    log.warning("opt-outs are left to the job suppress: these people made too many")
                    return
                if attempt == 1 and isinstance(driver_fault(fault), RETRYABLE):
                    continue
                log.exception("opt-outs and changes of number are left to the job suppress")
            return

    def _reports(self, connection: DriverConnection, found: Sequence[Parsed]) -> KnownSends:
        """What senders reported about these messages; empty without a query when no sender reports anything."""
        message_ids = {event.message_id for parsed in found for event in parsed.statuses}
        return (
            sends_store.known_sends(connection, message_ids) if self._sends_are_used and message_ids else {}
        )

    def _note_reports(self, batch: Batch, reports: KnownSends, stored: event_store.Stored) -> None:
        """Note the messages whose reports must be merged, in the two rare cases: a failed send call was reported for
        a message, or this process has just learned that senders report sends."""
        unmerged = {message_id for (message_id, _), each in reports.items() if each.failed}
        if stored.sends_are_used and not self._sends_are_used:
            self._sends_are_used = True
            unmerged = {row[0] for row in batch.statuses}
        if unmerged:
            self._unmerged |= unmerged
            self._unmerged_failures += [row for row in batch.failures if row[0] in unmerged]

    def _merge_reports(self, received_at: datetime) -> None:
        """Merge the noted reports once everything is stored, so that their faults neither halve nor repeat a batch.

        After two faults the job `sends` merges them, and at once if others are at work on these messages: deliveries
        wait meanwhile. Raises DriverError only when the database is unavailable.
        """
        message_ids, failures = self._unmerged, self._unmerged_failures
        if not message_ids and not failures:
            return
        self._unmerged = set()
        for _ in range(2):
            try:
                merge.mark_as_webhook(self.connection(), failures)
                self._unmerged_failures = []
                merge.merge_reports(
                    self.connection(),
                    message_ids,
                    now=received_at,
                    slot=self._slot,
                    most=merge.MERGED_WITH_WEBHOOKS,
                    at_once=True,
                )
            except RETRYABLE:
                break
            except DriverError as fault:
                log.warning("reports of senders were not merged", fault=type(fault).__name__)
                self.close()
            else:
                return
        self._unmerged_failures = self._unmerged_failures[-_MOST_UNMERGED:]  # marked with the next ones
        sends_store.check_at_once(self.connection(), message_ids, received_at)


def _old_messages(batch: Batch, now: datetime) -> set[str]:
    """The messages with events so old that they may be repeated ones of settled messages; hardly ever any."""
    before = int((now - settled.OLD_AFTER).timestamp())
    if min((row[3] for row in batch.statuses), default=before) >= before:
        return set()
    return {row[0] for row in batch.statuses if row[3] < before}


def _events(connection: DriverConnection, found: Sequence[Parsed], reports: KnownSends) -> list[StatusEvent]:
    """All status events, completed from the reports of senders."""
    events = [event for parsed in found for event in parsed.statuses]
    if not reports:
        return events
    named = (
        (e.message_id, (e.contact, e.user_id, e.parent_user_id)) for e in events if e.contact and not e.group
    )
    reports = without_contradictions(connection, reports, named)
    return [merge.complete_event(event, reports) for event in events]
