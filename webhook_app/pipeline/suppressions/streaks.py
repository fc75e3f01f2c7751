"""Judges contacts by their failures: all stored facts of a person on a business number in, changes out.

The same facts give the same rows, whichever of them became known last. Reads, but writes nothing.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from webhook_app.pipeline.suppressions.explanations import LOOKBACK, Explanations
from webhook_app.rules.suppressions.explained_periods import BY_RATE, explainable_codes
from webhook_app.rules.suppressions.streaks import FailureFact, Suppress, Thresholds, causes, decide
from webhook_app.store.people.contacts import main_keys
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import contact_failures as strike_store
from webhook_app.store.suppressions import successes as proofs
from webhook_app.store.suppressions.changes import SYSTEM, ChangeEvidence, SuppressionChange, endings
from webhook_app.store.suppressions.contact_failures import ContactFailure
from webhook_app.store.suppressions.successes import LastSuccess
from webhook_app.store.suppressions.suppressions import Removal, Suppression, of_contacts
from webhook_app.whatsapp.errors.catalogue import explain

AUTOMATIC = ("hard", "unreachable")
_EVIDENCE_KEPT = 10

Cause = tuple[str, str]
"""reason, scope."""
Case = tuple[str, str]
"""The main key of a person, and a business number."""


class StreakChanges(Struct):
    """What is to change, and failures to hold because the rate is high at present."""

    wanted: list[Suppression] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    held: list[tuple[ContactFailure, int]] = field(default_factory=list)


class PriorSuppressions(Struct, frozen=True):
    """The wait that older failures led to: the how many-eth in a row, and the failures it rested on."""

    times: int
    until: datetime | None
    acted_on: datetime


class ContactHistory(Struct):
    """All that is known of one case."""

    strikes: list[ContactFailure] = field(default_factory=list)
    standing: list[Suppression] = field(default_factory=list)
    endings: list[SuppressionChange] = field(default_factory=list)
    reached: list[LastSuccess] = field(default_factory=list)
    arrived: set[str] = field(default_factory=set)
    """Messages that failed on one device and arrived on another."""
    explained: dict[tuple[str, int], int] = field(default_factory=dict)
    """(message id, code) to what explains the failure."""

    def facts(self, cause: Cause | None = None) -> tuple[FailureFact, ...]:
        """The failures as the rules see them, those of the evidence that are stored no longer included."""
        known = {(strike.message_id, strike.error_code) for strike in self.strikes}
        seen: list[ContactFailure | ChangeEvidence] = [*self.strikes]
        seen += [e for row in self.standing for e in row.evidence if (e.message_id, e.code) not in known]
        facts = [self._fact(each) for each in seen if each.message_id not in self.arrived]
        return tuple(facts) if cause is None else causes(facts).get(cause, ())

    def latest(self, moments: Iterable[datetime | None]) -> datetime | None:
        return max((moment for moment in moments if moment), default=None)

    def ending(self, cause: Cause) -> SuppressionChange | None:
        """How a suppression for this cause last ended without the facts saying so."""
        fitting = [change for change in self.endings if (change.reason, change.scope) == cause]
        return max(fitting, key=lambda change: change.seq, default=None)

    def before(self, cause: Cause, oldest_known: datetime) -> PriorSuppressions | None:
        """What came of failures of which some may be stored no longer; None when all are at hand."""
        standing = (row for row in self.standing if (row.reason, row.scope) == cause)
        ended = self.ending(cause)
        last = next(standing, ended if ended and ended.action == "expire" else None)
        if last is None or not last.evidence:
            return None
        if len(last.evidence) < _EVIDENCE_KEPT and last.evidence[0].occurred_at >= oldest_known:
            return None
        return PriorSuppressions(last.times, last.half_open_at or last.until, last.evidence[-1].occurred_at)

    def _fact(self, seen: ContactFailure | ChangeEvidence) -> FailureFact:
        code = seen.error_code if isinstance(seen, ContactFailure) else seen.code
        explained = (seen.message_id, code) in self.explained
        effect = explain(code).contact_effect
        return FailureFact(seen.message_id, seen.occurred_at, code, effect, seen.campaign, explained)


def judge(
    connection: Connection,
    people: Iterable[tuple[str, str]],
    explanations: Explanations,
    thresholds: Thresholds,
) -> StreakChanges:
    """What is to become of these (contact, business number).

    1. Everybody's failures, suppressions and their past are loaded; most people are done with that.
    2. For whom it might come to a suppression, or who has one: when were they reached?
    3. Each cause is decided on its own.
    """
    verdict = StreakChanges()
    people = {(contact, number) for contact, number in people if contact}
    if not people:
        return verdict
    files = _open_files(connection, people, explanations)
    serious = {
        case: file
        for case, file in files.items()
        if file.standing or _may_come(file, explanations.now, thresholds)
    }
    if serious:
        _add_proof(connection, serious)
    for case, file in serious.items():
        _judge_case(connection, case, file, explanations, thresholds, verdict)
    return verdict


def _open_files(
    connection: Connection, people: set[tuple[str, str]], explanations: Explanations
) -> dict[Case, ContactHistory]:
    main = main_keys(connection, {contact for contact, _ in people})
    files = {(main[contact], number): ContactHistory() for contact, number in people}
    keys, since = list(main), explanations.now - LOOKBACK
    for strike in strike_store.of_contacts(connection, keys, explainable_codes(), since):
        if file := files.get((main[strike.contact], strike.phone_number_id)):
            file.strikes.append(strike)
            alert = explanations.alert_for(strike)
            by = strike.explained_by if strike.explained_by is not None or not alert else alert.alert_id
            if by is not None:
                file.explained[strike.message_id, strike.error_code] = by
    for row in of_contacts(connection, keys):
        file = files.get((main[row.contact], row.phone_number_id))
        if file and row.review and row.reason in AUTOMATIC:
            file.standing.append(row)
    for change in endings(connection, keys):
        if file := files.get((main[change.contact], change.phone_number_id)):
            file.endings.append(change)
    return files


def _may_come(file: ContactHistory, now: datetime, thresholds: Thresholds) -> bool:
    """Whether it would come to a suppression if nothing had ever been delivered."""
    return any(
        isinstance(decide(facts, None, 0, now, thresholds), Suppress)
        for facts in causes(file.facts()).values()
    ) or bool(file.endings)


def _add_proof(connection: Connection, files: dict[Case, ContactHistory]) -> None:
    facts = [fact for file in files.values() for fact in file.facts()]
    moments = [fact.occurred_at for fact in facts]
    moments += [change.at for file in files.values() for change in file.endings]
    if not moments:
        return
    since = min(moments)
    main = main_keys(connection, {contact for contact, _ in files})
    for proof in proofs.last_reached(connection, list(main), since):
        if file := files.get((main[proof.contact], proof.phone_number_id)):
            file.reached.append(proof)
    arrived = proofs.reached_messages(
        connection, [fact.message_id for fact in facts if fact.message_id], since
    )
    for (_, number), file in files.items():
        file.arrived = {fact.message_id for fact in file.facts() if (fact.message_id, number) in arrived}


def _judge_case(
    connection: Connection,
    case: Case,
    file: ContactHistory,
    explanations: Explanations,
    thresholds: Thresholds,
    verdict: StreakChanges,
) -> None:
    found = {*causes(file.facts()), *((row.reason, row.scope) for row in file.standing)}
    for cause in sorted(found):
        standing = [row for row in file.standing if (row.reason, row.scope) == cause]
        wish = _decide(file, cause, explanations.now, thresholds)
        if wish and not standing and (high := _high_now(connection, file, cause, explanations)):
            verdict.held += [(strike, BY_RATE) for strike in high]
            wish = _decide(file, cause, explanations.now, thresholds)
        if wish:
            row = _row(case, wish, standing, explanations.now)
            verdict.wanted.append(row)
            moved = [old for old in standing if old.key != row.key]
            verdict.removals += [Removal(old, "lift", SYSTEM, f"kept under {row.contact}") for old in moved]
        else:
            verdict.removals += [
                Removal(row, "lift", SYSTEM, why) for row in standing if (why := _why_over(row, file))
            ]


def _decide(file: ContactHistory, cause: Cause, now: datetime, thresholds: Thresholds) -> Suppress | None:
    success = file.latest(proof.at for proof in file.reached)
    wrote = file.latest(proof.wrote_at for proof in file.reached)
    marketing = file.latest(proof.marketing_at for proof in file.reached)
    before = file.before(cause, now - LOOKBACK)
    again = success if cause[1] == "all" else marketing
    if before and again and again > before.acted_on:
        before = None
    lifted_at = ended.at if (ended := file.ending(cause)) and ended.action == "lift" else None
    success = file.latest([success, lifted_at])
    found = decide(
        file.facts(cause),
        success,
        before.times if before else 0,
        now,
        thresholds,
        last_inbound=wrote,
        last_marketing=marketing,
        acted_on=file.latest([lifted_at, before.acted_on if before else None]),
        previous_until=before.until if before else None,
    )
    return found if isinstance(found, Suppress) else None


def _high_now(
    connection: Connection, file: ContactHistory, cause: Cause, explanations: Explanations
) -> list[ContactFailure]:
    """Failures a high rate of right now may account for; from here on the file counts them as explained."""
    counting = {(fact.message_id, fact.code) for fact in file.facts(cause) if not fact.explained}
    high = [
        strike
        for strike in file.strikes
        if (strike.message_id, strike.error_code) in counting and explanations.present_for(connection, strike)
    ]
    file.explained |= {(strike.message_id, strike.error_code): BY_RATE for strike in high}
    return high


def _row(case: Case, wish: Suppress, standing: list[Suppression], now: datetime) -> Suppression:
    evidence = tuple(
        ChangeEvidence(fact.occurred_at, fact.message_id, fact.code, fact.campaign)
        for fact in wish.evidence[-_EVIDENCE_KEPT:]
    )
    row = Suppression(
        contact=case[0],
        phone_number_id=case[1],
        scope=wish.scope,
        reason=wish.reason,
        code=wish.code,
        since=min((old.since for old in standing if not old.half_open_at), default=now),
        until=wish.until,
        times=wish.times,
        evidence=evidence,
        actor=SYSTEM,
        review=True,
    )
    known = next((old for old in standing if old.key == row.key), row)
    return replace(row, seen_as=known.seen_as, note=known.note)


def _why_over(row: Suppression, file: ContactHistory) -> str:
    """What speaks against it now; empty when only the facts it rests on are no longer stored."""
    by = [
        alert_id for e in row.evidence if (alert_id := file.explained.get((e.message_id, e.code))) is not None
    ]
    if by:
        return f"explained by alert {max(by)}" if max(by) else "explained by the failure rate of its time"
    if any(e.message_id in file.arrived for e in row.evidence):
        return "the message arrived after all"
    success = file.latest(proof.at for proof in file.reached)
    if success and row.evidence and success >= row.evidence[0].occurred_at:
        return f"reached at {success:%Y-%m-%d %H:%M:%S} UTC"
    return ""
