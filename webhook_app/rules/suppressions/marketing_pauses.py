"""Meta's own pauses of marketing to one person: how they are labelled, and why nobody has to review them.

They end by themselves or when the person writes, and say nothing about whether the person can be reached.
"""

from datetime import datetime
from typing import Protocol

WITHHELD_FOR_NOW = 131049
WITHHELD_UNTIL_THEY_WRITE = 130472
PAUSED_BY_META = (WITHHELD_FOR_NOW, WITHHELD_UNTIL_THEY_WRITE)
"""The codes of messages that Meta withheld."""


class ReviewedSuppression(Protocol):
    """A suppression with what says whether somebody should review it."""

    @property
    def code(self) -> int | None: ...
    @property
    def review(self) -> bool: ...


def waits_for_review(row: ReviewedSuppression) -> bool:
    """Whether a rule made the suppression, nobody has confirmed it, and it is no pause of Meta's."""
    return row.review and row.code not in PAUSED_BY_META


def pause_label(code: int, until: datetime | None) -> str:
    """What the pause is and when it ends, as one sentence; empty for other codes."""
    if code not in PAUSED_BY_META:
        return ""
    if code == WITHHELD_UNTIL_THEY_WRITE:
        end = "until they write to you"
    else:
        end = f"until {until:%Y-%m-%d %H:%M} UTC" if until else "until it is lifted"
    return f"Meta limits marketing to this person {end}."
