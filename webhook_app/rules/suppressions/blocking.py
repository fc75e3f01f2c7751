"""Which suppression blocks a message: ranks of reasons, what each scope blocks, and the half-open state after an end.

Takes the suppressions of one person and the category of the message; returns the row that decides.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from webhook_app.rules.suppressions.marketing_pauses import pause_label

REASONS = ("opted_out", "manual", "hard", "unreachable")
"""Strongest first."""
BY_PEOPLE = ("opted_out", "manual")
"""Reasons that a person decided, so that they also apply to a number that may be the same line."""

_NEVER = datetime.max.replace(tzinfo=UTC)
_AUTHENTICATION = ("authentication", "authentication_international")
_NOT_MARKETING = frozenset((*_AUTHENTICATION, "utility", "service", "group_utility", "group_service"))


class ActiveSuppression(Protocol):
    """The fields of an active suppression that decide what it blocks."""

    @property
    def reason(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def until(self) -> datetime | None: ...


class EndingSuppression(ActiveSuppression, Protocol):
    """A suppression that may expire."""

    @property
    def half_open_at(self) -> datetime | None: ...
    @property
    def probe_until(self) -> datetime | None: ...


class DatedSuppression(ActiveSuppression, Protocol):
    """An active suppression with the time of its cause."""

    @property
    def since(self) -> datetime | None: ...


AnySuppression = TypeVar("AnySuppression", bound=ActiveSuppression)


def strength(reason: str, scope: str) -> tuple[int, bool]:
    """Sort key: the strongest reason first; within a reason, `all` before `marketing`."""
    return REASONS.index(reason), scope != "all"


def end_of(row: ActiveSuppression) -> datetime:
    """When it ends. Of two suppressions of one person that say the same, the one that ends later counts."""
    return row.until or _NEVER


def blocking_suppression(
    suppressions: Iterable[AnySuppression], category: str | None, window_open: bool, stop_blocks_all: bool
) -> AnySuppression | None:
    """The strongest of these suppressions that blocks a message of this category, or None. Of equal ones, the first.

    A missing or unknown category counts as marketing. Pass only suppressions that have not expired.
    """
    is_marketing = _plain(category) not in _NOT_MARKETING
    requested_by_person = is_authentication(category) or (not is_marketing and window_open)
    applying = [
        row
        for row in suppressions
        if (is_marketing or row.scope == "all")
        and not (row.reason == "opted_out" and requested_by_person and not stop_blocks_all)
    ]
    return min(applying, key=lambda row: strength(row.reason, row.scope), default=None)


def is_authentication(category: str | None) -> bool:
    """Whether messages of this category carry a code, which the person asked for."""
    return _plain(category) in _AUTHENTICATION


def _plain(category: str | None) -> str:
    return (category or "").lower().replace("-", "_")


def asks_for_replies(suppressions: Iterable["DatedSuppression"], wrote_at: datetime | None) -> bool:
    """Whether the person wrote after their last opt-out, so that a reply is what they ask for.

    An opt-out without a time is one of an erased person, of whom only later messages are stored.
    """
    stopped = [row.since for row in suppressions if row.reason == "opted_out" and row.since is not None]
    return wrote_at is not None and wrote_at > max(stopped, default=wrote_at - timedelta(seconds=1))


def ends_with_probe(reason: str, scope: str) -> bool:
    """Whether one message must succeed before such a suppression ends.

    The end of 131049 is Meta's own, and Meta treats each later marketing message as a probe. A manual suppression
    ends at the time its author set.
    """
    return (reason, scope) == ("unreachable", "all")


def is_half_open(row: EndingSuppression, now: datetime) -> bool:
    """Whether its period is over and a probe decides."""
    ended = row.until is not None and row.until <= now and ends_with_probe(row.reason, row.scope)
    return row.half_open_at is not None or ended


def awaits_probe(row: EndingSuppression, now: datetime) -> bool:
    """Whether a probe was let through and its outcome is not known yet."""
    return is_half_open(row, now) and row.probe_until is not None and row.probe_until > now


_WHY_CODE = {
    131049: "Meta delivers only a limited number of marketing messages to each person, from all businesses together,"
    " and this person has reached the limit. Nothing is wrong with the number; sending again sooner makes the wait"
    " longer.",
    130472: "This person is in an experiment in which Meta does not deliver marketing.",
    131050: "The person told Meta to stop marketing from this business. Only they can resume it.",
    130403: "Your business has blocked this person in WhatsApp. Unblock them there first.",
}
_WHY_REASON = {
    "opted_out": "The person opted out.",
    "manual": "Suppressed by hand; see the note.",
    "hard": "Meta reports that this person cannot be reached from this number at all.",
    "unreachable": "Several messages on different days could not be delivered.",
}
_WHY_HALF_OPEN = "The suppression has expired; the outcome of one message in transit decides."


def why(reason: str, code: int, until: datetime | None = None, *, half_open: bool = False) -> str:
    """Why a contact is suppressed, in a sentence or two for people."""
    if half_open:
        return _WHY_HALF_OPEN
    found = _WHY_CODE.get(code) or _WHY_REASON.get(reason, "")
    return f"{label} {found}" if (label := pause_label(code, until)) else found
