"""Stores parsed deliveries, many in one transaction, over one connection of its own. Knows nothing of who waits.

An item the database refuses is found by halving the batch, then the delivery; it is quarantined with its whole body,
everything else is stored. What the database cannot take now is raised, and nothing of it is stored.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import structlog
from msgspec.structs import replace

from webhook_app.pipeline.sends import merge
from webhook_app.store.counts import funnel_counts
from webhook_app.store.people import erasure_requests
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.postgres.errors import REFUSED, RETRYABLE, DriverError
from webhook_app.store.receiving import book_corrections, health_signals
from webhook_app.store.receiving import inbound as inbound_store
from webhook_app.store.receiving import ingest_statement as event_store
from webhook_app.store.receiving.ingest_statement import Batch, Series
from webhook_app.store.sends import reports as sends_store
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.events import NO_CODE, Parsed, Preference, StatusEvent
from webhook_app.whatsapp.people.keywords import DEFAULT, Keywords
from webhook_app.whatsapp.receiving.payload import receive, whole

log = structlog.get_logger()

_MAX_CLOCK_AHEAD_S = 300  # a timestamp further ahead than this is Meta's or somebody's clock gone wrong
_MAX_CACHED_LINKS = 200_000
_LINK_CACHE_TTL = timedelta(minutes=10)
_MAX_CACHED_SERIES = 100_000


class Delivery:
    """What is kept of a verified body, and what was found in it."""

    __slots__ = ("body", "parsed")

    def __init__(self, body: bytes, parsed: Parsed | None = None, words: Keywords = DEFAULT) -> None:
        self.body, self.parsed = receive(body, words) if parsed is None else (body, parsed)

    def halves(self) -> "list[Delivery]":
        """The delivery as two, each with a part of its items; nothing when there is only one item.

        Each brings the body to the archive: twice there is better than an item without one, and read again it is
        a duplicate.
        """
        items = [(kind, item) for kind in _ITEM_KINDS for item in getattr(self.parsed, kind)]
        first, second = Parsed(), replace(self.parsed, **{kind: [] for kind in _ITEM_KINDS})
        if not items or (len(items) == 1 and not second.ignored):
            return []
        middle = (len(items) + 1) // 2
        for place, (kind, item) in enumerate(items):
            getattr(first if place < middle else second, kind).append(item)
        return [Delivery(self.body, first), Delivery(self.body, second)]


_ITEM_KINDS = ("statuses", "inbound", "preferences", "number_changes", "signals", "unreadable")


class BatchWriter:
    """Stores batches over one connection of its own, made anew after a fault. Remembers series and links."""

    def __init__(self, connect: Callable[[], DriverConnection], slot: int) -> None:
        self._connect = connect
        self._slot = slot
        self._connection: DriverConnection | None = None
        self._series: dict[Series, int] = {}
        self._series_of: date | None = None
        self._links: set[tuple[str, str]] = set()
        self._links_until = datetime.min.replace(tzinfo=UTC)
        self._numbers: set[health_signals.Number] = set()
        self._sends_are_used = False

    def store(self, deliveries: Sequence[Delivery], received_at: datetime) -> None:
        """Commit all of them. Raises DriverError when the database is away or cannot take them now."""
        for attempt in (1, 2, 3):
            try:
                return self._store_or_halve(deliveries, received_at)
            except RETRYABLE:
                if attempt == 3:
                    raise
            except DriverError:
                # A pooled connection may have died while idle: one fresh try, then the caller hears of it.
                self.close()
                if attempt > 1:
                    raise
        return None

    def store_again(
        self,
        found: Sequence[Parsed],
        received_at: datetime,
        settle: Callable[[DriverConnection, int], None],
    ) -> None:
        """Store what was received at `received_at` and is read anew: nothing is archived, nothing received.

        `settle` is told how many items were new, and moves them in the books, in the same transaction.
        """
        connection = self.connection()
        erasure_requests.poll(connection, self._links.clear)
        batch = Batch([], [], [], [], 0)
        told = self._told(connection, found)
        self._fill(connection, batch, found, told, received_at)
        place: dict[str, Any] = {"received_at": received_at, "slot": book_corrections.SLOT}
        with connection.transaction():
            held = book_corrections.lock_totals(connection, received_at)
            stored = event_store.insert_batch(connection, batch, **place)
            _insert_others(connection, found, int(received_at.timestamp()), place)
            funnel_counts.request_recount(connection, [row[:2] for row in batch.statuses])
            settle(connection, stored.new + book_corrections.undo_received(connection, received_at, held))
        self._complete(batch, told, stored, received_at)

    def store_rejections(self, counts: dict[str, int], now: datetime) -> None:
        for kind, count in counts.items():
            inbound_store.add_rejections(self.connection(), kind, count, now)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def opened(self) -> DriverConnection | None:
        """The writer's connection if there is one, without making it."""
        return self._connection

    def connection(self) -> DriverConnection:
        """The writer's own connection, made anew after a fault."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            erasure_requests.listen(self._connection, self._links.clear)
        return self._connection

    def _store_or_halve(self, deliveries: Sequence[Delivery], received_at: datetime) -> None:
        try:
            self._store(deliveries, received_at)
        except REFUSED as fault:
            parts = deliveries if len(deliveries) > 1 else deliveries[0].halves()
            if not parts:
                self._quarantine(deliveries[0], fault, received_at)
                return
            middle = len(parts) // 2
            self._store_or_halve(parts[:middle], received_at)
            self._store_or_halve(parts[middle:], received_at)

    def _store(self, deliveries: Sequence[Delivery], received_at: datetime) -> None:
        connection = self.connection()
        erasure_requests.poll(connection, self._links.clear)
        found = [delivery.parsed for delivery in deliveries]
        batch = Batch([], [], [], [delivery.body for delivery in deliveries], 0)
        told = self._told(connection, found)
        self._fill(connection, batch, found, told, received_at)
        place: dict[str, Any] = {"received_at": received_at, "slot": self._slot}
        if any(p.inbound or p.preferences or p.number_changes or p.signals or p.unreadable for p in found):
            with connection.transaction():
                stored = event_store.insert_batch(connection, batch, **place)
                _insert_others(connection, found, int(received_at.timestamp()), place)
        else:
            stored = event_store.insert_batch(connection, batch, **place)
        self._remember(batch.links, received_at)
        self._complete(batch, told, stored, received_at)

    def _told(self, connection: DriverConnection, found: Sequence[Parsed]) -> merge.Known:
        """What senders told of these messages; asked for only where senders tell of anything."""
        message_ids = {event.message_id for parsed in found for event in parsed.statuses}
        return sends_store.known_sends(connection, message_ids) if self._sends_are_used and message_ids else {}

    def _complete(
        self, batch: Batch, told: merge.Known, stored: event_store.Stored, received_at: datetime
    ) -> None:
        """What is seldom, and committed by itself: messages of which a failed call was reported too, and all that
        senders told of when this process did not know yet that they tell of anything."""
        incomplete = {message_id for (message_id, _), each in told.items() if each.failed}
        if stored.sends_are_used and not self._sends_are_used:
            self._sends_are_used = True
            known = sends_store.known_sends(self.connection(), {row[0] for row in batch.statuses})
            incomplete = {message_id for message_id, _ in known}
        if incomplete:
            heard = [row for row in batch.failures if row[0] in incomplete]
            merge.place(self.connection(), incomplete, now=received_at, slot=self._slot, heard=heard)

    def _fill(
        self,
        connection: DriverConnection,
        batch: Batch,
        found: Sequence[Parsed],
        told: merge.Known,
        received_at: datetime,
    ) -> None:
        """Turn status events into rows, with their time and series."""
        events = [event for parsed in found for event in parsed.statuses]
        links: set[tuple[str, str]] = set()
        if told:
            links = merge.links(events, told)
            events = [merge.complete_event(event, told) for event in events]
        now_s = int(received_at.timestamp())
        latest = now_s + _MAX_CLOCK_AHEAD_S
        if odd := [_clock_key(e) for e in events if e.timestamp is None or e.timestamp > latest]:
            event_store.repair_clocks(connection, odd, received_at.replace(microsecond=0))
        self._learn_series(connection, events)
        self._learn_numbers(connection, found, received_at)
        series = self._series
        for e in events:
            occurred, raw = e.timestamp, ""
            if occurred is None or occurred > latest:
                occurred, raw = now_s, e.raw_timestamp
            elif str(occurred) != e.raw_timestamp:
                raw = e.raw_timestamp
            series_id = series[e.phone_number_id, e.waba_id, e.template, e.campaign, e.country]
            first = e.status == "sent" or e.status == "failed"  # noqa: PLR1714  twice as fast as a set on this path
            batch.statuses.append(
                (e.message_id, e.phone_number_id, e.status, occurred, raw, e.participant, e.error_code, e.contact,
                 series_id, e.category, e.callback_data if first else "")
            )  # fmt: skip
            if e.status == "failed":
                batch.failures.append(_failure_row(e, occurred, raw, series_id))
            if e.user_id and e.contact != e.user_id:
                links.add((e.user_id, e.contact))
            if e.parent_user_id and e.contact:
                links.add((e.parent_user_id, e.contact))
        links.update(*(parsed.links for parsed in found if parsed.links))
        batch.links = list(links - self._links)
        batch.ignored = sum(sum(parsed.ignored.values()) for parsed in found if parsed.ignored)

    def _learn_series(self, connection: DriverConnection, events: list[StatusEvent]) -> None:
        today = datetime.now(UTC).date()  # the database's day of seen_on, whatever day is being stored
        if len(self._series) > _MAX_CACHED_SERIES or today != self._series_of:
            self._series.clear()
            self._series_of = today
        wanted = {(e.phone_number_id, e.waba_id, e.template, e.campaign, e.country) for e in events}
        if new := wanted.difference(self._series):
            self._series |= event_store.series_ids(connection, list(new))

    def _learn_numbers(
        self, connection: DriverConnection, found: Sequence[Parsed], received_at: datetime
    ) -> None:
        if new := set().union(*(parsed.numbers for parsed in found)) - self._numbers:
            health_signals.insert_numbers(connection, new, received_at)
            self._numbers |= new

    def _remember(self, links: Sequence[tuple[str, str]], received_at: datetime) -> None:
        """Not for long, and not beyond an erasure: a person who comes back is to be linked anew."""
        if len(self._links) > _MAX_CACHED_LINKS or received_at >= self._links_until:
            self._links.clear()
            self._links_until = received_at + _LINK_CACHE_TTL
        self._links.update(links)

    def _quarantine(self, delivery: Delivery, fault: Exception, received_at: datetime) -> None:
        log.error("an item the database refuses was quarantined", fault=type(fault).__name__)
        item = whole(delivery.body, f"refused by the database: {type(fault).__name__}")
        connection = self.connection()
        place: dict[str, Any] = {"received_at": received_at, "slot": self._slot}
        with connection.transaction():
            event_store.insert_batch(connection, Batch([], [], [], [delivery.body], 0), **place)
            inbound_store.insert_unreadable(connection, [item], **place)


def _failure_row(e: StatusEvent, occurred: int, raw: str, series_id: int) -> event_store.FailureRow:
    strikes = not e.group and explain(e.error_code).contact_effect != "none"
    return (e.message_id, e.phone_number_id, occurred, raw, e.participant, e.error_code, e.contact, series_id,
            e.error_title, e.error_details, e.errors_json, event_store.WEBHOOK, -1, "", strikes)  # fmt: skip


def _clock_key(e: StatusEvent) -> event_store.ClockKey:
    return e.message_id, e.phone_number_id, e.status, e.raw_timestamp, e.participant, e.error_code


def _preference_key(p: Preference) -> event_store.ClockKey:
    return "", p.phone_number_id, f"preference {p.value} {p.category}", p.raw_timestamp, p.contact, NO_CODE


def _insert_others(
    connection: DriverConnection, found: Sequence[Parsed], now_s: int, place: dict[str, Any]
) -> None:
    latest = now_s + _MAX_CLOCK_AHEAD_S

    def timed(items: list[Any]) -> list[tuple[Any, int]]:
        """Each with its time; receipt where Meta gave none or one too far ahead."""
        usable = [i.timestamp if i.timestamp and i.timestamp <= latest else now_s for i in items]
        return list(zip(items, usable, strict=True))

    if inbound := [m for p in found for m in p.inbound]:
        odd = [m for m in inbound if m.timestamp is None or m.timestamp > latest]
        keys = [(m.message_id, m.phone_number_id, "inbound", "", "", NO_CODE) for m in odd]
        if keys:
            event_store.repair_clocks(connection, keys, place["received_at"].replace(microsecond=0))
        inbound_store.insert_inbound(connection, timed(inbound), **place)
    if preferences := [m for p in found for m in p.preferences]:
        if keys := [_preference_key(p) for p in preferences if p.timestamp is None or p.timestamp > latest]:
            event_store.repair_clocks(connection, keys, place["received_at"].replace(microsecond=0))
        inbound_store.insert_preferences(connection, timed(preferences), **place)
    if changes := [m for p in found for m in p.number_changes]:
        inbound_store.insert_number_changes(connection, timed(changes), **place)
    if signals := [m for p in found for m in p.signals]:
        health_signals.insert_signals(connection, timed(signals), **place)
    if unreadable := [m for p in found for m in p.unreadable]:
        inbound_store.insert_unreadable(connection, unreadable, **place)
