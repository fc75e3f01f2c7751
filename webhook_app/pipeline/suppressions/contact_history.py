"""Everything stored about the failures of a contact on a business number, for the decision about a suppression."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct, field

from webhook_app.pipeline.suppressions.explanations import LOOKBACK, Explanations
from webhook_app.pipeline.suppressions.number_changes import AUTOMATIC, EVIDENCE_KEPT, all_keys, owner
from webhook_app.rules.people.holders import Holders
from webhook_app.rules.suppressions.explained_periods import explainable_codes
from webhook_app.rules.suppressions.reach import numbers_reaching
from webhook_app.rules.suppressions.streaks import FailureFact, causes
from webhook_app.store.people.contacts import holders
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import contact_failures, successes
from webhook_app.store.suppressions.changes import ChangeEvidence, SuppressionChange, endings
from webhook_app.store.suppressions.contact_failures import ContactFailure
from webhook_app.store.suppressions.successes import LastSuccess
from webhook_app.store.suppressions.suppressions import Suppression, of_contacts
from webhook_app.whatsapp.errors.catalogue import explain

Cause = tuple[str, str]
"""reason, scope."""
Case = tuple[str, str]
"""The main key of a person, and a business number."""


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
        if len(last.evidence) < EVIDENCE_KEPT and last.evidence[0].occurred_at >= oldest_known:
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


def cases_of(connection: Connection, keys: Iterable[str], now: datetime) -> set[Case]:
    """The (contact, business number) of everybody who held these keys that have failures or suppressions."""
    asked = list(dict.fromkeys(keys))
    known = holders(connection, asked)
    everybody = sorted(all_keys(person for key in asked for person in known.everybody(key)))
    failures = contact_failures.of_contacts(connection, everybody, explainable_codes(), now - LOOKBACK)
    found: list[ContactFailure | Suppression] = [*failures, *of_contacts(connection, everybody)]
    return {(each.contact, each.phone_number_id) for each in found}


def load_histories(
    connection: Connection, people: set[tuple[str, str]], explanations: Explanations
) -> tuple[dict[Case, ContactHistory], Holders]:
    """The failures, suppressions and their past of these (contact, business number), and who held their keys."""
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


def add_successes(connection: Connection, histories: dict[Case, ContactHistory], known: Holders) -> None:
    """Add the last successes to the histories, and the failed messages that arrived after all."""
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
