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
    """The template, country and business number that most of the failures belong to."""

    phone_number_id: str
    template: str
    country: str
    failures: int
    share: float


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
