"""Whom not to write to, for how long and what ends it: a contact's failures in, a verdict with evidence out.

Everything here is about one contact on one business number. Rows, alerts and caps are the caller's job.
A verdict follows from what happened and when, never from the order in which it became known.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.rules.suppressions.blocking import strength

WITHHELD_FOR_NOW = 131049
WITHHELD_UNTIL_THEY_WRITE = 130472
STOPPED_MARKETING = 131050

_REACHED = ("delivered", "read", "played", "inbound")
_DOUBLINGS = 16  # far past every longest wait, and far from overflowing


class FailureFact(Struct, frozen=True):
    """One failed message of the contact. `explained`: an open alert accounts for it, not the contact.

    A message that also reached the contact (on another device) is no failure here; the caller leaves it out.
    """

    message_id: str
    occurred_at: datetime
    code: int
    effect: str
    """The code's contact_effect: hard, soft, marketing_only or none."""
    campaign: str = ""
    explained: bool = False


class Thresholds(Struct, frozen=True, kw_only=True):
    strikes: int = 3
    days: int = 2
    first_days: int = 30
    longest_days: int = 365
    withheld_hours: int = 24
    withheld_longest_days: int = 30


class Streak(Struct, frozen=True):
    """The failures that count against a contact, one for each strike, oldest first."""

    strikes: int
    days: int
    failures: tuple[FailureFact, ...]


class Suppress(Struct, frozen=True):
    """Stop writing. `until` None: until something lifts it. `times`: how often in a row, with this one."""

    reason: str
    scope: str
    code: int
    until: datetime | None
    times: int
    evidence: tuple[FailureFact, ...]


class Hold(Struct, frozen=True):
    """Only failures that an alert explains speak for it: to be decided again when the alert is over."""

    why: str
    would: Suppress


def streak(failures: Iterable[FailureFact], last_success: datetime | None) -> Streak:
    """The strikes since the contact was last reached: soft, unexplained, once per campaign and UTC day.

    Messages without a campaign count as one campaign. A success in the same second wins over the failure.
    """
    first_of_message: dict[object, FailureFact] = {}
    for index, fact in enumerate(_in_order(failures)):
        if fact.effect == "soft" and not fact.explained and _is_after(fact, last_success):
            first_of_message.setdefault(fact.message_id or index, fact)
    first_of_strike: dict[tuple[str, date], FailureFact] = {}
    for fact in first_of_message.values():
        first_of_strike.setdefault((fact.campaign, _day(fact)), fact)
    days = {day for _, day in first_of_strike}
    return Streak(len(first_of_strike), len(days), tuple(first_of_strike.values()))


def causes(failures: Iterable[FailureFact]) -> dict[tuple[str, str], tuple[FailureFact, ...]]:
    """The failures by the (reason, scope) they speak for, strongest first; each is decided on its own."""
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
    """Whether to stop writing, from the strongest of `causes`; to learn of every one, decide each on its own.

    `last_success`: the latest delivered, read or inbound message. `last_resume`: when the person allowed
    marketing again. `last_marketing`: the latest marketing message that arrived. What is known of failures that
    are no longer at hand: `previous_times` suppressions in a row, of this reason and scope, the last of which
    rested on failures up to `acted_on` and ran out at `previous_until`; without a newer failure nothing is new.
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
    """Whether a message delivered, read or played, or one that came inbound, ends such a suppression.

    What a person or an operator decided never ends this way. Of the marketing scope only 130472 does, when
    the person writes: a utility message that arrives says nothing about marketing, so 131049 runs to its end.
    """
    if what not in _REACHED or reason not in ("hard", "unreachable"):
        return False
    return scope == "all" or (code == WITHHELD_UNTIL_THEY_WRITE and what == "inbound")


class _Before(Struct, frozen=True):
    """What came of failures before those at hand."""

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

    def forgets(self, fact: FailureFact) -> bool:
        """Whether something happened since that ends what this failure would cause (see `lifts`)."""
        if fact.effect != "marketing_only":
            return not _is_after(fact, self.last_success)
        if fact.code == STOPPED_MARKETING:
            return not _is_after(fact, self.last_resume)
        return fact.code == WITHHELD_UNTIL_THEY_WRITE and not _is_after(fact, self.last_inbound)


def _suppress(cause: tuple[str, str], facts: Sequence[FailureFact], history: _History) -> Suppress | None:
    counted = _counted(cause, [fact for fact in facts if not history.forgets(fact)], history.settings)
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
    """When it ends, and the how many-eth in a row it is: failing during a wait prolongs it, failing after doubles it.

    The failures are gone through one by one, so it does not matter which of them was known when.
    """
    before, settings = history.before, history.settings
    times, until = before.times, before.until
    previous: FailureFact | None = None
    for place, fact in enumerate(counted, 1):
        if not _is_after(fact, before.acted_on):
            continue
        if not before.times and len(_counted(cause, counted[:place], settings)) < place:
            continue  # too few yet
        if cause[1] == "marketing" and previous and _lies_between(history.last_marketing, previous, fact):
            times, until, previous = 0, None, None
        if fact.occurred_at > until if until else previous is None:
            times += 1
        until, previous = _end(fact, times - 1, settings), fact
    return until, times


def _counted(
    cause: tuple[str, str], facts: Sequence[FailureFact], settings: Thresholds
) -> tuple[FailureFact, ...]:
    """The failures a suppression would rest on, oldest first; none when they are too few."""
    if cause == ("unreachable", "all"):
        found = streak(facts, None)
        enough = found.strikes >= settings.strikes and found.days >= settings.days
        return found.failures if enough else ()
    # The one without an end outlasts those that run out by themselves.
    lasting = tuple(fact for fact in facts if fact.code == WITHHELD_UNTIL_THEY_WRITE)
    return lasting or tuple(facts)


def _cause(fact: FailureFact) -> tuple[str, str] | None:
    if fact.effect == "marketing_only":
        return ("opted_out" if fact.code == STOPPED_MARKETING else "unreachable", "marketing")
    return {"hard": ("hard", "all"), "soft": ("unreachable", "all")}.get(fact.effect)


def _end(fact: FailureFact, previous_times: int, settings: Thresholds) -> datetime | None:
    """When the suppression that this failure brings runs out, counted from the failure; None: never."""
    if fact.effect == "hard" or fact.code in (WITHHELD_UNTIL_THEY_WRITE, STOPPED_MARKETING):
        return None
    doubled = 1 << min(previous_times, _DOUBLINGS)
    if fact.effect == "soft":
        return fact.occurred_at + timedelta(days=min(settings.first_days * doubled, settings.longest_days))
    longest = timedelta(days=settings.withheld_longest_days)
    return fact.occurred_at + min(timedelta(hours=settings.withheld_hours) * doubled, longest)


def _why_held(facts: Sequence[FailureFact]) -> str:
    explained = sum(fact.explained for fact in facts)
    return f"An open alert explains {explained} of the {len(facts)} failures that speak for it."


def _in_order(failures: Iterable[FailureFact]) -> list[FailureFact]:
    return sorted(failures, key=lambda fact: (fact.occurred_at, fact.message_id, fact.code))


def _is_after(fact: FailureFact, moment: datetime | None) -> bool:
    return moment is None or fact.occurred_at > moment


def _lies_between(moment: datetime | None, earlier: FailureFact, later: FailureFact) -> bool:
    return moment is not None and earlier.occurred_at <= moment < later.occurred_at


def _day(fact: FailureFact) -> date:
    return fact.occurred_at.astimezone(UTC).date()
