"""What a channel is given: everything to be said about an alert at one moment, nothing left to look up.

No phone numbers and no contacts: these values leave the house.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Reason = Literal["fired", "repeated", "escalated", "acknowledged", "snoozed", "resolved"]


class CodeFacts(Struct, frozen=True, kw_only=True):
    """One error code of the alert, explained."""

    code: int
    title: str
    meaning: str
    failure_class: str
    action: str
    advice: str
    """Whether and when to send again, and the action."""
    mistaken_for: str
    failures: int


class Figures(Struct, frozen=True, kw_only=True):
    """How bad it is: shares between 0 and 1, `low` and `high` the 95 % interval."""

    attempts: int
    failures: int
    rate: float
    low: float
    high: float
    threshold: float
    window_minutes: int


class Slice(Struct, frozen=True, kw_only=True):
    """What most of the failures share. A dimension is None where they differ, an empty text where it is absent."""

    failures: int
    share: float
    phone_number_id: str | None = None
    template: str | None = None
    country: str | None = None


class Undelivered(Struct, frozen=True):
    """A channel that did not take this message, and what it said."""

    channel: str
    fault: str


class Notification(Struct, frozen=True, kw_only=True):
    """One message about one alert. What has a default may be missing in rows of an older version."""

    id: int = 0
    """Its number in the outbox, the same at every try; 0 until it is sent."""
    alert_id: int
    reason: Reason
    at: datetime
    rule: str
    kind: str = "rate"
    severity: str
    group: dict[str, str | int]
    finding: str = ""
    """What is the matter, for kinds that no rate tells: "template order_update was paused by Meta"."""
    codes: tuple[CodeFacts, ...] = ()
    """Most failures first."""
    figures: Figures | None = None
    """None for kinds that count no messages."""
    peak_rate: float = 0.0
    contacts: int = 0
    since: datetime
    """The first failure seen when the alert began."""
    resolved_at: datetime | None = None
    slice: Slice | None = None
    samples: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    """Further facts as (label, text), in reading order."""
    advice: str = ""
    """What to do, where no code says it."""
    why: str
    runbook: str = ""
    link: str = ""
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    snoozed_until: datetime | None = None
    actor: str = ""
    """Who acknowledged or snoozed, when that is the news."""
    undelivered: tuple[Undelivered, ...] = ()
    """Told here because these channels could not be."""
