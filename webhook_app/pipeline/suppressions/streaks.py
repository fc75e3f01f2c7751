"""Decides suppressions for contacts with new failures, from everything stored about them. Reads, writes nothing.

The same facts give the same rows, whichever of them became known last.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from webhook_app.pipeline.suppressions.contact_history import (
    Case,
    Cause,
    ContactHistory,
    add_successes,
    load_histories,
)
from webhook_app.pipeline.suppressions.explanations import LOOKBACK, Explanations
from webhook_app.pipeline.suppressions.number_changes import EVIDENCE_KEPT
from webhook_app.rules.suppressions.explained_periods import (
    BY_RATE,
    INCIDENT_UNDONE,
    REPORT_UNDONE,
)
from webhook_app.rules.suppressions.repeated_incidents import are_in_several_incidents
from webhook_app.rules.suppressions.streaks import Suppress, Thresholds, causes, decide
from webhook_app.store.people import links
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.changes import (
    SYSTEM,
    ChangeEvidence,
)
from webhook_app.store.suppressions.contact_failures import ContactFailure
from webhook_app.store.suppressions.suppressions import Removal, Suppression

_UNREACHABLE: Cause = ("unreachable", "all")


class StreakChanges(Struct):
    """The changes to make, and failures to hold or excuse because of the failure rate of their time."""

    wanted: list[Suppression] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    held: list[tuple[ContactFailure, int]] = field(default_factory=list)
    excused: list[tuple[ContactFailure, int]] = field(default_factory=list)
    postponed: list[ContactFailure] = field(default_factory=list)
    """The last failure of each case that another transaction has to decide."""


def decide_streaks(
    connection: Connection,
    people: Iterable[tuple[str, str]],
    explanations: Explanations,
    thresholds: Thresholds,
) -> StreakChanges:
    """The changes to the suppressions of these (contact, business number).

    1. Load failures, suppressions and their past of everybody; most people need nothing more.
    2. Load the last successes of those who have a suppression or might get one.
    3. Decide each cause separately.

    Those whose keys are too many to be read together are decided one after the other.
    """
    changes = StreakChanges()
    people = {(contact, number) for contact, number in people if contact}
    rest = sorted({contact for contact, _ in people})
    done: set[Case] = set()
    while rest:
        few = {*links.first_people(connection, rest)}
        rest = rest[len(few) :]
        some = {each for each in people if each[0] in few}
        for case, history in _open_cases(connection, some, explanations, thresholds).items():
            if case not in done:
                _decide_case(case, history, explanations, thresholds, changes)
                done.add(case)
    return changes


def _open_cases(
    connection: Connection, people: set[tuple[str, str]], explanations: Explanations, thresholds: Thresholds
) -> dict[Case, ContactHistory]:
    histories, known = load_histories(connection, people, explanations)
    open_cases = {
        case: history
        for case, history in histories.items()
        if history.suppressions
        or _may_suppress(history, explanations.now, thresholds)
        or are_in_several_incidents(_excused(history, explanations))
    }
    if open_cases:
        add_successes(connection, open_cases, known)
    return open_cases


def _may_suppress(history: ContactHistory, now: datetime, thresholds: Thresholds) -> bool:
    """Whether the contact would be suppressed if nothing had ever been delivered."""
    return any(
        isinstance(decide(facts, None, 0, now, thresholds), Suppress)
        for facts in causes(history.facts()).values()
    ) or bool(history.endings)


def _decide_case(
    case: Case,
    history: ContactHistory,
    explanations: Explanations,
    thresholds: Thresholds,
    changes: StreakChanges,
) -> None:
    if not _stop_excusing(history, explanations):
        changes.postponed += history.failures[-1:]
        return
    found = {*causes(history.facts()), *((row.reason, row.scope) for row in history.suppressions)}
    for cause in sorted(found):
        active = [row for row in history.suppressions if (row.reason, row.scope) == cause]
        decision = _decide(history, cause, explanations.now, thresholds)
        if decision and not active and explanations.is_used_up:
            changes.postponed += _counting(history, cause)[-1:]
            continue
        if decision and not active and _explain_by_rate(history, cause, explanations, changes):
            decision = _decide(history, cause, explanations.now, thresholds)
        if decision:
            row = _row(case, decision, history, active, explanations.now)
            changes.wanted.append(row)
            changes.removals += [
                Removal(old, "lift", SYSTEM, f"kept under {row.contact}")
                for old in active
                if old.key != row.key
            ]
        else:
            changes.removals += [
                Removal(row, "lift", SYSTEM, reason)
                for row in active
                if (reason := _lift_reason(row, history))
            ]


def _excused(history: ContactHistory, explanations: Explanations) -> list[ContactFailure]:
    """The failures in a row that incidents and the rates of their time excuse."""
    by = history.explained
    return [
        each
        for each in history.in_a_row(_UNREACHABLE)
        if (cause := by.get((each.message_id, each.error_code))) is not None
        and explanations.is_excused(each, cause)
    ]


def _stop_excusing(history: ContactHistory, explanations: Explanations) -> bool:
    """Let failures count that lie in several incidents; False when another transaction has to find them."""
    excused = _excused(history, explanations)
    if not are_in_several_incidents(excused):
        return True
    if explanations.is_used_up:
        return False
    in_a_row = history.in_a_row(_UNREACHABLE)
    for each in explanations.no_longer_excused(excused, history.failures, in_a_row):
        del history.explained[each.message_id, each.error_code]
    return True


def _decide(history: ContactHistory, cause: Cause, now: datetime, thresholds: Thresholds) -> Suppress | None:
    success = history.latest(each.at for each in history.successes)
    inbound = history.latest(each.wrote_at for each in history.successes)
    marketing = history.latest(each.marketing_at for each in history.successes)
    before = history.before(cause, now - LOOKBACK)
    relevant_success = success if cause[1] == "all" else marketing
    if before and relevant_success and relevant_success > before.acted_on:
        before = None
    lifted_at = history.lifted_at(cause)
    found = decide(
        history.facts(cause),
        history.latest([success, lifted_at]),
        before.times if before else 0,
        now,
        thresholds,
        last_inbound=inbound,
        last_marketing=marketing,
        acted_on=history.latest([lifted_at, before.acted_on if before else None]),
        previous_until=before.until if before else None,
    )
    return found if isinstance(found, Suppress) else None


def _explain_by_rate(
    history: ContactHistory, cause: Cause, explanations: Explanations, changes: StreakChanges
) -> bool:
    """Hold failures that something explains for now, and excuse those of days on which hardly anything arrived."""
    before = len(history.explained)
    in_a_row = history.in_a_row(cause)
    for failure in _counting(history, cause):
        days = explanations.failed_days_for(failure, history.failures, in_a_row)
        if days and days.end is not None:
            changes.excused.append((failure, BY_RATE))
        elif failure.explained_by is None and explanations.present_for(failure, history.failures, in_a_row):
            changes.held.append((failure, BY_RATE))
        else:
            continue
        history.explained[failure.message_id, failure.error_code] = BY_RATE
    return len(history.explained) > before


def _counting(history: ContactHistory, cause: Cause) -> list[ContactFailure]:
    """The failures that can lead to a suppression for this cause, oldest first."""
    counting = {(fact.message_id, fact.code) for fact in history.facts(cause) if not fact.explained}
    return [each for each in history.failures if (each.message_id, each.error_code) in counting]


def _row(
    case: Case, decision: Suppress, history: ContactHistory, active: list[Suppression], now: datetime
) -> Suppression:
    evidence = tuple(
        ChangeEvidence(
            fact.occurred_at,
            fact.message_id,
            fact.code,
            fact.campaign,
            reported_by=history.reporter_of(fact),
            contact="" if (key := history.key_of(fact)) == case[0] else key,
        )
        for fact in decision.evidence[-EVIDENCE_KEPT:]
    )
    row = Suppression(
        contact=case[0],
        phone_number_id=case[1],
        scope=decision.scope,
        reason=decision.reason,
        code=decision.code,
        since=min((old.since for old in active if not old.half_open_at), default=now),
        until=decision.until,
        times=decision.times,
        evidence=evidence,
        actor=SYSTEM,
        review=True,
    )
    known = next((old for old in active if old.key == row.key), row)
    return replace(row, seen_as=known.seen_as, note=known.note)


def _lift_reason(row: Suppression, history: ContactHistory) -> str:
    """Why the facts lift the suppression; empty when only the failures it is based on are no longer stored."""
    by = [
        incident_id
        for e in row.evidence
        if (incident_id := history.explained.get((e.message_id, e.code))) is not None
    ]
    if by and max(by) > BY_RATE:
        return f"explained by incident {max(by)}"
    if by:
        return _EXPLAINED[max(by)]
    if any((e.message_id, e.code) in history.of_others for e in row.evidence):
        return "somebody else held the number"
    if any(e.message_id in history.arrived for e in row.evidence):
        return "the message arrived after all"
    success = history.latest(each.at for each in history.successes)
    if success and row.evidence and success >= row.evidence[0].occurred_at:
        return f"reached at {success:%Y-%m-%d %H:%M:%S} UTC"
    return ""


_EXPLAINED = {
    BY_RATE: "explained by the failure rate of its time",
    REPORT_UNDONE: "the reports it is based on were undone",
    INCIDENT_UNDONE: "what an incident led to was undone",
}
