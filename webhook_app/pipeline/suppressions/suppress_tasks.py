"""The tasks of the job `suppress`: what waits in queues, expiry, new failures and successes, and second decisions.

Each works in the transaction that it gets.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from msgspec.structs import replace

from webhook_app.pipeline.suppressions.caps import Caps
from webhook_app.pipeline.suppressions.contact_history import cases_of
from webhook_app.pipeline.suppressions.decisions import Decisions
from webhook_app.pipeline.suppressions.explanations import LOOKBACK, Explanations
from webhook_app.pipeline.suppressions.statements import apply_statements
from webhook_app.pipeline.suppressions.suppress_run import Queue, Task
from webhook_app.rules.suppressions.blocking import ends_with_probe
from webhook_app.rules.suppressions.consent import Source
from webhook_app.rules.suppressions.explained_periods import explainable_codes
from webhook_app.rules.suppressions.reach import reaches
from webhook_app.rules.suppressions.streaks import lifts
from webhook_app.store.people import links
from webhook_app.store.people.contacts import changed_contacts, holders, take_number_changes
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import consent, contact_failures, lists, successes, suppressions
from webhook_app.store.suppressions.changes import SYSTEM, SuppressionChange
from webhook_app.store.suppressions.contact_failures import ContactFailure
from webhook_app.store.suppressions.successes import Success
from webhook_app.store.suppressions.suppressions import Removal, Suppression

_SETTLED = 10  # failures in place of one, as most of them need no decision
_RECENT = timedelta(minutes=10)  # longer than any ingest transaction that missed the suppression
_CLOCK_AHEAD = timedelta(minutes=5)
_HOUR = timedelta(hours=1)


class SuppressTasks:
    """The tasks of one run, in their order."""

    def __init__(self, explanations: Explanations, caps: Caps, decisions: Decisions, now: datetime) -> None:
        self.in_order: list[Task | Queue] = [
            Queue(partial(consent.waiting, "settings"), partial(self.consider_statements, "settings")),
            Queue(partial(consent.waiting, "chat"), partial(self.consider_statements, "chat")),
            self.expire,
            Queue(changed_contacts, self.move_suppressions),
            Queue(links.unapplied, self.apply_links),
            self.settle_held,
            self.review_held,
            self.consider_failures,
            self.review_explained,
            self.review_recent,
            self.consider_successes,
        ]
        self._explanations = explanations
        self._caps = caps
        self._decisions = decisions
        self._summary = decisions.summary
        self._now = now

    def expire(self, connection: Connection, limit: int) -> int:
        ended = lists.ended_by(connection, self._now, limit)
        opening = [row for row in ended if ends_with_probe(row.reason, row.scope)]
        expired = [Removal(row, "expire", SYSTEM) for row in ended if row not in opening]
        half_open = [replace(row, until=None, half_open_at=row.until) for row in opening]
        self._decisions.apply(connection, half_open, expired)
        return len(ended)

    def move_suppressions(self, connection: Connection, contacts: list[str]) -> Sequence[SuppressionChange]:
        """Moves what ingest could not move, and decides again about failures before and after a change."""
        self._explanations.refresh(connection)
        changed = take_number_changes(connection, contacts, self._now)
        changes = apply_statements(connection, (), changed, self._now)
        self._decisions.decide(
            connection, cases_of(connection, {key for pair in changed for key in pair}, self._now)
        )
        return changes

    def apply_links(self, connection: Connection, contacts: list[str]) -> Sequence[SuppressionChange]:
        """Applies the new links that ingest left."""
        links.take_unapplied(connection, contacts)
        return apply_statements(connection, (), (), self._now, linked=contacts)

    def consider_statements(
        self, source: Source, connection: Connection, contacts: list[str]
    ) -> Sequence[SuppressionChange]:
        stated = consent.take(connection, source, contacts, self._now)
        return apply_statements(connection, stated, (), self._now)

    def settle_held(self, connection: Connection, limit: int) -> int:
        """Settle failures held for one incident per transaction."""
        self._explanations.refresh(connection)
        open_ones = {period.by for period in self._explanations.incidents if period.end is None}
        known = {period.by for period in self._explanations.incidents}
        for incident_id in contact_failures.holding_incidents(connection):
            if incident_id not in known:
                done = contact_failures.release_held(connection, incident_id, limit * _SETTLED)
                self._summary.released += done
                return limit
            if incident_id not in open_ones:
                contacts = contact_failures.excuse_held(connection, incident_id, limit * _SETTLED, self._now)
                self._summary.excused += len(contacts)
                self._decisions.decide(connection, self._decisions.excused_repeatedly(connection, contacts))
                return limit
        return 0

    def review_held(self, connection: Connection, limit: int) -> int:
        """Consider failures held without an incident again when there is one, or the rate has gone down."""
        self._explanations.refresh(connection)
        held = contact_failures.held_by_rate(connection, limit)
        # The windows of one run may not suffice for all: each run begins elsewhere.
        turn = int(self._now.timestamp()) % max(len(held), 1)
        held = held[turn:] + held[:turn]
        own: dict[tuple[str, str], list[ContactFailure]] = {}
        people = {failure.contact for failure in held}
        for each in contact_failures.of_contacts(
            connection, sorted(people), explainable_codes(), self._now - LOOKBACK
        ):
            own.setdefault((each.contact, each.phone_number_id), []).append(each)
        waiting = {
            id(failure)
            for failure in held
            if not self._explanations.incident_for(failure)
            and (
                self._explanations.is_used_up
                or self._explanations.present_for(
                    failure, own.get((failure.contact, failure.phone_number_id), ())
                )
            )
        }
        self._decisions.consider(connection, [failure for failure in held if id(failure) not in waiting])
        return len(held) - len(waiting)

    def consider_failures(self, connection: Connection, limit: int) -> int:
        self._explanations.refresh(connection)
        waiting, keys = self._caps.waiting_codes(connection), self._caps.waiting_keys(connection)
        self._summary.capped = self._caps.is_reached
        taken = contact_failures.take(connection, limit, waiting, keys)
        left = self._decisions.consider(connection, taken)
        return limit if left else len(taken)

    def review_explained(self, connection: Connection, limit: int) -> int:
        """Decide again about suppressions made before the incident that explains their failures was known."""
        self._explanations.refresh(connection)
        found: set[tuple[str, str]] = set()
        periods = {  # made-up failures make hundreds of incidents that begin together
            (each.codes, each.start, each.noticed_at)
            for each in self._explanations.incidents
            if each.end is None or each.noticed_at >= self._now - _HOUR
        }
        for codes, start, noticed_at in periods:
            span = (start - _CLOCK_AHEAD, noticed_at + _HOUR)
            rows = lists.based_on(connection, codes, start, span, limit)
            found |= {(row.contact, row.phone_number_id) for row in rows}
        self._decisions.decide(connection, found)
        return 0

    def review_recent(self, connection: Connection, limit: int) -> int:
        """Decide again about recent suppressions: a success committed at the same moment is in no queue."""
        if recent := lists.automatic_since(connection, self._now - _RECENT, limit):
            self._explanations.refresh(connection)
        self._decisions.decide(connection, {(row.contact, row.phone_number_id) for row in recent})
        return 0

    def consider_successes(self, connection: Connection, limit: int) -> int:
        taken = successes.take_successes(connection, limit)
        if not taken:
            return 0
        self._explanations.refresh(connection)
        known = holders(connection, {success.contact for success in taken})
        keys = [(success, known.holder(success.contact, success.occurred_at).keys) for success in taken]
        rows = suppressions.of_contacts(connection, list({key for _, held in keys for key in held}))
        by_contact: dict[str, list[Suppression]] = {}
        for row in rows:
            by_contact.setdefault(row.contact, []).append(row)
        undecided: set[tuple[str, str]] = set()
        lifted: dict[suppressions.Key, Removal] = {}
        for success, held in keys:
            for row in (row for key in held for row in by_contact.get(key, ())):
                if not _concerns(success, row):
                    continue
                if row.review:
                    undecided.add((row.contact, row.phone_number_id))
                elif success.occurred_at > _last_evidence(row):
                    lifted[row.key] = Removal(row, "lift", SYSTEM, f"{success.what} {success.message_id}")
        self._decisions.decide(connection, undecided, list(lifted.values()))
        return len(taken)


def _concerns(success: Success, row: Suppression) -> bool:
    of_this_number = reaches(row.phone_number_id, success.phone_number_id)
    return of_this_number and lifts(row.reason, row.scope, row.code, success.what)


def _last_evidence(row: Suppression) -> datetime:
    return max((evidence.occurred_at for evidence in row.evidence), default=row.since)
