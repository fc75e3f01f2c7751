"""The counts of one window as a value that can be grouped by any dimensions. No queries here.

A message that failed with two codes counts once for each code, once in each class and once in the total.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache, cached_property
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.whatsapp.errors.catalogue import explain

CLASSES = ("broken", "withheld", "unreachable")
FAILURE_CLASSES = ("broken", "unreachable")
"""The classes that "failure rate" counts; withheld messages are counted separately."""

GroupKey = tuple[str | int, ...]
"""One value for each dimension of the grouping; the code is a number, everything else a text."""

OUTCOME = -3
"""The code of messages in windows of outcomes, which count something else than failures (outcome_counts.py)."""

Counted = Callable[[int], bool]
"""Whether a failure with this code counts."""


class Mark(NamedTuple):
    """One code under which a message failed, in one series."""

    code: int
    series: SeriesKey


class FailedMessages(Struct, frozen=True):
    """The number of messages that failed with exactly these marks."""

    marks: tuple[Mark, ...]
    messages: int


class GroupCounts(dict[GroupKey, Counts]):
    """The counts of each group. Those of kept windows are kept, and with them what was selected from them."""

    def __init__(self, counts: Mapping[GroupKey, Counts]) -> None:
        super().__init__(counts)
        self.selected: dict[Hashable, list[GroupKey]] = {}
        """Groups by the criterion that selected them."""


class WindowCounts(Struct, frozen=True, dict=True):
    """The counts of one window. Sums are computed once for each set of dimensions."""

    attempts: dict[SeriesKey, int]
    failed: list[FailedMessages]
    parts: tuple["WindowCounts", ...] = ()
    """The windows it was joined from. Their sums by group are added, so that those of kept windows are used again."""

    @staticmethod
    def joined(*parts: "WindowCounts") -> "WindowCounts":
        """Windows that follow each other as one. A message that failed in two of them counts twice."""
        attempts: dict[SeriesKey, int] = {}
        for part in parts:
            for series, count in part.attempts.items():
                attempts[series] = attempts.get(series, 0) + count
        return WindowCounts(attempts, [failed for part in parts for failed in part.failed], parts)

    def plus(self, other: "WindowCounts") -> "WindowCounts":
        """Both windows as one."""
        attempts = dict(self.attempts)
        for series, count in other.attempts.items():
            attempts[series] = attempts.get(series, 0) + count
        failed: Counter[tuple[Mark, ...]] = Counter()
        for each in (*self.failed, *other.failed):
            failed[each.marks] += each.messages
        return WindowCounts(attempts, [FailedMessages(marks, messages) for marks, messages in failed.items()])

    def without(self, failures: Mapping[tuple[Mark, ...], int]) -> "WindowCounts":
        """The window without these failed messages, by their marks; attempts stay."""
        spent, kept = dict(failures), []
        for each in self.failed:
            if taken := min(spent.get(each.marks, 0), each.messages):
                spent[each.marks] -= taken
            if taken < each.messages:
                kept.append(FailedMessages(each.marks, each.messages - taken))
        return WindowCounts(self.attempts, kept)

    def less(self, reported: "ReportedCounts") -> "WindowCounts":
        """The window without what only reports of senders add to it."""
        attempts = dict(self.attempts)
        for series, count in reported.attempts.items():
            if (left := attempts.pop(series, 0) - count) > 0:
                attempts[series] = left
        codes = {each.marks[0].code for each in (*reported.failed, *reported.of_webhooks)}
        kept = [each for each in self.failed if each.marks[0].code not in codes]
        failed = Counter[tuple[Mark, ...]]()
        for each in (*self.failed, *reported.of_webhooks):
            if each.marks[0].code in codes:
                failed[each.marks] += each.messages
        for each in reported.failed:
            failed[each.marks] -= each.messages
        kept += [FailedMessages(marks, messages) for marks, messages in failed.items() if messages > 0]
        taken, added = (
            WindowCounts(reported.attempts, reported.failed),
            WindowCounts({}, reported.of_webhooks),
        )
        return RestOfWindow(attempts, kept, whole=self, taken=taken, added=added)

    def by_group(self, group_by: Sequence[str], counted: Counted) -> GroupCounts:
        """Attempts and failures of every group. A code has the attempts of its group without the code.

        Long windows are kept between evaluations, and their groups with them.
        """
        key = tuple(group_by), frozenset(filter(counted, self._codes))
        if key not in self._groups:
            self._groups[key] = GroupCounts(self._count_groups(key[0], key[1].__contains__))
        return self._groups[key]

    def _count_groups(self, group_by: tuple[str, ...], counted: Counted) -> dict[GroupKey, Counts]:
        others = tuple(name for name in group_by if name != "code")
        attempts = self.attempts_by(others)
        failures = self._failures_by_group(group_by, counted)
        if "code" not in group_by:
            return {
                key: Counts(attempts.get(key, 0), failures.get(key, 0))
                for key in attempts.keys() | failures.keys()
            }
        at = group_by.index("code")
        return {
            key: Counts(attempts.get(key[:at] + key[at + 1 :], 0), failed) for key, failed in failures.items()
        }

    def attempts_by(self, names: tuple[str, ...]) -> Mapping[GroupKey, int]:
        """Attempts by these dimensions of a series."""
        if names not in self.attempts_by_names:
            found: dict[GroupKey, int] = {}
            values = values_of(names)
            attempts = {} if self.parts else self.attempts
            for place, count in zip(map(values, attempts), attempts.values(), strict=True):
                found[place] = found.get(place, 0) + count
            for part in self.parts:
                for place, count in part.attempts_by(names).items():
                    found[place] = found.get(place, 0) + count
            self.attempts_by_names[names] = found
        return self.attempts_by_names[names]

    def failed_once_by(self, names: tuple[str, ...]) -> dict[int, dict[GroupKey, int]]:
        """Messages with a single failure, by code and then by these dimensions."""
        if names not in self._once:
            found: dict[int, dict[GroupKey, int]] = {}
            values = values_of(names)
            for code, (once, several) in self._single.items():
                places = found[code] = Counter(map(values, once))
                for series, messages in several:
                    places[values(series)] += messages
            self._once[names] = found
        return self._once[names]

    @cached_property
    def attempts_by_names(self) -> dict[tuple[str, ...], Mapping[GroupKey, int]]:
        """The sums of `attempts_by`, each computed once. A caller that knows some may put them here."""
        return {}

    @cached_property
    def _codes(self) -> frozenset[int]:
        return frozenset(mark.code for failed in self.failed for mark in failed.marks)

    @cached_property
    def _groups(self) -> dict[tuple[tuple[str, ...], frozenset[int]], GroupCounts]:
        return {}

    @cached_property
    def _once(self) -> dict[tuple[str, ...], dict[int, dict[GroupKey, int]]]:
        return {}

    @cached_property
    def _single(self) -> dict[int, tuple[list[SeriesKey], list[tuple[SeriesKey, int]]]]:
        """By code: the series of single messages, which are most, and series with their numbers of messages."""
        found: dict[int, tuple[list[SeriesKey], list[tuple[SeriesKey, int]]]] = {}
        for failed in self.failed:
            if len(failed.marks) > 1:
                continue
            code, series = failed.marks[0]
            once, several = found.get(code) or found.setdefault(code, ([], []))
            if failed.messages == 1:
                once.append(series)
            else:
                several.append((series, failed.messages))
        return found

    @cached_property
    def _again(self) -> list[FailedMessages]:
        return [failed for failed in self.failed if len(failed.marks) > 1]

    @cached_property
    def _groups_again(self) -> dict[tuple[str, ...], list[tuple[list[tuple[int, GroupKey]], int]]]:
        return {}

    def failed_again_by(self, group_by: tuple[str, ...]) -> list[tuple[list[tuple[int, GroupKey]], int]]:
        """Sets of several marks, as codes with their groups, and the number of messages that have each set."""
        if group_by not in self._groups_again:
            self._groups_again[group_by] = [
                ([(mark.code, _group_of(group_by, mark)) for mark in failed.marks], failed.messages)
                for failed in self._again
            ]
        return self._groups_again[group_by]

    def _failures_by_group(self, group_by: tuple[str, ...], counted: Counted) -> dict[GroupKey, int]:
        if self.parts:
            return self._failures_of_parts(group_by, counted)
        found: dict[GroupKey, int] = {}
        others = tuple(name for name in group_by if name != "code")
        at = group_by.index("code") if "code" in group_by else None
        for code, places in self.failed_once_by(others).items():
            if not counted(code):
                continue
            if at is not None:
                found |= {(*place[:at], code, *place[at:]): messages for place, messages in places.items()}
            else:
                for place, messages in places.items():
                    found[place] = found.get(place, 0) + messages
        for marks, messages in self.failed_again_by(group_by):
            for each in {group for code, group in marks if counted(code)}:
                found[each] = found.get(each, 0) + messages
        return found

    def _failures_of_parts(self, group_by: tuple[str, ...], counted: Counted) -> dict[GroupKey, int]:
        found: dict[GroupKey, int] = {}
        for part in self.parts:
            for group, counts in part.by_group(group_by, counted).items():
                if counts.failures:
                    found[group] = found.get(group, 0) + counts.failures
        return found

    def failures_by(self, key: Callable[[Mark], GroupKey], counted: Counted) -> Counter[GroupKey]:
        """Distinct failed messages by the keys of their marks."""
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

    def failed_within(self, group: Mapping[str, str | int]) -> list[FailedMessages]:
        """The failed messages of this group, with their marks in it. All groups are sorted out in one pass."""
        names = tuple(sorted(group))
        if names not in self._failed_within:
            self._failed_within[names] = self._sort_failed(names)
        return self._failed_within[names].get(tuple(group[name] for name in names), [])

    @cached_property
    def _failed_within(self) -> dict[tuple[str, ...], dict[GroupKey, list[FailedMessages]]]:
        return {}

    def _sort_failed(self, names: tuple[str, ...]) -> dict[GroupKey, list[FailedMessages]]:
        found: dict[GroupKey, list[FailedMessages]] = {}
        for failed in self.failed:
            if len(failed.marks) == 1:
                found.setdefault(_group_of(names, failed.marks[0]), []).append(failed)
                continue
            marks: dict[GroupKey, list[Mark]] = {}
            for mark in failed.marks:
                marks.setdefault(_group_of(names, mark), []).append(mark)
            for key, held in marks.items():
                found.setdefault(key, []).append(FailedMessages(tuple(held), failed.messages))
        return found


class RestOfWindow(WindowCounts, frozen=True, dict=True, kw_only=True):
    """A window without what is reported. Its sums are those of the whole less the few that are taken out."""

    whole: WindowCounts
    taken: WindowCounts
    added: WindowCounts

    @cached_property
    def _codes(self) -> frozenset[int]:
        return self.whole._codes | self.added._codes  # noqa: SLF001  of its own base class

    def attempts_by(self, names: tuple[str, ...]) -> Mapping[GroupKey, int]:
        if names not in self.attempts_by_names:
            found = dict(self.whole.attempts_by(names))
            for place, count in self.taken.attempts_by(names).items():
                if (left := found.pop(place, 0) - count) > 0:
                    found[place] = left
            self.attempts_by_names[names] = found
        return self.attempts_by_names[names]

    def _failures_by_group(self, group_by: tuple[str, ...], counted: Counted) -> dict[GroupKey, int]:
        groups = self.whole.by_group(group_by, counted)
        found = {group: counts.failures for group, counts in groups.items() if counts.failures}
        for group, counts in self.added.by_group(group_by, counted).items():
            found[group] = found.get(group, 0) + counts.failures
        for group, counts in self.taken.by_group(group_by, counted).items():
            if (left := found.pop(group, 0) - counts.failures) > 0:
                found[group] = left
        return found


class ReportedCounts(Struct, frozen=True):
    """What reports of senders add to a window: it may be made up."""

    attempts: dict[SeriesKey, int] = {}
    """Messages of which no webhook says anything."""
    failed: list[FailedMessages] = []
    """Messages with a reported failure, as the window counts them."""
    of_webhooks: list[FailedMessages] = []
    """Those of them that webhooks say failed too, as they count without the reports."""

    def plus(self, other: "ReportedCounts") -> "ReportedCounts":
        """What reports add to both windows."""
        attempts = Counter(self.attempts)
        attempts.update(other.attempts)
        return ReportedCounts(
            attempts, [*self.failed, *other.failed], [*self.of_webhooks, *other.of_webhooks]
        )


NOTHING_REPORTED = ReportedCounts()


def class_of(code: int) -> str:
    """The failure class of the code: broken, withheld or unreachable."""
    return explain(code).failure_class


def is_failure(code: int) -> bool:
    """Whether the code counts in the failure rate."""
    return class_of(code) in FAILURE_CLASSES


def _group_of(group_by: Sequence[str], mark: Mark) -> GroupKey:
    return tuple(mark.code if name == "code" else getattr(mark.series, name) for name in group_by)


@cache
def values_of(names: tuple[str, ...]) -> Callable[[SeriesKey], GroupKey]:
    """A function that returns these dimensions of a series."""
    places = [SeriesKey._fields.index(name) for name in names]
    if len(places) > 1:
        return itemgetter(*places)
    return (lambda series: (series[places[0]],)) if places else (lambda _: ())
