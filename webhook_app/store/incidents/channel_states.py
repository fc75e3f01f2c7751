"""The state of channels: their pause, consecutive faults, and the messages that alerts already have there.

Kept in the database, so that another process respects the pause too.
"""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_PAUSE = text("""
INSERT INTO channel_states AS s (channel, paused_until) VALUES (:channel, :until)
ON CONFLICT (channel) DO UPDATE SET paused_until = greatest(s.paused_until, excluded.paused_until)
""")
_END_PAUSES = text("""
UPDATE channel_states SET paused_until = least(paused_until, :now), resent_at = least(resent_at, :now)
""")
_PAUSED_UNTIL = text("SELECT paused_until FROM channel_states WHERE channel = :channel")
_RESENT_AT = text("SELECT resent_at FROM channel_states WHERE channel = :channel")
_RESET_FAULTS = text("UPDATE channel_states SET faults = 0 WHERE channel = :channel AND faults > 0")
_MARK_RESENT = text("UPDATE channel_states SET resent_at = :now WHERE channel = :channel")
_MESSAGE = text("""
SELECT reference, shared FROM channel_messages WHERE incident_id = :incident_id AND channel = :channel
""")
_COUNT_FAULT = text("""
INSERT INTO channel_states AS s (channel, paused_until, faults) VALUES (:channel, :now, 1)
ON CONFLICT (channel) DO UPDATE SET faults = s.faults + 1
RETURNING faults
""")
_SAVE_MESSAGE = text("""
INSERT INTO channel_messages AS m (incident_id, channel, reference, shared, at)
VALUES (:incident_id, :channel, :reference, :shared, :at)
ON CONFLICT (incident_id, channel) DO UPDATE
SET reference = excluded.reference, shared = excluded.shared, at = excluded.at
""")


class ChannelMessage(Struct, frozen=True):
    """The channel's reference to the message of an alert. `shared`: the message is a digest."""

    reference: str
    shared: bool


def paused_until(connection: Connection, channel: str) -> datetime | None:
    """The end of the channel's pause; None if it was never paused."""
    found: datetime | None = connection.execute(_PAUSED_UNTIL, {"channel": channel}).scalar_one_or_none()
    return found


def pause(connection: Connection, channel: str, until: datetime) -> None:
    """Pause the channel until then; a longer pause stays."""
    connection.execute(_PAUSE, {"channel": channel, "until": until})


def end_pauses(connection: Connection, now: datetime) -> None:
    """End the pauses of all channels."""
    connection.execute(_END_PAUSES, {"now": now})


def count_fault(connection: Connection, channel: str, now: datetime) -> int:
    """Count a fault; returns the number of consecutive faults."""
    return int(connection.execute(_COUNT_FAULT, {"channel": channel, "now": now}).scalar_one())


def reset_faults(connection: Connection, channel: str) -> None:
    """Reset the count of consecutive faults, because the channel works again."""
    connection.execute(_RESET_FAULTS, {"channel": channel})


def resent_at(connection: Connection, channel: str) -> datetime | None:
    """When the firing alerts were last sent to the channel again; None if never."""
    found: datetime | None = connection.execute(_RESENT_AT, {"channel": channel}).scalar_one_or_none()
    return found


def mark_resent(connection: Connection, channel: str, now: datetime) -> None:
    """Record that the firing alerts were sent to the channel again."""
    connection.execute(_MARK_RESENT, {"channel": channel, "now": now})


def message_of(connection: Connection, incident_id: int, channel: str) -> ChannelMessage | None:
    """The alert's message in the channel; None if the channel keeps no reference."""
    row = connection.execute(_MESSAGE, {"incident_id": incident_id, "channel": channel}).one_or_none()
    return ChannelMessage(*row) if row else None


def save_message(
    connection: Connection,
    incident_ids: Collection[int],
    channel: str,
    message: ChannelMessage,
    now: datetime,
) -> None:
    """Record that these alerts are shown in this message."""
    values = {"channel": channel, "reference": message.reference, "shared": message.shared, "at": now}
    connection.execute(_SAVE_MESSAGE, [values | {"incident_id": incident_id} for incident_id in incident_ids])
