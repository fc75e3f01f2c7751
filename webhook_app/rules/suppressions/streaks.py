"""Decides from a contact's failures whether to suppress it, for how long, and what lifts the suppression.

Concerns one contact on one business number; rows, alerts and caps belong to the caller. A decision depends on what
happened and when, never on the order in which it became known.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.rules.suppressions.blocking import strength
from webhook_app.rules.suppressions.marketing_pauses import WITHHELD_UNTIL_THEY_WRITE

STOPPED_MARKETING = 131050

DAYS_APART = timedelta(hours=6)
"""The least time between the first failures of two days of a streak."""

_SUCCESSES = ("delivered", "read", "played", "inbound")
_DOUBLINGS = 16  # beyond every longest wait, and without overflow


class FailureFact(Struct, frozen=True):
    """One failed message of the contact. `explained`: an alert explains it, so it does not count.

    The caller leaves out messages that also arrived, on another device.
    """

    message_id: str
    occurred_at: datetime
    code: int
    effect: str
    """The code's contact_effect: hard, soft, marketing_only or none."""
    campaign: str = ""
    explained: bool = False


class Thresholds(Struct, frozen=True, kw_only=True):
    failures: int = 3
    days: int = 2
    first_days: int = 30
    longest_days: int = 365
    withheld_hours: int = 24
    withheld_longest_days: int = 30


class Streak(Struct, frozen=True):
    """The failures that count against a contact, oldest first, and the number of days they span."""

    days: int
    failures: tuple[FailureFact, ...]


class Suppress(Struct, frozen=True):
    """Suppress the contact. `until` None: until it is lifted. `times`: suppressions in a row, including this one."""

    reason: str
    scope: str
    code: int
    until: datetime | None
    times: int
    evidence: tuple[FailureFact, ...]


class Hold(Struct, frozen=True):
    """Only explained failures would suppress the contact: decide again when the alert is over."""

    why: str
    would: Suppress


def streak(failures: Iterable[FailureFact], last_success: datetime | None) -> Streak:
    """The soft, unexplained failures since the last success, counted once per campaign and day.

    A day is a UTC day that begins at least DAYS_APART after the first failure of the day before: one evening across
    midnight is one day. Messages without a campaign count as one campaign. A success in the same second wins over
    the failure.
    """
    first_of_message: dict[object, FailureFact] = {}
    for index, fact in enumerate(_in_order(failures)):
        if fact.effect == "soft" and not fact.explained and _is_after(fact, last_success):
            first_of_message.setdefault(fact.message_id or index, fact)
    first_of_day: dict[tuple[str, date], FailureFact] = {}
    began: FailureFact | None = None
    for fact in first_of_message.values():
        if began is None or (_day(fact) > _day(began) and fact.occurred_at - began.occurred_at >= DAYS_APART):
            began = fact
        first_of_day.setdefault((fact.campaign, _day(began)), fact)
    days = {day for _, day in first_of_day}
    return Streak(len(days), tuple(first_of_day.values()))


def causes(failures: Iterable[FailureFact]) -> dict[tuple[str, str], tuple[FailureFact, ...]]:
    """The failures by the (reason, scope) they can lead to, strongest first; each cause is decided separately."""
    found: dict[tuple[str, str], list[FailureFact]] = {}
    for fact in _in_order(failures):
        if cause := _cause(fact):
            found.setdefault(cause, []).append(fact)
    return {cause: tuple(found[cause]) for cause in sorted(found, key=lambda cause: strength(*cause))}


def decide(
    failures: Iterable[FailureFact],
    last_success: datetime | None,
    previous_times: int,
    now: datetime,
    settings: Thresholds = Thresholds(),  # noqa: B008 - frozen, so one instance can serve every call
    *,
    last_inbound: datetime | None = None,
    last_resume: datetime | None = None,
    last_marketing: datetime | None = None,
    acted_on: datetime | None = None,
    previous_until: datetime | None = None,
) -> Suppress | Hold | None:
    """Whether to suppress the contact, by the strongest of its `causes`.

    `last_success`: the latest delivered, read or inbound message. `last_resume`: when the person allowed marketing
    again. `last_marketing`: the latest marketing message that arrived. For failures that are no longer stored:
    `previous_times` suppressions in a row of this reason and scope, the last of which rested on failures up to
    `acted_on` and expired at `previous_until`. Only a newer failure leads to a new decision.
    """
    before = _Before(previous_times, previous_until, acted_on)
    history = _History(last_success, last_inbound, last_resume, last_marketing, before, now, settings)
    held: Hold | None = None
    for cause, facts in causes(failures).items():
        if found := _suppress(cause, [fact for fact in facts if not fact.explained], history):
            return found
        would = _suppress(cause, [replace(fact, explained=False) for fact in facts], history)
        if would and not held:
            held = Hold(_why_held(facts), would)
    return held


