"""The complete content of one notification, so that a channel need not look anything up.

Contains no phone numbers or contacts, since it leaves the service.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Reason = Literal["fired", "repeated", "escalated", "acknowledged", "snoozed", "resolved"]


class CodeFacts(Struct, frozen=True, kw_only=True):
    """One error code of the alert, with its meaning and advice."""

    code: int
    title: str
    meaning: str
    failure_class: str
    action: str
    advice: str
    """Whether and when to retry, and what to do."""
    mistaken_for: str
    failures: int


class Figures(Struct, frozen=True, kw_only=True):
    """The figures of the window. Shares are between 0 and 1; `low` and `high` are the 95 % interval."""

    attempts: int
    failures: int
    rate: float
    low: float
    high: float
    threshold: float
    window_minutes: int


class Slice(Struct, frozen=True, kw_only=True):
    """The part of the traffic with most failures. A dimension is None if it varies, empty if it is absent."""

    failures: int
    share: float
    phone_number_id: str | None = None
    template: str | None = None
    country: str | None = None


class Undelivered(Struct, frozen=True):
    """A channel that did not accept this message, and its fault."""

    channel: str
    fault: str


class Notification(Struct, frozen=True, kw_only=True):
    """One message about one alert. Fields with a default may be missing in rows of an older version."""

    id: int = 0
    """Its id in the outbox, the same at every try; 0 before it is sent."""
    alert_id: int
    reason: Reason
    at: datetime
    rule: str
    kind: str = "rate"
    severity: str
    group: dict[str, str | int]
    finding: str = ""
    """The problem, for kinds without a rate: "template order_update was paused by Meta"."""
    codes: tuple[CodeFacts, ...] = ()
    """Most failures first."""
    figures: Figures | None = None
    """None for kinds that count no messages."""
    peak_rate: float = 0.0
    contacts: int = 0
    since: datetime
    """When the alert began: its first failure."""
    resolved_at: datetime | None = None
    slice: Slice | None = None
    samples: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    """Further facts as (label, text), in reading order."""
    advice: str = ""
    """What to do, for kinds without a code."""
    why: str
    runbook: str = ""
    link: str = ""
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    snoozed_until: datetime | None = None
    actor: str = ""
    """Who acknowledged or snoozed, if that is the reason."""
    undelivered: tuple[Undelivered, ...] = ()
    """Channels that did not accept the message, if it was rerouted."""
