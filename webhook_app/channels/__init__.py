"""Notification channels, one module each. A channel gets a complete notification and does not use the database."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from webhook_app.channels.notification import Notification
from webhook_app.whatsapp.json_text import scrub

_MAX_REASON = 1000


class SendError(Exception):
    """The channel did not accept a message. The reason, which may be a server's text, is made fit to be stored.

    `retry_after`: the pause it asked for, in seconds. `of_message`: the message is the cause, not the channel.
    """

    def __init__(
        self, reason: str, *, permanent: bool, retry_after: float | None = None, of_message: bool = False
    ) -> None:
        super().__init__(scrub(reason)[:_MAX_REASON])
        self.permanent = permanent
        self.retry_after = retry_after
        self.of_message = of_message


class Receipt(Struct, frozen=True):
    """The channel's own reference to what it sent, passed back with the alert's next notification.

    `shared`: the reference belongs to several alerts.
    """

    reference: str
    shared: bool = False


class Channel(Protocol):
    """A way to notify people. `name` is its name in rules; `pace_s` is the minimum time between two messages."""

    @property
    def name(self) -> str: ...

    @property
    def pace_s(self) -> float: ...

    def send(self, notification: Notification, earlier: Receipt | None = None) -> Receipt | None:
        """Send it, or raise SendError. The same notification may be sent again. `earlier`: the alert's last receipt."""


@runtime_checkable
class DigestChannel(Channel, Protocol):
    """A channel that combines `digest_from` or more waiting notifications, up to `digest_size`, in one message."""

    @property
    def digest_from(self) -> int: ...

    @property
    def digest_size(self) -> int: ...

    def send_digest(self, notifications: Sequence[Notification]) -> Receipt | None:
        """Send one message that lists each; all share the receipt. Raises SendError."""


@runtime_checkable
class ResendingChannel(Channel, Protocol):
    """A channel that drops an alert unless it is sent again every `resend_s` seconds."""

    @property
    def resend_s(self) -> float: ...

    def resend(self, notifications: Sequence[Notification], earlier: Sequence[Receipt | None]) -> None:
        """Send alerts that still fire again, each with its last receipt. Raises SendError."""
