"""Decides which shares of failures are chronic: above the rules' threshold, steadily, for a week of counted days.

A chronic code raises an incident again only above its own usual share (`ChronicStates`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from msgspec import Struct

from webhook_app.rules.counts.binomial import lower_bound
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.advice import advise
from webhook_app.rules.incidents.findings.finding import (
    DAY,
    WEEK_DAYS,
    CountedDays,
    FoundState,
    Slice,
    key_of,
    name_code,
    name_part,
)
from webhook_app.rules.incidents.rules_file.rule import Rule, selects
from webhook_app.whatsapp.errors.catalogue import explain

LEVELS = ("phone_number_id", "template", "campaign")
FEWEST_DAYS = 5
"""Days of the week with failures: a sender that works on weekdays only has so many."""
_NEARLY_ALL = (
    0.9  # of a number's failures in one template or campaign: that is named; of its messages: it is not
)
_MOSTLY = 0.5
_USUAL_WEEKS = (1, 2, 4)
_WEEK_HOURS = 168

_Key = TypeVar("_Key")


class Threshold(Struct, frozen=True):
    """The share of failures that a rule allows, and the probability of chance that it accepts."""

    share: float
    error: float


class ChronicState(Struct, frozen=True, kw_only=True):
    """The part of an open chronic finding that later decisions need."""

    codes: tuple[int, ...]
    slice: Slice | None
    waba_id: str
    since: datetime
    is_reported: bool = False
    """Whether only reports of senders show it."""


def threshold_of(rules: Iterable[Rule], code: int, dimension: str) -> Threshold | None:
    """The lowest threshold of the rate rules that judge this code by this dimension; None: no rule does."""
    found = [
        Threshold(rule.threshold, 1 - rule.confidence)
        for rule in rules
        if rule.kind == "rate"
        and {*rule.group_by} - {"code"} == {dimension}
        and selects(rule, explain(code), code)
    ]
    return min(found, key=lambda each: each.share, default=None)


class _ChronicPart(Struct):
    """One code in one number, template or campaign: messages and failures of each day."""

    code: int
    dimension: str
    value: str
    attempts: list[int]
    failures: list[int]
    threshold: Threshold

    @property
    def days(self) -> list[Counts]:
        """The days of the week."""
        pairs = zip(self.attempts[-WEEK_DAYS:], self.failures[-WEEK_DAYS:], strict=True)
        return [Counts(attempts, failures) for attempts, failures in pairs]

    @property
    def week(self) -> Counts:
        return Counts(sum(self.attempts[-WEEK_DAYS:]), sum(self.failures[-WEEK_DAYS:]))

    @property
    def slice(self) -> dict[str, list[str]]:
        return {self.dimension: [self.value]}


def find_chronic(
    days: CountedDays, rules: Sequence[Rule], known: Sequence[ChronicState] = ()
) -> list[FoundState]:
    """The codes whose share has been above the threshold on the last seven of these days, by number.

    A template or campaign is named instead when nearly all of the number's failures are in it but not nearly all of
    its messages, or when the number as a whole is below the threshold. `known`: open findings; what lies in a larger
    part of one is not found again.
    """
    if len(days.starts) < WEEK_DAYS:
        return []
    parts, places = _parts(days, rules), _Places(days)
    chosen: dict[tuple[int, str, str], _ChronicPart] = {}
    for part in (each for each in parts if each.dimension == "phone_number_id"):
        inside = [each for each in parts if places.explains(each, part)]
        named = max(inside, key=lambda each: each.week.failures, default=part)
        chosen[named.code, named.dimension, named.value] = named
    for part in (each for each in parts if each.dimension != "phone_number_id"):
        if not any(places.holds(other, part) for other in chosen.values()):
            chosen[part.code, part.dimension, part.value] = part
    found = [_state(part, places.accounts(part), days) for part in chosen.values()]
    return [each for each in found if not any(_covers(state, each) for state in known)]


def _parts(days: CountedDays, rules: Sequence[Rule]) -> list[_ChronicPart]:
    """The chronic parts of every level, the numbers first."""
    found = []
    for dimension in LEVELS:
        attempts = _added((getattr(series, dimension), each) for series, each in days.attempts.items())
        failures = _added(
            ((code, getattr(series, dimension)), each) for (code, series), each in days.failures.items()
        )
        thresholds = {code: threshold_of(rules, code, dimension) for code in {code for code, _ in failures}}
        for (code, value), failed in sorted(failures.items()):
            threshold = thresholds[code]
            if value and threshold is not None:
                part = _ChronicPart(code, dimension, value, attempts[value], failed, threshold)
                if _is_chronic(part):
                    found.append(part)
    return found


def _added(counted: Iterable[tuple[_Key, list[int]]]) -> dict[_Key, list[int]]:
    """The sums of each day, by key."""
    found: dict[_Key, list[int]] = {}
    for key, days in counted:
        sums = found.get(key)
        found[key] = (
            list(days) if sums is None else [one + other for one, other in zip(sums, days, strict=True)]
        )
    return found


def _is_chronic(part: _ChronicPart) -> bool:
    """Whether each day with messages has failures, nearly all of them above the threshold, and so has the week.

    A day or two of an outage among good days do not count.
    """
    if not part.failures[-WEEK_DAYS]:
        return False
    days = [day for day in part.days if day.attempts or day.failures]
    if not all(day.failures for day in days):
        return False
    if sum(is_above(day, part.threshold.share) for day in days) < FEWEST_DAYS:
        return False
    week = part.week
    low = lower_bound(week.failures, max(week.attempts, week.failures), part.threshold.error)
    return low > part.threshold.share


def is_above(counts: Counts, share: float) -> bool:
    """Whether more than this share of the messages failed."""
    return counts.failures > share * counts.attempts


class _Places:
    """Where the messages and failures of the week are, by series."""

    def __init__(self, days: CountedDays) -> None:
        self._attempts = {series: sum(each[-WEEK_DAYS:]) for series, each in days.attempts.items()}
        self._failures: dict[int, dict[SeriesKey, int]] = defaultdict(dict)
        for (code, series), each in days.failures.items():
            if count := sum(each[-WEEK_DAYS:]):
                self._failures[code][series] = count

    def explains(self, inner: _ChronicPart, number: _ChronicPart) -> bool:
        """Whether the template or campaign has nearly all of the number's failures but not of its messages."""
        if inner.dimension == "phone_number_id" or inner.code != number.code:
            return False
        failed, tried = self._shares(inner, number)
        return failed >= _NEARLY_ALL > tried

    def holds(self, outer: _ChronicPart, part: _ChronicPart) -> bool:
        """Whether most of the failures of a part are in another one."""
        return outer.code == part.code and self._shares(outer, part)[0] >= _MOSTLY

    def _shares(self, inner: _ChronicPart, of: _ChronicPart) -> tuple[float, float]:
        """The share of the failures and of the messages of `of` that lie in `inner`."""
        failed = _within(self._failures[of.code], of)
        tried = _within(self._attempts, of)
        return _share(failed, inner), _share(tried, inner)

    def accounts(self, part: _ChronicPart) -> set[str]:
        """The accounts in which it fails."""
        return {series.waba_id for series in _within(self._failures[part.code], part)}


