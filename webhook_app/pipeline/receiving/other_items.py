"""Stores the items of deliveries that are not statuses: messages, preferences, changes of number, signals, others."""

from collections.abc import Sequence
from typing import Any

from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.receiving import clock_repairs, health_signals
from webhook_app.store.receiving import inbound as inbound_store
from webhook_app.whatsapp.events import NO_CODE, Parsed, Preference

MAX_CLOCK_AHEAD_S = 300
"""A timestamp further in the future comes from a wrong clock."""


def insert_others(
    connection: DriverConnection, found: Sequence[Parsed], now_s: int, receipt: dict[str, Any]
) -> None:
    latest = now_s + MAX_CLOCK_AHEAD_S

    def timed(items: list[Any]) -> list[tuple[Any, int]]:
        """Pair each item with its time: the receipt when Meta gave none or one too far in the future."""
        usable = [i.timestamp if i.timestamp and i.timestamp <= latest else now_s for i in items]
        return list(zip(items, usable, strict=True))

    if inbound := [m for p in found for m in p.inbound]:
        odd = [m for m in inbound if m.timestamp is None or m.timestamp > latest]
        keys = [
            (m.message_id, m.phone_number_id, "inbound", inbound_store.raw_timestamp(m), "", NO_CODE)
            for m in odd
        ]
        if keys:
            clock_repairs.repair_clocks(connection, keys, receipt["received_at"].replace(microsecond=0))
        inbound_store.insert_inbound(connection, timed(inbound), **receipt)
    if preferences := [m for p in found for m in p.preferences]:
        if keys := [_preference_key(p) for p in preferences if p.timestamp is None or p.timestamp > latest]:
            clock_repairs.repair_each_clock(connection, keys, receipt["received_at"].replace(microsecond=0))
        inbound_store.insert_preferences(connection, timed(preferences), **receipt)
    if changes := [m for p in found for m in p.number_changes]:
        inbound_store.insert_number_changes(connection, timed(changes), **receipt)
    if signals := [m for p in found for m in p.signals]:
        health_signals.insert_signals(connection, timed(signals), **receipt)
    if unreadable := [m for p in found for m in p.unreadable]:
        inbound_store.insert_unreadable(connection, unreadable, **receipt)


def _preference_key(p: Preference) -> clock_repairs.ClockKey:
    return "", p.phone_number_id, f"preference {p.value} {p.category}", p.raw_timestamp, p.contact, NO_CODE
