"""The complete content of one notification, so that a channel need not look anything up.

Contains no contacts, since it leaves the service; of phone numbers only the business's own, as names.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from webhook_app.rules.counts.outcome_measures import OutcomeMeasure

Reason = Literal["fired", "again", "repeated", "escalated", "acknowledged", "snoozed", "resolved", "past"]
"""fired: the incident opened. again: it opened again after its end. past: it is over, seen in late facts."""


class CodeFacts(Struct, frozen=True, kw_only=True):
    """One error code of the incident, with its meaning and advice."""

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


class AffectedPart(Struct, frozen=True, kw_only=True):
    """The part of the traffic where failures are concentrated: values by dimension, and its share of the failures."""

    values: dict[str, tuple[str, ...]]
    failures: int
    share: float


class Evidence(Struct, frozen=True):
    """One alert of the incident: its rule, its group in words, and its last judgement."""

    rule: str
    group: str
    reason: str


class Undelivered(Struct, frozen=True):
    """A channel that did not accept this message, and its fault."""

    channel: str
    fault: str


class Notification(Struct, frozen=True, kw_only=True):
    """One message about one incident. Fields with a default may be missing in rows of an older version."""

    id: int = 0
    """Its id in the outbox, the same at every try; 0 before it is sent."""
    incident_id: int
    reason: Reason
    at: datetime
    title: str
    """What fails and where, the same in every message unless the incident widens."""
    rule: str
    """The rule of the leading alert; `kind` and `group` are that alert's too."""
    kind: str = "rate"
    severity: str
    group: dict[str, str | int]
    confirmed: str = ""
    """What more than reports of senders shows, if that is why the incident is escalated: until now only they did."""
    finding: str = ""
    """The problem, for kinds without a rate: "template order_update was paused by Meta"."""
    codes: tuple[CodeFacts, ...] = ()
    """Most failures first."""
    measure: OutcomeMeasure | None = None
    """What the figures count; None: failed messages."""
    figures: Figures | None = None
    """None for kinds that count no messages."""
    peak_rate: float = 0.0
    peak_at: datetime | None = None
    failures: int = 0
    """Failed messages since the start of the incident, as are `contacts`, `numbers` and `templates`."""
    contacts: int = 0
    reported: int = 0
    """Failed messages that only senders report, besides the `failures` that webhooks show."""
    numbers: tuple[str, ...] = ()
    """Business numbers with failures, most failures first. `more_numbers`: how many there are beyond these."""
    more_numbers: int = 0
    templates: tuple[str, ...] = ()
    more_templates: int = 0
    since: datetime
    """When the incident began: its first failure."""
    opened_at: datetime
    """When its first alert fired; with the id it identifies the incident for good."""
    resolved_at: datetime | None = None
    ended_how: str = ""
    """recovered, quiet (no traffic), faded, chronic or rules (changed); empty while it is open."""
    again: int = 0
    """How often it opened again."""
    slice: AffectedPart | None = None
    samples: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()
    """Further facts as (label, text), in reading order."""
    names: dict[str, str] = {}
    """Names of business numbers and accounts by their ids, for the texts."""
    advice: str = ""
    """What to do, for the incident as a whole."""
    suspected_outage: bool = False
    evidence: tuple[Evidence, ...] = ()
    """Its alerts, the leading one first."""
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

    @property
    def is_over(self) -> bool:
        """Whether the message is about an incident that has ended."""
        return self.reason in ("resolved", "past")


_FORGING = (
    *range(0x20),  # control characters, with line breaks, tabs and the beginning of terminal commands
    *range(0x7F, 0xA0),
    0x2028,  # line and paragraph separators
    0x2029,
    *range(0x202A, 0x202F),  # bidirectional embeddings, overrides and isolates
    *range(0x2066, 0x206A),
)
_TO_SPACES = dict.fromkeys(_FORGING, " ")
_OF_PAGES = {character: " " for character in _FORGING if chr(character) not in "\t\n\r"}


def without_controls(text: str) -> str:
    """Return a text for a page with a space for each control character, except those that break lines."""
    return text.translate(_OF_PAGES)


def one_line(content: Any) -> Any:
    """Return the content of a message with a space for each control character: made-up names forge no lines."""
    if isinstance(content, str):
        return content.translate(_TO_SPACES)
    if isinstance(content, Mapping):
        return {one_line(name): one_line(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [one_line(value) for value in content]
    return content