def _within(counts: Mapping[SeriesKey, int], part: _ChronicPart) -> dict[SeriesKey, int]:
    return {
        series: count for series, count in counts.items() if getattr(series, part.dimension) == part.value
    }


def _share(counts: Mapping[SeriesKey, int], part: _ChronicPart) -> float:
    total = sum(counts.values())
    return sum(_within(counts, part).values()) / total if total else 0.0


def _state(part: _ChronicPart, accounts: set[str], days: CountedDays) -> FoundState:
    since = days.starts[-WEEK_DAYS]
    for place in reversed(range(len(days.starts) - WEEK_DAYS)):
        day = Counts(part.attempts[place], part.failures[place])
        if day.attempts and not (day.failures and is_above(day, part.threshold.share)):
            break
        since = days.starts[place] if day.attempts else since
    week = part.week
    return FoundState(
        kind="chronic",
        key=key_of(part.code, part.slice),
        title=f"{name_code(part.code)}: fails every day, {name_part(part.slice)}",
        severity="warning",
        waba_id=next(iter(accounts)) if len(accounts) == 1 else "",
        codes=(part.code,),
        slice=part.slice,
        impact={"failures": week.failures, "share": week.failures / max(week.attempts, week.failures)},
        evidence={
            "days": [
                {"day": f"{start:%Y-%m-%d}", "attempts": day.attempts, "failures": day.failures}
                for start, day in zip(days.starts[-WEEK_DAYS:], part.days, strict=True)
            ],
            "threshold": part.threshold.share,
        },
        advice=advise([part.code], 1).text,
        since=since,
    )


