"""Decides suppressions for contacts with new failures, from everything stored about them. Reads, writes nothing.

The same facts give the same rows, whichever of them became known last.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from webhook_app.pipeline.suppressions.explanations import LOOKBACK, Explanations
from webhook_app.pipeline.suppressions.number_changes import AUTOMATIC, all_keys, owner
from webhook_app.rules.people.holders import Holders
from webhook_app.rules.suppressions.explained_periods import (
    BY_RATE,
    INCIDENT_UNDONE,
    REPORT_UNDONE,
    explainable_codes,
)
from webhook_app.rules.suppressions.reach import numbers_reaching
from webhook_app.rules.suppressions.repeated_incidents import are_in_several_incidents
from webhook_app.rules.suppressions.streaks import FailureFact, Suppress, Thresholds, causes, decide
from webhook_app.store.people.contacts import holders
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import contact_failures, successes
from webhook_app.store.suppressions.changes import (
    SYSTEM,
    ChangeEvidence,
    SuppressionChange,
    endings,
)
from webhook_app.store.suppressions.contact_failures import ContactFailure
from webhook_app.store.suppressions.successes import LastSuccess
from webhook_app.store.suppressions.suppressions import Removal, Suppression, of_contacts
from webhook_app.whatsapp.errors.catalogue import explain

_EVIDENCE_KEPT = 10

Cause = tuple[str, str]
"""reason, scope."""
_UNREACHABLE: Cause = ("unreachable", "all")
Case = tuple[str, str]
"""The main key of a person, and a business number."""


class StreakChanges(Struct):
    """The changes to make, and failures to hold or excuse because of the failure rate of their time."""

    wanted: list[Suppression] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    held: list[tuple[ContactFailure, int]] = field(default_factory=list)
    excused: list[tuple[ContactFailure, int]] = field(default_factory=list)
    postponed: list[ContactFailure] = field(default_factory=list)
    """The last failure of each case that another transaction has to decide."""


class PriorSuppressions(Struct, frozen=True):
    """The suppressions that older failures led to: how many in a row, and the last failure they were based on."""

    times: int
    until: datetime | None
    acted_on: datetime


class ContactHistory(Struct):
    """Everything stored about one case."""

    failures: list[ContactFailure] = field(default_factory=list)
    suppressions: list[Suppression] = field(default_factory=list)
    endings: list[SuppressionChange] = field(default_factory=list)
    successes: list[LastSuccess] = field(default_factory=list)
    arrived: set[str] = field(default_factory=set)
    """Messages that failed on one device and arrived on another."""
    explained: dict[tuple[str, int], int] = field(default_factory=dict)
    """(message id, code) of a failure to the incident that explains it."""
    of_others: set[tuple[str, int]] = field(default_factory=set)
    """Failures at a number of this person while somebody else held it."""

    def facts(self, cause: Cause | None = None) -> tuple[FailureFact, ...]:
        """The failures as the rules take them, with those that only the evidence of a suppression still holds."""
        stored = {(failure.message_id, failure.error_code) for failure in self.failures} | self.of_others
        known: list[ContactFailure | ChangeEvidence] = [*self.failures]
        known += [
            e for row in self.suppressions for e in row.evidence if (e.message_id, e.code) not in stored
        ]
        facts = [self._fact(each) for each in known if each.message_id not in self.arrived]
        return tuple(facts) if cause is None else causes(facts).get(cause, ())

    def latest(self, moments: Iterable[datetime | None]) -> datetime | None:
        return max((moment for moment in moments if moment), default=None)

    def ending(self, cause: Cause) -> SuppressionChange | None:
        """How a suppression for this cause last ended, unless the facts ended it."""
        fitting = [change for change in self.endings if (change.reason, change.scope) == cause]
        return max(fitting, key=lambda change: change.seq, default=None)

    def lifted_at(self, cause: Cause) -> datetime | None:
        """When the last suppression for this cause was lifted, if it ended that way."""
        ended = self.ending(cause)
        return ended.at if ended and ended.action == "lift" else None

    def in_a_row(self, cause: Cause) -> list[ContactFailure]:
        """The failures for this cause since the person was last reached or the suppression was lifted."""
        start = self.latest([*(each.at for each in self.successes), self.lifted_at(cause)])
        facts = {(fact.message_id, fact.code) for fact in self.facts(cause)}
        return [
            each
            for each in self.failures
            if (each.message_id, each.error_code) in facts and (start is None or each.occurred_at > start)
        ]

    def before(self, cause: Cause, oldest_known: datetime) -> PriorSuppressions | None:
        """The suppressions based on failures of which some are no longer stored; None when all are stored."""
        active = (row for row in self.suppressions if (row.reason, row.scope) == cause)
        ended = self.ending(cause)
        last = next(active, ended if ended and ended.action == "expire" else None)
        if last is None or not last.evidence:
            return None
        if len(last.evidence) < _EVIDENCE_KEPT and last.evidence[0].occurred_at >= oldest_known:
            return None
        return PriorSuppressions(last.times, last.half_open_at or last.until, last.evidence[-1].occurred_at)

    def reporter_of(self, fact: FailureFact) -> str:
        """The API key that reported the failure, empty for a webhook's."""
        evidence = {(e.message_id, e.code): e.reported_by for row in self.suppressions for e in row.evidence}
        evidence |= {(each.message_id, each.error_code): each.reported_by or "" for each in self.failures}
        return evidence.get((fact.message_id, fact.code), "")

    def key_of(self, fact: FailureFact) -> str:
        """The key the message was sent to; empty when only evidence says so, without a key."""
        evidence = {(e.message_id, e.code): e.contact for row in self.suppressions for e in row.evidence}
        evidence |= {(each.message_id, each.error_code): each.contact for each in self.failures}
        return evidence.get((fact.message_id, fact.code), "")

    def _fact(self, known: ContactFailure | ChangeEvidence) -> FailureFact:
        code = known.error_code if isinstance(known, ContactFailure) else known.code
        explained = (known.message_id, code) in self.explained
        effect = explain(code).contact_effect
        return FailureFact(known.message_id, known.occurred_at, code, effect, known.campaign, explained)


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
    """
    changes = StreakChanges()
    people = {(contact, number) for contact, number in people if contact}
    if not people:
        return changes
    histories, known = _load_histories(connection, people, explanations)
    open_cases = {
        case: history
        for case, history in histories.items()
        if history.suppressions
        or _may_suppress(history, explanations.now, thresholds)
        or are_in_several_incidents(_excused(history, explanations))
    }
    if open_cases:
        _add_successes(connection, open_cases, known)
    for case, history in open_cases.items():
        _decide_case(case, history, explanations, thresholds, changes)
    return changes


def cases_of(connection: Connection, keys: Iterable[str], now: datetime) -> set[Case]:
    """The (contact, business number) of everybody who held these keys that have failures or suppressions."""
    asked = list(dict.fromkeys(keys))
    known = holders(connection, asked)
    everybody = sorted(all_keys(person for key in asked for person in known.everybody(key)))
    failures = contact_failures.of_contacts(connection, everybody, explainable_codes(), now - LOOKBACK)
    found: list[ContactFailure | Suppression] = [*failures, *of_contacts(connection, everybody)]
    return {(each.contact, each.phone_number_id) for each in found}


def _load_histories(
    connection: Connection, people: set[tuple[str, str]], explanations: Explanations
) -> tuple[dict[Case, ContactHistory], Holders]:
    known = holders(connection, {contact for contact, _ in people})
    concerned = [(person, number) for contact, number in people for person in known.everybody(contact)]
    histories = {(person.main, number): ContactHistory() for person, number in concerned if person.main}
    keys, since = sorted(all_keys(person for person, _ in concerned)), explanations.now - LOOKBACK
    failures = contact_failures.of_contacts(connection, keys, explainable_codes(), since)
    holder_of = {
        (each.phone_number_id, each.message_id, each.error_code): known.holder(each.contact, each.occurred_at)
        for each in failures
    }
    for failure in failures:
        main = holder_of[failure.phone_number_id, failure.message_id, failure.error_code].main
        if history := histories.get((main, failure.phone_number_id)):
            history.failures.append(failure)
            incident = explanations.incident_for(failure)
            by = failure.explained_by if failure.explained_by is not None or not incident else incident.by
            if by is not None:
                history.explained[failure.message_id, failure.error_code] = by
    for row in of_contacts(connection, keys):
        main = owner(known, row)
        history = histories.get((main, row.phone_number_id))
        if history and row.review and row.reason in AUTOMATIC:
            history.suppressions.append(row)
            history.of_others |= {
                (e.message_id, e.code)
                for e in row.evidence
                if (found := holder_of.get((row.phone_number_id, e.message_id, e.code)))
                and found.main != main
            }
    shared = [key for key in keys if known.changed_hands(key)]
    for change in endings(connection, keys, shared):
        if history := histories.get((owner(known, change), change.phone_number_id)):
            history.endings.append(change)
    return histories, known


def _may_suppress(history: ContactHistory, now: datetime, thresholds: Thresholds) -> bool:
    """Whether the contact would be suppressed if nothing had ever been delivered."""
    return any(
        isinstance(decide(facts, None, 0, now, thresholds), Suppress)
        for facts in causes(history.facts()).values()
    ) or bool(history.endings)


def _add_successes(connection: Connection, histories: dict[Case, ContactHistory], known: Holders) -> None:
    facts = [fact for history in histories.values() for fact in history.facts()]
    moments = [fact.occurred_at for fact in facts]
    moments += [change.at for history in histories.values() for change in history.endings]
    if not moments:
        return
    since = min(moments)
    spans: dict[tuple[datetime, datetime], dict[str, str]] = {}
    for main in {contact for contact, _ in histories}:
        for span in known.present(main).spans:
            spans.setdefault((span.since, span.until), {})[span.key] = main
    for (begin, end), mains in spans.items():
        for success in successes.last_successes(connection, list(mains), max(begin, since), end):
            for number in set(numbers_reaching(success.phone_number_id)):
                if history := histories.get((mains[success.contact], number)):
                    history.successes.append(success)
    arrived = successes.arrived_messages(
        connection, [fact.message_id for fact in facts if fact.message_id], since
    )
    anywhere = {message_id for message_id, _ in arrived}
    for (_, number), history in histories.items():
        history.arrived = {
            fact.message_id
            for fact in history.facts()
            if (fact.message_id, number) in arrived or (not number and fact.message_id in anywhere)
        }


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
        for fact in decision.evidence[-_EVIDENCE_KEPT:]
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
