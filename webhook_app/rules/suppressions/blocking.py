"""What suppressions forbid: the rows of one person and a message's category in, the row that decides out.

Here stand the ranks of reasons, what each scope blocks, and the half-open state after an end.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, TypeVar

REASONS = ("opted_out", "manual", "hard", "unreachable")
"""Strongest first."""

_AUTHENTICATION = ("authentication", "authentication_international")
_NOT_MARKETING = frozenset((*_AUTHENTICATION, "utility", "service", "group_utility", "group_service"))


class ActiveSuppression(Protocol):
    """A suppression in force, whatever else its row holds."""

    @property
    def reason(self) -> str: ...
    @property
    def scope(self) -> str: ...


class EndingSuppression(ActiveSuppression, Protocol):
    """One that may run out."""

    @property
    def until(self) -> datetime | None: ...
    @property
    def half_open_at(self) -> datetime | None: ...
    @property
    def probe_until(self) -> datetime | None: ...


AnySuppression = TypeVar("AnySuppression", bound=ActiveSuppression)


def outranks(a: str, b: str) -> bool:
    """Whether reason a is stronger than reason b."""
    return REASONS.index(a) < REASONS.index(b)


def strength(reason: str, scope: str) -> tuple[int, bool]:
    """Sorts the strongest first; of one reason `all` before `marketing`."""
    return REASONS.index(reason), scope != "all"


def blocking(
    suppressions: Iterable[AnySuppression], category: str | None, window_open: bool, stop_blocks_all: bool
) -> AnySuppression | None:
    """The strongest of these suppressions that forbids a message of this category, None when none does.

    A missing or unknown category is judged as marketing. Pass only suppressions that have not run out.
    """
    judged = (category or "").lower().replace("-", "_")
    judged = judged if judged in _NOT_MARKETING else "marketing"
    asked_for = judged in _AUTHENTICATION or (judged != "marketing" and window_open)
    applying = [
        standing
        for standing in suppressions
        if (judged == "marketing" or standing.scope == "all")
        and not (standing.reason == "opted_out" and asked_for and not stop_blocks_all)
    ]
    return min(applying, key=lambda standing: strength(standing.reason, standing.scope), default=None)


def ends_with_a_probe(reason: str, scope: str) -> bool:
    """Whether such a suppression does not simply end: one message finds out whether the person is back.

    The end of 131049 is Meta's own, and every marketing message after it is a probe to Meta as well. What people
    decided (manual) ends when they said.
    """
    return (reason, scope) == ("unreachable", "all")


def is_in_force(row: EndingSuppression, now: datetime) -> bool:
    """Whether it still has a say; what ends with a probe has, until that probe's fate ends it."""
    return row.until is None or row.until > now or ends_with_a_probe(row.reason, row.scope)


def is_half_open(row: EndingSuppression, now: datetime) -> bool:
    """Whether its time is over and a probe is to decide."""
    ended = row.until is not None and row.until <= now and ends_with_a_probe(row.reason, row.scope)
    return row.half_open_at is not None or ended


def awaits_its_probe(row: EndingSuppression, now: datetime) -> bool:
    """Whether somebody was let through already and the fate of that message is not known yet."""
    return is_half_open(row, now) and row.probe_until is not None and row.probe_until > now


_WHY_CODE = {
    131049: "Meta delivers only so much marketing to each person, from all businesses together, and this person has"
    " had it for now. Nothing is wrong with the number; sending again sooner makes the wait longer.",
    130472: "This person is in an experiment of Meta's in which marketing is not delivered. It ends for you when"
    " they write to you.",
    131050: "The person told Meta to stop marketing from this business. Only they can resume it.",
    130403: "Your business has blocked this person in WhatsApp. Unblock them there first.",
}
_WHY_REASON = {
    "opted_out": "The person asked not to be written to.",
    "manual": "Somebody decided this by hand; see the note.",
    "hard": "Meta says that this person can not be reached from this number at all.",
    "unreachable": "Several messages on different days could not be delivered.",
}
_WHY_HALF_OPEN = "Its time is over; the fate of one message, which is on its way, decides."


def why(reason: str, code: int, *, half_open: bool = False) -> str:
    """One sentence for people about what stands against writing to somebody."""
    return _WHY_HALF_OPEN if half_open else _WHY_CODE.get(code) or _WHY_REASON.get(reason, "")