def chronic_incident(
    *,
    incident_id: int,
    title: str,
    codes: Sequence[int],
    part: Slice | None,
    waba_ids: Sequence[str],
    failures: int,
    share: float,
    threshold: float,
    advice: str,
    since: datetime,
) -> FoundState:
    """The finding that an incident becomes when it has lasted seven days."""
    waba_id = waba_ids[0] if len(waba_ids) == 1 else ""
    return FoundState(
        kind="chronic",
        key=key_of(codes[0], part, waba_id),
        title=f"For a week: {title}",
        severity="warning",
        waba_id=waba_id,
        codes=tuple(codes),
        slice={name: list(values) for name, values in part.items()} if part else None,
        impact={"failures": failures, "share": share},
        evidence={"incident_id": incident_id, "threshold": threshold},
        advice=advice,
        since=since,
    )


def is_known(found: FoundState, known: Iterable[ChronicState]) -> bool:
    """Whether an open finding may be about the same failures: the same leading code, and no part that excludes it."""
    return any(
        state.codes[:1] == found.codes[:1] and _may_meet(state, found.slice or {}, found.waba_id)
        for state in known
    )


def _covers(state: ChronicState, found: FoundState) -> bool:
    """Whether the known finding is about the same code in a part that holds all of this one."""
    part = dict(found.slice or {})
    if part == state.slice or found.codes[0] not in state.codes:
        return False
    if found.waba_id:
        part.setdefault("waba_id", [found.waba_id])
    if state.waba_id and found.waba_id not in ("", state.waba_id):
        return False
    return all(
        name in part and set(part[name]) <= set(values) for name, values in (state.slice or {}).items()
    )


def _may_meet(state: ChronicState, part: Slice, waba_id: str) -> bool:
    if state.waba_id and waba_id and state.waba_id != waba_id:
        return False
    held = state.slice or {}
    return all(set(held[name]) & set(part[name]) for name in held.keys() & part.keys())


def last_above(state: ChronicState, threshold: float, days: CountedDays) -> tuple[datetime | None, Counts]:
    """The end of the last day of the week on which its share was above the threshold, and the counts of that week."""
    latest, tried, failed = None, 0, 0
    counts = days.counts(state.codes, state.slice or {}, state.waba_id)
    for start, day in list(zip(days.starts, counts, strict=True))[-WEEK_DAYS:]:
        tried, failed = tried + day.attempts, failed + day.failures
        if day.failures and is_above(day, threshold):
            latest = start + DAY
    return latest, Counts(tried, failed)


class ChronicStates:
    """The open chronic findings, to be asked about the groups of rules."""

    def __init__(self, states: Iterable[ChronicState], now: datetime) -> None:
        self._now = now
        self._by_code: dict[int, list[ChronicState]] = defaultdict(list)
        self._by_value: dict[tuple[int, str, str], list[ChronicState]] = defaultdict(list)
        for state in states:
            for code in state.codes:
                self._by_code[code].append(state)
                for name, values in (state.slice or {}).items():
                    for value in values:
                        self._by_value[code, name, value].append(state)

    def usual_hours(self, group: Mapping[str, str | int], counted: Callable[[int], bool]) -> int:
        """How far back the usual share of a group with chronic failures goes, up to 28 days; 0: it has none."""
        codes = [int(group["code"])] if "code" in group else list(self._by_code)
        found = [state for code in codes if counted(code) for state in self._about(code, group)]
        if not found:
            return 0
        age = self._now - min(state.since for state in found)
        weeks = max(each for each in _USUAL_WEEKS if each == 1 or age >= each * WEEK_DAYS * DAY)
        return weeks * _WEEK_HOURS

    def _about(self, code: int, group: Mapping[str, str | int]) -> list[ChronicState]:
        """The findings about this code whose part may share messages with the group."""
        if code not in self._by_code:
            return []
        part = {name: [str(value)] for name, value in group.items() if name != "code"}
        waba_id = str(group.get("waba_id", ""))
        named = [
            state for name, value in part.items() for state in self._by_value.get((code, name, value[0]), ())
        ]
        return [state for state in named or self._by_code[code] if _may_meet(state, part, waba_id)]
