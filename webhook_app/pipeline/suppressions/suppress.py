"""Makes, changes and lifts suppressions from new failures, successes and preferences.

A run applies STOP and START that ingest left, expires suppressions or sets them half-open, moves those of people who
changed their number, settles failures held for an incident that ended, considers new failures, and decides again about
suppressions that a later incident explains. It works in short transactions; what fails stops nothing else. Only one run
works at a time; another one ends at once, and `LockWatch` notices when that goes on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import structlog
from msgspec import Struct
from msgspec.structs import replace

from webhook_app.pipeline.suppressions.caps import HOURLY_CAP, KEY_HOURLY_CAP, Caps
from webhook_app.pipeline.suppressions.contact_history import cases_of
from webhook_app.pipeline.suppressions.explanations import LOOKBACK, Explanations
from webhook_app.pipeline.suppressions.statements import apply_statements
from webhook_app.pipeline.suppressions.streaks import decide_streaks
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.suppressions.blocking import ends_with_probe
from webhook_app.rules.suppressions.consent import Source
from webhook_app.rules.suppressions.explained_periods import EXPLAINED_AT_MOST, explainable_codes
from webhook_app.rules.suppressions.reach import reaches
from webhook_app.rules.suppressions.repeated_incidents import INCIDENTS_EXCUSED
from webhook_app.rules.suppressions.streaks import STOPPED_MARKETING, Thresholds, lifts
from webhook_app.store.people import links
from webhook_app.store.people.contacts import changed_contacts, holders, take_number_changes
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection, Engine, use_indexes_until_commit
from webhook_app.store.postgres.errors import driver_fault, is_connection_lost
from webhook_app.store.suppressions import (
    consent,
    contact_failures,
    lists,
    successes,
    suppressions,
)
from webhook_app.store.suppressions.changes import SYSTEM, SuppressionChange
from webhook_app.store.suppressions.contact_failures import ContactFailure
from webhook_app.store.suppressions.successes import Success
from webhook_app.store.suppressions.suppressions import Removal, Suppression

log = structlog.get_logger()

LOCKED_AT_MOST = timedelta(minutes=5)
"""Longer than an undo, which holds the lock as well."""

_BATCH = 1_000
_BATCHES = 20
_SETTLED = 10  # failures in place of one, as most of them need no decision
_RECENT = timedelta(minutes=10)  # longer than any ingest transaction that missed the suppression
_CLOCK_AHEAD = timedelta(minutes=5)
_HOUR = timedelta(hours=1)

_MOST_FAULTS = 20  # statements of a queue that fail; more are rather a fault that all of them have

Task = Callable[[Connection, int], int]
"""Works on at most so many in one transaction, and returns how many; a full batch is followed by another."""


class _Queue(NamedTuple):
    """Statements, links or changes of number that wait to be applied, by contact."""

    contacts: Callable[[Connection, int, Iterable[str]], list[str]]
    """The contacts of the first so many that wait, some repeatedly, but those given."""
    apply: Callable[[Connection, list[str]], Sequence[SuppressionChange]]
    """Applies all that waits of these contacts."""


class SuppressSummary(Struct):
    """Counts of what one run did."""

    considered: int = 0
    held: int = 0
    excused: int = 0
    released: int = 0
    suppressed: int = 0
    extended: int = 0
    lifted: int = 0
    expired: int = 0
    half_opened: int = 0
    capped: bool = False
    lock_taken: bool = False
    """Another run held the lock, so that this one did not do all tasks."""


class LockTakenError(Exception):
    """Other runs have held the lock for minutes, so that no suppression changes."""


class TasksFailedError(Exception):
    """Something failed in a run. All else is done."""


class _AnotherRunError(Exception):
    """Another run holds the lock."""


class LockWatch:
    """Logs when runs find the lock taken, and raises LockTakenError when they have done so for LOCKED_AT_MOST."""

    def __init__(self) -> None:
        self._since: datetime | None = None

    def check(self, summary: SuppressSummary, now: datetime) -> SuppressSummary:
        """Take note of one run that began at `now`."""
        if not summary.lock_taken:
            self._since = None
        elif self._since is None:
            self._since = now
            log.warning("another run holds the lock of `suppress`")
        elif now - self._since > LOCKED_AT_MOST:
            raise LockTakenError(
                f"another run holds the lock, since {self._since:%Y-%m-%d %H:%M:%S} UTC or earlier"
            )
        return summary


def suppress(
    engine: Engine,
    rules: Sequence[Rule],
    thresholds: Thresholds,
    now: datetime,
    *,
    hourly_cap: int = HOURLY_CAP,
    key_hourly_cap: int = KEY_HOURLY_CAP,
) -> SuppressSummary:
    """Update the suppressions; see the module for the tasks."""
    run = _SuppressRun(engine, rules, thresholds, now, hourly_cap, key_hourly_cap)
    try:
        for work in run.tasks:
            run.do(work)
    except _AnotherRunError:
        run.summary.lock_taken = True
    run.raise_faults()
    return run.summary


_COUNTED_AS = {
    "suppress": "suppressed",
    "extend": "extended",
    "half_open": "half_opened",
    "lift": "lifted",
    "expire": "expired",
}


class _SuppressRun:
    def __init__(
        self,
        engine: Engine,
        rules: Sequence[Rule],
        thresholds: Thresholds,
        now: datetime,
        hourly_cap: int,
        key_hourly_cap: int,
    ) -> None:
        self.summary = SuppressSummary()
        self.tasks: list[Task | _Queue] = [
            _Queue(partial(consent.waiting, "settings"), partial(self.consider_statements, "settings")),
            _Queue(partial(consent.waiting, "chat"), partial(self.consider_statements, "chat")),
            self.expire,
            _Queue(changed_contacts, self.move_suppressions),
            _Queue(links.unapplied, self.apply_links),
            self.settle_held,
            self.review_held,
            self.consider_failures,
            self.review_explained,
            self.review_recent,
            self.consider_successes,
        ]
        self._engine = engine
        self._faults: list[Exception] = []
        self._thresholds = thresholds
        self._now = now
        self._caps = Caps(now, hourly_cap, key_hourly_cap)
        self._explanations = Explanations(rules, now)

    def do(self, work: Task | _Queue) -> None:
        """Do a task, or apply what waits in a queue, as far as possible. Raises only when the run has to end."""
        try:
            self._empty(work) if isinstance(work, _Queue) else self._repeat(work)
        except Exception as fault:
            if _ends_run(fault):
                raise
            self._note(fault)

    def _repeat(self, task: Task) -> None:
        """Do the task batch by batch. A batch that fails is halved, down to one."""
        limit = _BATCH
        for _ in range(_BATCHES):
            try:
                with self._transaction() as connection:
                    size = task(connection, limit)
            except Exception as fault:
                if limit == 1 or _ends_run(fault):
                    raise
                limit //= 2
            else:
                if size < limit:
                    return

    def _empty(self, queue: _Queue) -> None:
        """Apply what waits in the queue, except what fails by itself: that waits for the next run."""
        failed: set[str] = set()
        for _ in range(_BATCHES):
            with self._transaction() as connection:
                waiting = queue.contacts(connection, _BATCH, failed)
            failed |= self._apply_in_parts(queue, list(dict.fromkeys(waiting)))
            if len(waiting) < _BATCH or len(failed) >= _MOST_FAULTS:
                return

    def _apply_in_parts(self, queue: _Queue, contacts: list[str]) -> set[str]:
        """Apply what waits of these contacts, those of few keys at a time; returns the contacts of what failed.

        A part that fails is halved, down to one contact.
        """
        failed: set[str] = set()
        parts = [contacts] if contacts else []
        while parts and len(failed) < _MOST_FAULTS:
            part = few = parts.pop()
            try:
                with self._transaction() as connection:
                    few = links.first_people(connection, part)
                    changes = queue.apply(connection, few)
                self._count(changes)
            except Exception as fault:
                if _ends_run(fault):
                    raise
                if len(few) > 1:
                    parts += [few[len(few) // 2 :], few[: len(few) // 2]]
                else:
                    self._note(fault)
                    failed |= {*few}
            if rest := part[len(few) :]:
                parts.insert(0, rest)
        return failed

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            if not locks.try_until_commit(connection, locks.SUPPRESS_LOCK):
                raise _AnotherRunError
            use_indexes_until_commit(connection)
            yield connection

    def _note(self, fault: Exception) -> None:
        log.error("not done", exc_info=fault)
        self._faults.append(fault)

    def raise_faults(self) -> None:
        """Raise TasksFailedError if something failed."""
        if self._faults:
            kinds = ", ".join(sorted({type(driver_fault(fault)).__name__ for fault in self._faults}))
            message = f"{len(self._faults)} tasks or statements failed ({kinds}); all others are done"
            raise TasksFailedError(message) from self._faults[0]

    def expire(self, connection: Connection, limit: int) -> int:
        ended = lists.ended_by(connection, self._now, limit)
        opening = [row for row in ended if ends_with_probe(row.reason, row.scope)]
        expired = [Removal(row, "expire", SYSTEM) for row in ended if row not in opening]
        half_open = [replace(row, until=None, half_open_at=row.until) for row in opening]
        self._apply(connection, half_open, expired)
        return len(ended)

    def move_suppressions(self, connection: Connection, contacts: list[str]) -> Sequence[SuppressionChange]:
        """Moves what ingest could not move, and decides again about failures before and after a change."""
        self._explanations.refresh(connection)
        changed = take_number_changes(connection, contacts, self._now)
        changes = apply_statements(connection, (), changed, self._now)
        self._decide(connection, cases_of(connection, {key for pair in changed for key in pair}, self._now))
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
                self.summary.released += done
                return limit
            if incident_id not in open_ones:
                contacts = contact_failures.excuse_held(connection, incident_id, limit * _SETTLED, self._now)
                self.summary.excused += len(contacts)
                self._decide(connection, self._excused_repeatedly(connection, contacts))
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
        self._consider(connection, [failure for failure in held if id(failure) not in waiting])
        return len(held) - len(waiting)

    def consider_failures(self, connection: Connection, limit: int) -> int:
        self._explanations.refresh(connection)
        waiting, keys = self._caps.waiting_codes(connection), self._caps.waiting_keys(connection)
        self.summary.capped = self._caps.is_reached
        taken = contact_failures.take(connection, limit, waiting, keys)
        left = self._consider(connection, taken)
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
        self._decide(connection, found)
        return 0

    def review_recent(self, connection: Connection, limit: int) -> int:
        """Decide again about recent suppressions: a success committed at the same moment is in no queue."""
        if recent := lists.automatic_since(connection, self._now - _RECENT, limit):
            self._explanations.refresh(connection)
        self._decide(connection, {(row.contact, row.phone_number_id) for row in recent})
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
        self._decide(connection, undecided, list(lifted.values()))
        return len(taken)

    def _consider(self, connection: Connection, taken: Sequence[ContactFailure]) -> int:
        """Hold, excuse or count the failures, and decide. Returns how many are left for another transaction."""
        few = {*links.first_people(connection, [failure.contact for failure in taken])}
        left = len(taken)
        taken = [failure for failure in taken if failure.contact in few]
        found = self._explanations.sort(taken)
        contact_failures.hold(connection, found.hold)
        contact_failures.excuse(connection, found.excuse, self._now)
        contact_failures.consider(connection, found.count, self._now)
        self.summary.held += len(found.hold)
        self.summary.excused += len(found.excuse)
        self.summary.considered += len(found.count)
        evidence = [failure for failure in found.count if failure.reported_by is not None]
        people = {(failure.contact, failure.phone_number_id) for failure in evidence}
        people |= self._excused_repeatedly(connection, [failure.contact for failure, _ in found.excuse])
        for period in found.past_periods:
            people |= contact_failures.excuse_considered(connection, period)[1]
        refused = {
            (failure.contact, failure.phone_number_id)
            for failure in evidence
            if failure.error_code == STOPPED_MARKETING
        }
        postponed = self._decide(connection, people)
        if refused:
            self._count(apply_statements(connection, refused, (), self._now))
        return left - len(found.hold) - len(found.excuse) - len(found.count) + postponed

    def _excused_repeatedly(self, connection: Connection, contacts: Sequence[str]) -> set[tuple[str, str]]:
        """Those of these contacts whose failures may count although incidents excuse them."""
        apart = INCIDENTS_EXCUSED * EXPLAINED_AT_MOST
        return contact_failures.excused_repeatedly(connection, contacts, apart, self._now - LOOKBACK)

    def _decide(
        self,
        connection: Connection,
        people: set[tuple[str, str]],
        removals: Sequence[Removal] = (),
    ) -> int:
        """Decide about these (contact, business number). Returns how many are put back for another transaction."""
        decided = decide_streaks(connection, people, self._explanations, self._thresholds)
        contact_failures.hold(connection, decided.held)
        contact_failures.excuse(connection, decided.excused, self._now)
        self.summary.held += len(decided.held)
        self.summary.excused += len(decided.excused)
        allowed = self._caps.allowed(connection, decided.wanted)
        self._apply(connection, allowed, [*removals, *decided.removals])
        contact_failures.put_back(connection, decided.postponed)
        return len(decided.postponed)

    def _apply(
        self, connection: Connection, wanted: Sequence[Suppression], removals: Sequence[Removal]
    ) -> None:
        self._count(suppressions.apply(connection, wanted, removals, self._now))

    def _count(self, changes: Sequence[SuppressionChange]) -> None:
        for change in changes:
            attribute = _COUNTED_AS[change.action]
            setattr(self.summary, attribute, getattr(self.summary, attribute) + 1)


def _ends_run(fault: Exception) -> bool:
    return isinstance(fault, _AnotherRunError) or is_connection_lost(fault)


def _concerns(success: Success, row: Suppression) -> bool:
    of_this_number = reaches(row.phone_number_id, success.phone_number_id)
    return of_this_number and lifts(row.reason, row.scope, row.code, success.what)


def _last_evidence(row: Suppression) -> datetime:
    return max((evidence.occurred_at for evidence in row.evidence), default=row.since)
