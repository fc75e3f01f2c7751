"""Ways out, one file each. A channel gets a finished notification and never touches the database."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from webhook_app.channels.notification import Notification


class SendError(Exception):
    """The channel did not take it.

    `retry_after`: seconds for which it asked to be left alone. `of_message`: another message may well be taken.
    """

    def __init__(
        self, reason: str, *, permanent: bool, retry_after: float | None = None, of_message: bool = False
    ) -> None:
        super().__init__(reason)
        self.permanent = permanent
        self.retry_after = retry_after
        self.of_message = of_message


class Receipt(Struct, frozen=True):
    """What a channel wants to be handed with the next notification of the same alert. `shared` with other alerts."""

    reference: str
    shared: bool = False


class Channel(Protocol):
    """A way to tell people. `name` is what rules call it; `pace_s` the least time between two messages."""

    @property
    def name(self) -> str: ...

    @property
    def pace_s(self) -> float: ...

    def send(self, notification: Notification, earlier: Receipt | None = None) -> Receipt | None:
        """Return once it is delivered; raises SendError otherwise. The same one may come again."""


@runtime_checkable
class DigestChannel(Channel, Protocol):
    """A way to tell people that collapses floods: from `digest_from` waiting ones on, up to `digest_size` at once."""

    @property
    def digest_from(self) -> int: ...

    @property
    def digest_size(self) -> int: ...

    def send_digest(self, notifications: Sequence[Notification]) -> Receipt | None:
        """One message that names each; the receipt is shared by all. Raises SendError."""


@runtime_checkable
class ResendingChannel(Channel, Protocol):
    """A way out that forgets what it is not told again every `resend_s` seconds."""

    @property
    def resend_s(self) -> float: ...

    def resend(self, notifications: Sequence[Notification]) -> None:
        """Say again that these go on, as known now. Raises SendError."""
