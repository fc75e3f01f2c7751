"""Stores parsed deliveries, many in one transaction, over one connection of its own. Knows nothing of who waits.

A delivery the database refuses is found by halving the batch and is quarantined whole, alone. What the database
cannot take now is raised, and nothing of it is stored.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import psycopg
import structlog
from psycopg import errors

from webhook_app.store import events as event_store
from webhook_app.store import inbound as inbound_store
from webhook_app.store.events import Batch, Series
from webhook_app.whatsapp.error_codes import explain
from webhook_app.whatsapp.events import NO_CODE, Parsed, StatusEvent
from webhook_app.whatsapp.payload import parse, whole

log = structlog.get_logger()

_FUTURE_S = 300  # a timestamp further ahead than this is Meta's or somebody's clock gone wrong
_LINKS_REMEMBERED = 200_000
_SERIES_REMEMBERED = 100_000

_REFUSED = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded, UnicodeError, ValueError)
_TRY_AGAIN = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)


class Delivery:
    """A verified body and what was found in it."""

    __slots__ = ("body", "parsed")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.parsed = parse(body)


class BatchWriter:
    """Stores batches over one connection of its own, made anew after a fault. Remembers series and links."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], slot: int) -> None:
        self._connect = connect
        self._slot = slot
        self._connection: psycopg.Connection[Any] | None = None
        self._series: dict[Series, int] = {}
        self._links: set[tuple[str, str]] = set()

    def store(self, deliveries: Sequence[Delivery], received_at: datetime) -> None:
        """Commit all of them. Raises psycopg.Error when the database is away or cannot take them now."""
        for attempt in (1, 2, 3):
            try:
                return self._store_or_halve(deliveries, received_at)
            except _TRY_AGAIN:
                if attempt == 3:
                    raise
            except psycopg.Error:
                # A pooled connection may have died while idle: one fresh try, then the caller hears of it.
                self.close()
                if attempt > 1:
                    raise
        return None

    def store_rejections(self, counts: dict[str, int], now: datetime) -> None:
        for kind, count in counts.items():
            inbound_store.add_rejections(self._connected(), kind, count, now)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def _store_or_halve(self, deliveries: Sequence[Delivery], received_at: datetime) -> None:
        try:
            self._store(deliveries, received_at)
        except _REFUSED as fault:
            if len(deliveries) == 1:
                self._quarantine_whole(deliveries[0], fault, received_at)
                return
            middle = len(deliveries) // 2
            self._store_or_halve(deliveries[:middle], received_at)
            self._store_or_halve(deliveries[middle:], received_at)

    def _store(self, deliveries: Sequence[Delivery], received_at: datetime) -> None:
        connection = self._connected()
        found = [delivery.parsed for delivery in deliveries]
        batch = Batch([], [], [], [delivery.body for delivery in deliveries], 0)
        self._fill(connection, batch, found, received_at)
        place: dict[str, Any] = {"received_at": received_at, "slot": self._slot}
        if any(p.inbound or p.preferences or p.signals or p.unreadable for p in found):
            with connection.transaction():
                event_store.insert_batch(connection, batch, **place)
                _insert_others(connection, found, int(received_at.timestamp()), place)
        else:
            event_store.insert_batch(connection, batch, **place)
        self._remember(batch.links)

    def _fill(
        self,
        connection: psycopg.Connection[Any],
        batch: Batch,
        found: Sequence[Parsed],
        received_at: datetime,
    ) -> None:
        """Turn status events into rows, with their time and series."""
        events = [event for parsed in found for event in parsed.statuses]
        now_s = int(received_at.timestamp())
        latest = now_s + _FUTURE_S
        if odd := [_clock_key(e) for e in events if e.timestamp is None or e.timestamp > latest]:
            event_store.repair_clocks(connection, odd, received_at.replace(microsecond=0))
        self._learn_series(connection, events)
        series, links = self._series, set()
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
        batch.links = list(links - self._links)
        batch.ignored = sum(sum(parsed.ignored.values()) for parsed in found if parsed.ignored)

    def _learn_series(self, connection: psycopg.Connection[Any], events: list[StatusEvent]) -> None:
        if len(self._series) > _SERIES_REMEMBERED:
            self._series.clear()
        wanted = {(e.phone_number_id, e.waba_id, e.template, e.campaign, e.country) for e in events}
        if new := wanted.difference(self._series):
            self._series |= event_store.series_ids(connection, list(new))

    def _remember(self, links: Sequence[tuple[str, str]]) -> None:
        if len(self._links) > _LINKS_REMEMBERED:
            self._links.clear()
        self._links.update(links)

    def _quarantine_whole(self, delivery: Delivery, fault: Exception, received_at: datetime) -> None:
        log.error("a delivery the database refuses was quarantined", fault=type(fault).__name__)
        item = whole(delivery.body, f"refused by the database: {type(fault).__name__}")
        connection = self._connected()
        place: dict[str, Any] = {"received_at": received_at, "slot": self._slot}
        with connection.transaction():
            event_store.insert_batch(connection, Batch([], [], [], [delivery.body], 0), **place)
            inbound_store.insert_unreadable(connection, [item], **place)


def _failure_row(e: StatusEvent, occurred: int, raw: str, series_id: int) -> event_store.FailureRow:
    strikes = not e.group and explain(e.error_code).contact_effect != "none"
    return (e.message_id, e.phone_number_id, occurred, raw, e.participant, e.error_code, e.contact, series_id,
            e.error_title, e.error_details, e.errors_json, strikes)  # fmt: skip


def _clock_key(e: StatusEvent) -> event_store.ClockKey:
    return e.message_id, e.phone_number_id, e.status, e.raw_timestamp, e.participant, e.error_code


def _insert_others(
    connection: psycopg.Connection[Any], found: Sequence[Parsed], now_s: int, place: dict[str, Any]
) -> None:
    latest = now_s + _FUTURE_S

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
        inbound_store.insert_preferences(connection, timed(preferences), **place)
    if signals := [m for p in found for m in p.signals]:
        inbound_store.insert_signals(connection, timed(signals), **place)
    if unreadable := [m for p in found for m in p.unreadable]:
        inbound_store.insert_unreadable(connection, unreadable, **place)
