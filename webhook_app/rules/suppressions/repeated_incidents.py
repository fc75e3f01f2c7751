"""Decides which failures count although an incident or a rate excused them: those of people who fail again and again.

An outage does not return for one person alone while others are reached. Pure: the caller counts the messages.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.suppressions.explained_periods import EXPLAINED_AT_MOST
from webhook_app.rules.suppressions.failed_days import (
    NEARLY_ALL,
    PlacedFailure,
    failures_in,
    hardly_anything_arrived,
    has_failed_for_days,
)

INCIDENTS_EXCUSED = 2
"""In a third incident in a row a person's failures may count, if each began EXPLAINED_AT_MOST after the one before: an
outage may last for days and be reported as several incidents."""

_STEP, _AROUND = timedelta(minutes=10), timedelta(minutes=30)
_MOST = 0.5
"""With a bad list about a third fails, in an outage nearly all."""
_SLICES = (("phone_number_id",), ("waba_id",), ())
_SMALL_SLICES = (("phone_number_id", "template"), ("phone_number_id", "country"))

CountBetween = Callable[[datetime, datetime, Mapping[str, str]], Counts]
"""The messages tried from the first to before the second time, in a slice of all, and those of them that failed."""
Failure = TypeVar("Failure", bound=PlacedFailure)


def are_in_several_incidents(excused: Iterable[PlacedFailure]) -> bool:
    """Whether failures that incidents excuse, all of one person, lie in more incidents than are excused."""
    incidents, began = 0, None
    for at in sorted(failure.occurred_at for failure in excused):
        if began is None or at - began >= EXPLAINED_AT_MOST:
            incidents, began = incidents + 1, at
    return incidents > INCIDENTS_EXCUSED


def no_longer_excused(
    excused: Sequence[Failure], in_a_row: Sequence[PlacedFailure], count_between: CountBetween
) -> list[Failure]:
    """Those of one person's excused failures that count after all.

    `excused`: by incidents or high rates. `in_a_row`: every failure since the person was last reached.
    """
    if not are_in_several_incidents(excused):
        return []
    return [each for each in excused if not _others_failed(each, in_a_row, count_between)]


def _others_failed(
    failure: PlacedFailure, in_a_row: Sequence[PlacedFailure], count_between: CountBetween
) -> bool:
    """Whether most messages to others failed at that time too: on the number, in its account, or anywhere.

    In its template or country, which may hold a few unreachable people and nobody else, it must be nearly all. After
    three days of failures these no longer decide, see `failed_days`, and elsewhere it must be nearly all as well.
    """
    minute = failure.occurred_at.replace(second=0, microsecond=0)
    step = minute - timedelta(minutes=minute.minute % 10)
    start, end = step - _AROUND, step + _STEP + _AROUND
    shares = dict.fromkeys(_SLICES, _MOST) | dict.fromkeys(_SMALL_SLICES, NEARLY_ALL)
    if has_failed_for_days(failure, in_a_row):
        shares = dict.fromkeys(_SLICES, NEARLY_ALL)
    for dimensions, share in shares.items():
        slice_of = {name: str(getattr(failure, name)) for name in dimensions}
        if "" in (slice_of.get("template", "-"), slice_of.get("country", "-")):
            continue
        own = failures_in(in_a_row, start, end, slice_of)
        if hardly_anything_arrived(count_between(start, end, slice_of), own, share):
            return True
    return False
