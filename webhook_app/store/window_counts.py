"""The counts of one window as a value, grouped any way without asking the database again. No queries here.

A message that failed with two codes counts once for each code, once in each class and once in the total.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from webhook_app.rules.failure_rate import Counts
from webhook_app.whatsapp.error_codes import explain

CLASSES = ("broken", "withheld", "unreachable")
FAILURE_CLASSES = ("broken", "unreachable")
"""What "failure rate" means by itself; the withheld are counted apart."""

GroupKey = tuple[str | int, ...]
"""One value for each dimension grouped by; the code is a number, everything else a text."""

Counted = Callable[[int], bool]
"""Whether a failure with this code counts."""


class SeriesKey(NamedTuple):
    """The dimensions a message is counted under."""

    phone_number_id: str
    waba_id: str
    template: str
    campaign: str
    country: str


class Mark(NamedTuple):
    """One code under which a message failed, in one series."""

    code: int
    series: SeriesKey


class FailedMessages(Struct, frozen=True):
    """How many messages failed with exactly these marks."""

    marks: tuple[Mark, ...]
    messages: int


class WindowCounts(Struct, frozen=True):
    """What one window holds."""

    attempts: dict[SeriesKey, int]
    failed: list[FailedMessages]

    def by_group(self, group_by: Sequence[str], counted: Counted) -> dict[GroupKey, Counts]:
        """Attempts and failures of every group. A code's attempts are those of the rest of its group."""
        others = [name for name in group_by if name != "code"]
        attempts: Counter[GroupKey] = Counter()
        for series, count in self.attempts.items():
            attempts[_values(others, series)] += count
        failures = self.failures_by(lambda mark: _group_of(group_by, mark), counted)
        keys = failures if "code" in group_by else attempts | failures
        at = [place for place, name in enumerate(group_by) if name != "code"]
        return {key: Counts(attempts[tuple(key[i] for i in at)], failures[key]) for key in keys}

    def failures_by(self, key: Callable[[Mark], GroupKey], counted: Counted) -> Counter[GroupKey]:
        """Distinct failed messages under each key that their marks have."""
        found: Counter[GroupKey] = Counter()
        for failed in self.failed:
            for each in {key(mark) for mark in failed.marks if counted(mark.code)}:
                found[each] += failed.messages
        return found

    def failures(self, counted: Counted) -> int:
        """Distinct messages with a failure that counts."""
        return sum(f.messages for f in self.failed if any(counted(mark.code) for mark in f.marks))

    def failures_by_class(self) -> dict[str, int]:
        """Distinct messages of each class; one that failed in two classes counts in both."""
        found = self.failures_by(lambda mark: (class_of(mark.code),), lambda _: True)
        return {name: found[(name,)] for name in CLASSES}

    def within(self, group: dict[str, str | int]) -> "WindowCounts":
        """Only what belongs to this group: its series, and of its code, if it has one, the marks."""
        dimensions = {name: value for name, value in group.items() if name != "code"}

        def holds(series: SeriesKey) -> bool:
            return all(getattr(series, name) == value for name, value in dimensions.items())

        code = group.get("code")
        kept = [
            FailedMessages(marks, f.messages)
            for f in self.failed
            if (marks := tuple(m for m in f.marks if code in (None, m.code) and holds(m.series)))
        ]
        return WindowCounts({s: count for s, count in self.attempts.items() if holds(s)}, kept)


def class_of(code: int) -> str:
    """Whose trouble the code is: broken, withheld or unreachable."""
    return explain(code).failure_class


def is_failure(code: int) -> bool:
    """Whether the code belongs to what is called the failure rate."""
    return class_of(code) in FAILURE_CLASSES


def _group_of(group_by: Sequence[str], mark: Mark) -> GroupKey:
    return tuple(mark.code if name == "code" else getattr(mark.series, name) for name in group_by)


def _values(names: Sequence[str], series: SeriesKey) -> GroupKey:
    return tuple(getattr(series, name) for name in names)