def lifts(reason: str, scope: str, code: int, what: str) -> bool:
    """Whether a delivered, read, played or inbound message lifts such a suppression.

    Decisions of the person or of an operator are never lifted this way. Of the marketing scope only 130472 is, when
    the person writes: a delivered utility message says nothing about marketing, so 131049 lasts to its end.
    """
    if what not in _SUCCESSES or reason not in ("hard", "unreachable"):
        return False
    return scope == "all" or (code == WITHHELD_UNTIL_THEY_WRITE and what == "inbound")


class _Before(Struct, frozen=True):
    """The suppressions that failures no longer stored led to."""

    times: int
    until: datetime | None
    acted_on: datetime | None


class _History(Struct, frozen=True):
    last_success: datetime | None
    last_inbound: datetime | None
    last_resume: datetime | None
    last_marketing: datetime | None
    before: _Before
    now: datetime
    settings: Thresholds

    def is_outdated(self, fact: FailureFact) -> bool:
        """Whether something happened since that lifts what this failure would cause (see `lifts`)."""
        if fact.effect != "marketing_only":
            return not _is_after(fact, self.last_success)
        if fact.code == STOPPED_MARKETING:
            return not _is_after(fact, self.last_resume)
        return fact.code == WITHHELD_UNTIL_THEY_WRITE and not _is_after(fact, self.last_inbound)


def _suppress(cause: tuple[str, str], facts: Sequence[FailureFact], history: _History) -> Suppress | None:
    counted = _counted(cause, [fact for fact in facts if not history.is_outdated(fact)], history.settings)
    if not counted or not _is_after(counted[-1], history.before.acted_on):
        return None
    until, times = _wait(cause, counted, history)
    if until is not None and until <= history.now:
        return None
    reason, scope = cause
    return Suppress(reason, scope, counted[-1].code, until, times, counted)


def _wait(
    cause: tuple[str, str], counted: Sequence[FailureFact], history: _History
) -> tuple[datetime | None, int]:
    """When the suppression ends, and its number in a row: a failure during a wait extends it, one after it doubles it.

    Goes through the failures one by one, so the order in which they became known does not matter.
    """
    before, settings = history.before, history.settings
    times, until = before.times, before.until
    previous: FailureFact | None = None
    for place, fact in enumerate(counted, 1):
        if not _is_after(fact, before.acted_on):
            continue
        if not before.times and len(_counted(cause, counted[:place], settings)) < place:
            continue  # too few so far
        if cause[1] == "marketing" and previous and _lies_between(history.last_marketing, previous, fact):
            times, until, previous = 0, None, None
        if fact.occurred_at > until if until else previous is None:
            times += 1
        until, previous = _end(fact, times - 1, settings), fact
    return until, times


def _counted(
    cause: tuple[str, str], facts: Sequence[FailureFact], settings: Thresholds
) -> tuple[FailureFact, ...]:
    """The failures that a suppression would be based on, oldest first; none when they are too few."""
    if cause == ("unreachable", "all"):
        found = streak(facts, None)
        enough = len(found.failures) >= settings.failures and found.days >= settings.days
        return found.failures if enough else ()
    # A suppression without an end outlasts those that expire.
    lasting = tuple(fact for fact in facts if fact.code == WITHHELD_UNTIL_THEY_WRITE)
    return lasting or tuple(facts)


def _cause(fact: FailureFact) -> tuple[str, str] | None:
    if fact.effect == "marketing_only":
        return ("opted_out" if fact.code == STOPPED_MARKETING else "unreachable", "marketing")
    return {"hard": ("hard", "all"), "soft": ("unreachable", "all")}.get(fact.effect)


def _end(fact: FailureFact, previous_times: int, settings: Thresholds) -> datetime | None:
    """When the suppression caused by this failure expires; None: never."""
    if fact.effect == "hard" or fact.code in (WITHHELD_UNTIL_THEY_WRITE, STOPPED_MARKETING):
        return None
    doubled = 1 << min(previous_times, _DOUBLINGS)
    if fact.effect == "soft":
        return fact.occurred_at + timedelta(days=min(settings.first_days * doubled, settings.longest_days))
    longest = timedelta(days=settings.withheld_longest_days)
    return fact.occurred_at + min(timedelta(hours=settings.withheld_hours) * doubled, longest)


def _why_held(facts: Sequence[FailureFact]) -> str:
    explained = sum(fact.explained for fact in facts)
    return f"An open alert explains {explained} of the {len(facts)} failures that would suppress the contact."


def _in_order(failures: Iterable[FailureFact]) -> list[FailureFact]:
    return sorted(failures, key=lambda fact: (fact.occurred_at, fact.message_id, fact.code))


def _is_after(fact: FailureFact, moment: datetime | None) -> bool:
    return moment is None or fact.occurred_at > moment


def _lies_between(moment: datetime | None, earlier: FailureFact, later: FailureFact) -> bool:
    return moment is not None and earlier.occurred_at <= moment < later.occurred_at


def _day(fact: FailureFact) -> date:
    return fact.occurred_at.astimezone(UTC).date()
