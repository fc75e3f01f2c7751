"""Stores the items of deliveries that are not statuses: messages, preferences, handovers, signals and others."""

from collections.abc import Callable, Sequence
from typing import Any

from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.receiving import handovers, health_signals
from webhook_app.store.receiving import inbound as inbound_store
from webhook_app.store.receiving.clock_repairs import ClockKey, repair_clocks, repair_each_clock
from webhook_app.whatsapp.events import NO_CODE, InboundMessage, Parsed, Preference

MAX_CLOCK_AHEAD_S = 300
"""A timestamp further in the future comes from a wrong clock."""


def has_others(p: Parsed) -> bool:
    """Whether it has items that are not statuses."""
    return bool(p.inbound or p.preferences or p.number_changes or p.handovers or p.signals or p.unreadable)


def insert_others(
    connection: DriverConnection, found: Sequence[Parsed], now_s: int, receipt: dict[str, Any]
) -> None:
    latest = now_s + MAX_CLOCK_AHEAD_S

    def timed(items: list[Any]) -> list[tuple[Any, int]]:
        """Pair each item with its time: the receipt when Meta gave none or one too far in the future."""
        usable = [i.timestamp if i.timestamp and i.timestamp <= latest else now_s for i in items]
        return list(zip(items, usable, strict=True))

    def repair(items: list[Any], key: Callable[[Any], ClockKey], assign: Callable[..., None]) -> None:
        if keys := [key(i) for i in items if i.timestamp is None or i.timestamp > latest]:
            assign(connection, keys, receipt["received_at"].replace(microsecond=0))

    if inbound := [m for p in found for m in p.inbound]:
        repair(inbound, _inbound_key, repair_clocks)
        inbound_store.insert_inbound(connection, timed(inbound), **receipt)
    if preferences := [m for p in found for m in p.preferences]:
        repair(preferences, _preference_key, repair_each_clock)
        inbound_store.insert_preferences(connection, timed(preferences), **receipt)
    if changes := [m for p in found for m in p.number_changes]:
        inbound_store.insert_number_changes(connection, timed(changes), **receipt)
    if passed := [m for p in found for m in p.handovers]:
        repair(passed, handovers.clock_key, repair_each_clock)
        handovers.insert_handovers(connection, timed(passed), **receipt)
    if signals := [m for p in found for m in p.signals]:
        health_signals.insert_signals(connection, timed(signals), **receipt)
    if unreadable := [m for p in found for m in p.unreadable]:
        inbound_store.insert_unreadable(connection, unreadable, **receipt)


def _inbound_key(m: InboundMessage) -> ClockKey:
    return m.message_id, m.phone_number_id, "inbound", inbound_store.raw_timestamp(m), "", NO_CODE


def _preference_key(p: Preference) -> ClockKey:
    return "", p.phone_number_id, f"preference {p.value} {p.category}", p.raw_timestamp, p.contact, NO_CODE
