"""Decides whether the sender is the reason for a failure: hardly anything that went to other people then arrived.

Holds for senders with three contacts as with thousands, where no rule has enough messages for an incident. Pure: the
caller counts the days.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Protocol

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.suppressions.explained_periods import (
    BY_RATE,
    ExplainedPeriod,
    FailedMessage,
    explainable_codes,
)
from webhook_app.whatsapp.errors.catalogue import explain

NEARLY_ALL = 0.8
_DAYS_BY_SHARE = 3
"""Days of failures in a row that NEARLY_ALL and the slices explain. On later ones nothing at all may have arrived:
people of a small slice who are all unreachable would otherwise explain each other for ever."""
_DAY = timedelta(days=1)
_DAYS_AROUND = (0, 1, 3)
"""A day (UTC) with too few messages to other people is judged with so many days before and after it."""
_LEAST_TO_OTHERS = 2
"""Messages to other people that say whether the sender works: one may be to somebody who is unreachable as well."""
_SLICES: tuple[tuple[str, ...], ...] = ((), ("template",), ("country",))
"""The number as a whole, its template, its country."""

CountDay = Callable[[datetime, Mapping[str, str]], Counts]
"""The messages that the number tried on a day, in a slice of it, and those of them that failed."""


class PlacedFailure(FailedMessage, Protocol):
    """A failed message with the dimensions that are judged."""

    @property
    def message_id(self) -> str: ...
    @property
    def phone_number_id(self) -> str: ...
    @property
    def template(self) -> str: ...
    @property
    def country(self) -> str: ...


def failed_days(
    failure: PlacedFailure,
    own: Iterable[PlacedFailure],
    count_day: CountDay,
    now: datetime,
    in_a_row: Iterable[PlacedFailure] = (),
) -> ExplainedPeriod | None:
    """The days around the failure, if the sender is the reason; None if the others were reached, or nobody knows.

    `own`: the failures of the same person, who says nothing about the sender. `in_a_row`: those since the person was
    last reached. `end` is None until the days are over.
    """
    if failure.error_code not in _soft_codes():
        return None
    day = failure.occurred_at.replace(hour=0, minute=0, second=0, microsecond=0)
    own = [*own, failure]
    by_share = not has_failed_for_days(failure, in_a_row)
    for dimensions in _SLICES if by_share else _SLICES[:1]:
        slice_of = {name: str(getattr(failure, name)) for name in dimensions}
        if "" in slice_of.values():
            continue
        for around in _DAYS_AROUND:
            start, end = day - around * _DAY, day + (around + 1) * _DAY
            tried = _tried(count_day, start, min(end, now), slice_of)
            own_failed = failures_in(own, start, end, slice_of)
            verdict = hardly_anything_arrived(tried, own_failed, NEARLY_ALL if by_share else 1.0)
            if verdict:
                last = None if end > now else end - timedelta(microseconds=1)
                place = {"phone_number_id": failure.phone_number_id} | slice_of
                return ExplainedPeriod(BY_RATE, _soft_codes(), place, start, last, start)
            if verdict is not None:
                break
    return None


def has_failed_for_days(failure: FailedMessage, in_a_row: Iterable[FailedMessage]) -> bool:
    """Whether the person failed on so many days before that of the failure that shares and slices explain no more."""
    day = failure.occurred_at.replace(hour=0, minute=0, second=0, microsecond=0)
    before = {each.occurred_at.date() for each in in_a_row if each.occurred_at < day}
    return len(before) >= _DAYS_BY_SHARE


def hardly_anything_arrived(tried: Counts, own_failures: int, share: float = NEARLY_ALL) -> bool | None:
    """Whether this share of the messages to other people failed; None if there are too few of them to know.

    `own_failures`: the failed messages of the person in question.
    """
    failures = max(tried.failures - own_failures, 0)
    to_others = max(tried.attempts - own_failures, failures)
    return None if to_others < _LEAST_TO_OTHERS else failures >= share * to_others


def _tried(count_day: CountDay, start: datetime, end: datetime, slice_of: Mapping[str, str]) -> Counts:
    attempts = failures = 0
    while start < end:
        found = count_day(start, slice_of)
        attempts, failures = attempts + found.attempts, failures + found.failures
        start += _DAY
    return Counts(attempts, failures)


def failures_in(
    failures: Iterable[PlacedFailure], start: datetime, end: datetime, slice_of: Mapping[str, str]
) -> int:
    """The number of messages among them that failed from `start` to before `end`, in the slice."""
    found = {
        each.message_id
        for each in failures
        if start <= each.occurred_at < end
        and all(getattr(each, name) == value for name, value in slice_of.items())
    }
    return len(found)


@cache
def _soft_codes() -> frozenset[int]:
    return frozenset(code for code in explainable_codes() if explain(code).contact_effect == "soft")
