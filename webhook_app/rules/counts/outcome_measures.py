"""The shares by which outcomes of messages are judged: no report in time, and slow deliveries. Values only."""

from datetime import timedelta
from typing import Literal, NamedTuple

UNDELIVERED_MINUTES = (5, 15, 30, 60)
SLOW_SECONDS = (10, 30, 60, 120, 300, 900)
"""The limits that are counted. Each is a column of `stage_counts`, so that evaluations never read events."""

LIVE_WITHIN = timedelta(minutes=2)
"""A `sent` that arrives later belongs to a backlog, in which its `delivered` may come much later still."""

TIMED_WITHIN = timedelta(hours=1)
"""A delivery that takes longer had to wait for the recipient's phone, and says nothing about speed."""


class OutcomeMeasure(NamedTuple):
    """undelivered: of the messages sent, those neither delivered nor failed within `limit` minutes.

    slow: of the messages delivered within an hour, those that took longer than `limit` seconds.
    """

    kind: Literal["undelivered", "slow"]
    limit: int

    @property
    def delay_minutes(self) -> int:
        """How many minutes must pass before the messages of a minute can be judged."""
        return self.limit if self.kind == "undelivered" else 0

    def describe(self, messages: str, window: str) -> str:
        """What is counted, in words: "3 of 5 messages sent in 15 min have no delivery report 15 min later"."""
        if self.kind == "undelivered":
            return f"{messages} sent in {window} have no delivery report {self.limit} min later"
        return f"{messages} delivered in {window} took longer than {self.limit} s"


MEASURES = (
    *(OutcomeMeasure("undelivered", minutes) for minutes in UNDELIVERED_MINUTES),
    *(OutcomeMeasure("slow", seconds) for seconds in SLOW_SECONDS),
)
"""Every measure that is counted."""
