"""Makes due what waits for a time that a clock which was ahead stored."""

from datetime import datetime

from webhook_app.store.incidents import channel_states, waiting_notifications
from webhook_app.store.postgres.engine import Engine


def make_due(engine: Engine, now: datetime) -> None:
    """End the pauses of all channels and the waits and leases of their notifications: some are tried early."""
    with engine.begin() as connection:
        channel_states.end_pauses(connection, now)
        waiting_notifications.make_due(connection, now)
