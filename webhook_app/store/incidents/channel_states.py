"""What a channel's next message has to respect: its pause, and the messages that alerts already have there.

Rows, so that another process keeps the pace too. When to pause is not decided here.
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
_COUNT_FAULT = text("""
INSERT INTO channel_states AS s (channel, paused_until, faults) VALUES (:channel, :now, 1)
ON CONFLICT (channel) DO UPDATE SET faults = s.faults + 1
RETURNING faults
""")
_REMEMBER = text("""
INSERT INTO channel_messages AS m (alert_id, channel, reference, shared, at)
VALUES (:alert_id, :channel, :reference, :shared, :at)
ON CONFLICT (alert_id, channel) DO UPDATE
SET reference = excluded.reference, shared = excluded.shared, at = excluded.at
""")


class ChannelMessage(Struct, frozen=True):
    """Where the alert stands in the channel, in the channel's own words."""

    reference: str
    shared: bool


def paused_until(connection: Connection, channel: str) -> datetime | None:
    """Until when nothing is to be sent there; None when it was never paused."""
    statement = text("SELECT paused_until FROM channel_states WHERE channel = :channel")
    found: datetime | None = connection.execute(statement, {"channel": channel}).scalar_one_or_none()
    return found


def pause(connection: Connection, channel: str, until: datetime) -> None:
    """Send nothing before then; a longer pause stays."""
    connection.execute(_PAUSE, {"channel": channel, "until": until})


def count_fault(connection: Connection, channel: str, now: datetime) -> int:
    """One more fault; returns how many there were in a row."""
    return int(connection.execute(_COUNT_FAULT, {"channel": channel, "now": now}).scalar_one())


def forget_faults(connection: Connection, channel: str) -> None:
    """It works again."""
    statement = text("UPDATE channel_states SET faults = 0 WHERE channel = :channel AND faults > 0")
    connection.execute(statement, {"channel": channel})


def resent_at(connection: Connection, channel: str) -> datetime | None:
    """When the channel was last told again what goes on; None when it never was."""
    statement = text("SELECT resent_at FROM channel_states WHERE channel = :channel")
    found: datetime | None = connection.execute(statement, {"channel": channel}).scalar_one_or_none()
    return found


def mark_resent(connection: Connection, channel: str, now: datetime) -> None:
    """The channel has been told again what goes on."""
    statement = text("UPDATE channel_states SET resent_at = :now WHERE channel = :channel")
    connection.execute(statement, {"channel": channel, "now": now})


def message_of(connection: Connection, alert_id: int, channel: str) -> ChannelMessage | None:
    """The alert's message in the channel, if the channel wanted one remembered."""
    statement = text(
        "SELECT reference, shared FROM channel_messages WHERE alert_id = :alert_id AND channel = :channel"
    )
    row = connection.execute(statement, {"alert_id": alert_id, "channel": channel}).one_or_none()
    return ChannelMessage(*row) if row else None


def remember(
    connection: Connection, alert_ids: Collection[int], channel: str, message: ChannelMessage, now: datetime
) -> None:
    """These alerts now stand in this message."""
    values = {"channel": channel, "reference": message.reference, "shared": message.shared, "at": now}
    connection.execute(_REMEMBER, [values | {"alert_id": alert_id} for alert_id in alert_ids])
