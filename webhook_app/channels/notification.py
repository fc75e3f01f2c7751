"""What a channel is given: everything to be said about an alert at one moment, nothing left to look up.

No phone numbers and no contacts: these values leave the house.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Reason = Literal["fired", "repeated", "resolved"]


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


class Notification(Struct, frozen=True, kw_only=True):
    """One message about one alert."""

    alert_id: int
    reason: Reason
    at: datetime
    rule: str
    severity: str
    group: dict[str, str | int]
    codes: tuple[CodeFacts, ...]
    """Most failures first."""
    figures: Figures
    peak_rate: float
    contacts: int
    since: datetime
    """The first failure seen when the alert began."""
    resolved_at: datetime | None
    slice: Slice | None
    samples: tuple[str, ...]
    why: str
    runbook: str
    link: str
