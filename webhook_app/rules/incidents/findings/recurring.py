"""Decides which failures recur: one code, in one template, campaign or number, at the same hour of several days.

The incidents of the first two days are announced. From the third day on they belong to a finding.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.advice import advise
from webhook_app.rules.incidents.evidence import Names, shares
from webhook_app.rules.incidents.findings.finding import (
    DAY,
    FoundState,
    Slice,
    as_reported,
    key_of,
    name_code,
    name_part,
)
from webhook_app.rules.incidents.formats import number

DAYS_BACK = 7
"""How far back occasions are counted."""
DAYS_BEFORE, WITHIN_DAYS = 2, 4
"""It recurs after incidents on two days of the last four: a job that does not run at the weekend recurs too."""
SAME_HOUR = timedelta(hours=1)
FIXED_AFTER = timedelta(days=7)
CLEAN_OCCASIONS = 3
"""So many days on which messages were sent at that hour and none failed."""
_RISE = 2
_RISE_AT_LEAST = 10


class Occasion(Struct, frozen=True, kw_only=True):
    """An incident that opened, or opened again. `names`: what it names, by dimension."""

    incident_id: int
    at: datetime
    codes: Sequence[int]
    names: Mapping[str, Sequence[str]]
    failures: int
    """Failed messages of one opening; only those of webhooks, unless only reports show it."""
    is_reported: bool = False
    """Whether only reports of senders showed it: it makes no failure recur that webhooks show."""


def find_recurring(now: Occasion, earlier: Iterable[Occasion]) -> FoundState | None:
    """The finding that an incident belongs to, if it is at least the third day at this hour; None for the others.

    A clear rise over the earlier days is an incident of its own.
    """
    if not now.codes:
        return None
    place = _place(now)
    before = [
        each
        for each in earlier
        if (now.is_reported or not each.is_reported)
        and each.codes
        and each.codes[0] == now.codes[0]
        and 1 <= _days_between(each.at, now.at) <= DAYS_BACK
        and _is_same_hour(each.at, now.at)
        and place is not None
        and shares(place[0], _names(now), _names(each))
    ]
    days = {_days_between(each.at, now.at): each for each in before}
    if place is None or sum(day <= WITHIN_DAYS for day in days) < DAYS_BEFORE:
        return None
    usual = max(each.failures for each in days.values())
    if is_clear_rise(now.failures, usual):
        return None
    found = _state(place, now, list(days.values()), usual)
    return as_reported(found) if now.is_reported else found


def is_clear_rise(failures: int, usual: int) -> bool:
    """Whether clearly more messages fail than on the earlier days."""
    return failures > _RISE * usual + _RISE_AT_LEAST


def _place(occasion: Occasion) -> tuple[str, str] | None:
    """The one template or campaign that it names, or else its number; None when it is spread."""
    for name in ("template", "campaign", "phone_number_id"):
        values = occasion.names.get(name, ())
        if len(values) == 1:
            return name, values[0]
    return None


def _names(occasion: Occasion) -> Names:
    return {name: frozenset(values) for name, values in occasion.names.items()}


def _days_between(earlier: datetime, later: datetime) -> int:
    return round((later - earlier) / DAY)


def _is_same_hour(one: datetime, other: datetime) -> bool:
    apart = abs(one - other)
    return abs(apart - round(apart / DAY) * DAY) <= SAME_HOUR


def _state(place: tuple[str, str], now: Occasion, before: Sequence[Occasion], usual: int) -> FoundState:
    part = {place[0]: [place[1]]}
    first = min(before, key=lambda each: each.at)
    times = sorted([*before, now], key=lambda each: each.at)
    code, waba_ids = now.codes[0], now.names.get("waba_id", ())
    waba_id = waba_ids[0] if len(waba_ids) == 1 else ""
    at = f"{first.at:%H:%M}"
    failures = sum(each.failures for each in times)
    return FoundState(
        kind="recurring",
        key=key_of(code, within_account(part, waba_id)),
        title=f"{name_code(code)}: fails every day at about {at} UTC, {name_part(part)}",
        severity="warning",
        waba_id=waba_id,
        codes=tuple(now.codes),
        slice=part,
        impact={"failures": failures, "days": len(times)},
        evidence={
            "at": at,
            "usual_failures": usual,
            "incidents": [
                {"incident_id": each.incident_id, "at": each.at.isoformat(), "failures": each.failures}
                for each in times
            ],
        },
        advice=f"The job at {at} UTC failed {number(failures)} times on {len(times)} days with {code}."
        f" {advise([code], 1).text}",
        since=first.at,
    )


def within_account(part: Slice, waba_id: str) -> Slice:
    """The part, in the account if it is known: accounts may have templates and campaigns of the same name."""
    return part if not waba_id or "phone_number_id" in part else {**part, "waba_id": [waba_id]}


def is_fixed(seen_at: datetime, occasions: Sequence[Counts], now: datetime) -> bool:
    """Whether it has not recurred for a week, or messages were sent at that hour of three days and none failed.

    `occasions`: the counts at that hour of each day since.
    """
    clean = [each for each in occasions if each.attempts]
    stopped = len(clean) >= CLEAN_OCCASIONS and not any(each.failures for each in occasions)
    return stopped or now - seen_at >= FIXED_AFTER
