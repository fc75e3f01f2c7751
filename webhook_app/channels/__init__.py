"""Ways out, one file each. A channel gets a finished notification and never touches the database."""

from typing import Protocol

from webhook_app.channels.notification import Notification


class SendError(Exception):
    """The channel did not take it. `retry_after`: seconds for which it asked to be left alone."""

    def __init__(self, reason: str, *, permanent: bool, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.permanent = permanent
        self.retry_after = retry_after


class Channel(Protocol):
    """A way to tell people. `name` is what rules call it."""

    @property
    def name(self) -> str: ...

    def send(self, notification: Notification) -> None:
        """Return once it is delivered; raises SendError otherwise. The same one may come again."""
