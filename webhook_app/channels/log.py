"""The same message as plain text on a stream: the way out when nothing else is set up."""

from typing import TextIO

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.alert_text import compose, plain
from webhook_app.channels.notification import Notification


class LogChannel:
    """Writes to `stream`, one blank line after each message."""

    name = "log"
    pace_s = 0.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, notification: Notification, earlier: Receipt | None = None) -> None:
        """Write and flush it; SendError when the stream does not take it."""
        del earlier
        try:
            self._stream.write(plain(compose(notification)) + "\n\n")
            self._stream.flush()
        except (OSError, ValueError) as fault:
            raise SendError(f"the stream: {fault}", permanent=False) from fault
