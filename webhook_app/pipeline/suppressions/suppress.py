"""Who is not to be written to any more, and who is again: failures, successes and wishes in, suppressions out.

One run, each step in short transactions of bounded size:
1. What has run out expires, or is half-open from now on: the next message is a probe.
2. Suppressions follow people who changed their number.
3. Alerts: failures held for one are settled when it is over, and looked at again when it came to nothing.
4. New failures: held if something explains them now, else their contacts are judged.
5. Suppressions that a later alert explains, young ones and those of contacts since reached are judged again.
6. Preferences, STOP and START.
Only one run works at a time; a second one leaves everything to the first.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import structlog
from msgspec import Struct
from msgspec.structs import replace

from webhook_app.pipeline.suppressions import consent as consents
from webhook_app.pipeline.suppressions import number_changes as moves
from webhook_app.pipeline.suppressions import streaks
from webhook_app.pipeline.suppressions.explanations import Explanations
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.suppressions.blocking import ends_with_a_probe
from webhook_app.rules.suppressions.explained_periods import explainable_codes
from webhook_app.rules.suppressions.streaks import STOPPED_MARKETING, Thresholds, lifts
from webhook_app.store.people import erased_opt_outs, number_changes
from webhook_app.store.people.contacts import links_of_many
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.store.suppressions import consent, contact_failures, lists, successes, suppressions
from webhook_app.store.suppressions.changes import SYSTEM
from webhook_app.store.suppressions.contact_failures import ContactFailure
from webhook_app.store.suppressions.successes import Success
from webhook_app.store.suppressions.suppressions import Removal, Suppression
from webhook_app.whatsapp.errors.catalogue import explain

log = structlog.get_logger()

HOURLY_CAP = 5_000
"""So many automatic suppressions of scope `all` within an hour look like a fault; the rest waits."""

_BATCH = 1_000
_BATCHES = 20
_SETTLED_AT_ONCE = 10_000
_YOUNG = timedelta(minutes=10)  # longer than any ingest transaction that missed the suppression can last
_CLOCK_AHEAD = timedelta(minutes=5)
_ENDED_LATELY = timedelta(hours=1)

Work = Callable[[Connection], int]
"""One batch in one transaction; returns how much there was, so that a full batch is followed by another."""


class SuppressSummary(Struct):
    """What one run did."""

    considered: int = 0
    held: int = 0
    excused: int = 0
    let_go: int = 0
    suppressed: int = 0
    extended: int = 0
    lifted: int = 0
    expired: int = 0
    opened: int = 0
    capped: bool = False


def suppress(
    engine: Engine,
    rules: Sequence[Rule],
    thresholds: Thresholds,
    now: datetime,
    *,
    hourly_cap: int = HOURLY_CAP,
) -> SuppressSummary:
    """Bring the suppressions up to what is known; see the module for the order."""
    run = _SuppressRun(rules, thresholds, now, hourly_cap)
    for work in run.steps:
        for _ in range(_BATCHES):
            with engine.begin() as connection:
                if not locks.try_until_commit(connection, locks.SUPPRESS_LOCK):
                    return run.summary
                if work(connection) < _BATCH:
                    break
    return run.summary


_COUNTED_AS = {
    "suppress": "suppressed",
    "extend": "extended",
    "half_open": "opened",
    "lift": "lifted",
    "expire": "expired",
}


_ENDS_ERASED = {"start": "all", "resume": "marketing"}


class _SuppressRun:
    def __init__(self, rules: Sequence[Rule], thresholds: Thresholds, now: datetime, hourly_cap: int) -> None:
        self.summary = SuppressSummary()
        self.steps: list[Work] = [
            self.expire,
            self.follow,
            self.settle,
            self.review_held,
            self.consider_failures,
            self.review_explained,
            self.review_young,
            self.consider_successes,
            self.consider_preferences,
            self.consider_keywords,
        ]
        self._thresholds = thresholds
        self._now = now
        self._hourly_cap = hourly_cap
        self._explanations = Explanations(rules, now)

    def expire(self, connection: Connection) -> int:
        over = lists.ended_by(connection, self._now, _BATCH)
        opening = [row for row in over if ends_with_a_probe(row.reason, row.scope)]
        ended = [Removal(row, "expire", SYSTEM) for row in over if row not in opening]
        opened = [replace(row, until=None, half_open_at=row.until) for row in opening]
        self._apply(connection, opened, ended)
        return len(over)

    def follow(self, connection: Connection) -> int:
        left = number_changes.take(connection, _BATCH, self._now)
        self._apply(connection, *moves.judge(connection, left))
        return len(left)

    def settle(self, connection: Connection) -> int:
        """One alert's worth of held failures per transaction."""
        self._explanations.refresh(connection)
        ends = {incident.alert_id: incident.end for incident in self._explanations.alerts}
        for alert_id in contact_failures.holders(connection):
            if alert_id not in ends:
                done = contact_failures.let_go(connection, alert_id, _SETTLED_AT_ONCE)
                self.summary.let_go += done
                return max(done, _BATCH)
            if ends[alert_id] is not None:
                done = contact_failures.settle(connection, alert_id, _SETTLED_AT_ONCE, self._now)
                self.summary.excused += done
                return max(done, _BATCH)
        return 0

    def review_held(self, connection: Connection) -> int:
        """Failures held for a high rate alone: is there an alert by now, or has the rate gone down?"""
        self._explanations.refresh(connection)
        held = contact_failures.held_by_rate(connection, _BATCH)
        still = [s for s in held if not self._explanations.alert_for(s) and self._is_high(connection, s)]
        waiting = {id(strike) for strike in still}
        self._consider(connection, [strike for strike in held if id(strike) not in waiting])
        return len(held) - len(still)

    def consider_failures(self, connection: Connection) -> int:
        self._explanations.refresh(connection)
        left_out = _blocking_codes() if self._is_capped(connection) else ()
        taken = contact_failures.take(connection, _BATCH, left_out)
        self._consider(connection, taken)
        return len(taken)

    def review_explained(self, connection: Connection) -> int:
        """Suppressions made before anybody knew of the alert that explains what they rest on."""
        self._explanations.refresh(connection)
        found: set[tuple[str, str]] = set()
        for alert in self._explanations.alerts:
            if alert.end is None or alert.end >= self._now - _ENDED_LATELY:
                span = (alert.start - _CLOCK_AHEAD, alert.noticed_at + _ENDED_LATELY)
                rows = lists.resting_on(connection, alert.codes, alert.start, span, _BATCH)
                found |= {(row.contact, row.phone_number_id) for row in rows}
        self._judge(connection, found)
        return 0

    def review_young(self, connection: Connection) -> int:
        """A success that was committed at the same moment did not see the suppression, and is in no queue."""
        young = lists.automatic_since(connection, self._now - _YOUNG, _BATCH)
        self._judge(connection, {(row.contact, row.phone_number_id) for row in young})
        return 0

    def consider_successes(self, connection: Connection) -> int:
        taken = successes.take_successes(connection, _BATCH)
        if not taken:
            return 0
        links = links_of_many(connection, {success.contact for success in taken})
        rows = suppressions.of_contacts(connection, list({key for keys in links.values() for key in keys}))
        by_contact: dict[str, list[Suppression]] = {}
        for row in rows:
            by_contact.setdefault(row.contact, []).append(row)
        again: set[tuple[str, str]] = set()
        over: dict[suppressions.Key, Removal] = {}
        for success in taken:
            for row in (row for key in links[success.contact] for row in by_contact.get(key, ())):
                if not _concerns(success, row):
                    continue
                if row.review:
                    again.add((row.contact, row.phone_number_id))
                elif success.occurred_at > _rests_on(row):
                    over[row.key] = Removal(row, "lift", SYSTEM, f"{success.what} {success.message_id}")
        self._judge(connection, again, list(over.values()))
        return len(taken)

    def consider_preferences(self, connection: Connection) -> int:
        return self._hear(connection, consent.take_preferences(connection, _BATCH, self._now))

    def consider_keywords(self, connection: Connection) -> int:
        return self._hear(connection, consent.take_keywords(connection, _BATCH, self._now))

    def _hear(self, connection: Connection, people: list[tuple[str, str]]) -> int:
        self._apply(connection, *consents.judge(connection, people, self._now))
        self._hear_the_erased(connection, {contact for contact, _ in people})
        return len(people)

    def _hear_the_erased(self, connection: Connection, contacts: set[str]) -> None:
        """Who was erased and wants messages again has said so since: all they had said before is gone."""
        if not contacts or not erased_opt_outs.are_kept(connection):
            return
        links = links_of_many(connection, contacts)
        for said in (*consent.preferences(connection, [*links]), *consent.keywords(connection, [*links])):
            if scope := _ENDS_ERASED.get(said.wish.said):
                numbers = ("", said.phone_number_id)
                erased_opt_outs.forget(connection, links[said.contact], numbers, scope)

    def _consider(self, connection: Connection, taken: Iterable[ContactFailure]) -> None:
        found = self._explanations.sort(connection, taken)
        contact_failures.hold(connection, found.hold)
        contact_failures.excuse(connection, found.excuse, self._now)
        contact_failures.consider(connection, found.count, self._now)
        self.summary.held += len(found.hold)
        self.summary.excused += len(found.excuse)
        self.summary.considered += len(found.count)
        people = {(strike.contact, strike.phone_number_id) for strike in found.count}
        for incident in found.found:
            people |= contact_failures.excuse_considered(connection, incident)[1]
        refused = {
            (strike.contact, strike.phone_number_id)
            for strike in found.count
            if strike.error_code == STOPPED_MARKETING
        }
        wanted, removals = consents.judge(connection, refused, self._now)
        self._judge(connection, people, removals, wanted)

    def _judge(
        self,
        connection: Connection,
        people: set[tuple[str, str]],
        removals: Sequence[Removal] = (),
        wanted: Sequence[Suppression] = (),
    ) -> None:
        verdict = streaks.judge(connection, people, self._explanations, self._thresholds)
        contact_failures.hold(connection, verdict.held)
        self.summary.held += len(verdict.held)
        # A capped run leaves their failures for later, but may meet them beside others of the same person.
        judged = [row for row in verdict.wanted if not (self.summary.capped and self._is_new_block(row))]
        self._apply(connection, [*wanted, *judged], [*removals, *verdict.removals])

    def _apply(
        self, connection: Connection, wanted: Sequence[Suppression], removals: Sequence[Removal]
    ) -> None:
        for change in suppressions.apply(connection, wanted, removals, self._now):
            attribute = _COUNTED_AS[change.action]
            setattr(self.summary, attribute, getattr(self.summary, attribute) + 1)

    def _is_high(self, connection: Connection, strike: ContactFailure) -> bool:
        return self._explanations.present_for(connection, strike) is not None

    def _is_new_block(self, row: Suppression) -> bool:
        return row.scope == "all" and row.since == self._now

    def _is_capped(self, connection: Connection) -> bool:
        made = lists.count_automatic(connection, self._now - timedelta(hours=1))
        if made >= self._hourly_cap and not self.summary.capped:
            log.warning(
                "automatic suppressions wait: too many within an hour", made=made, cap=self._hourly_cap
            )
            self.summary.capped = True
        return self.summary.capped


def _concerns(success: Success, row: Suppression) -> bool:
    of_this_number = row.phone_number_id in ("", success.phone_number_id)
    return of_this_number and lifts(row.reason, row.scope, row.code, success.what)


def _rests_on(row: Suppression) -> datetime:
    return max((evidence.occurred_at for evidence in row.evidence), default=row.since)


def _blocking_codes() -> list[int]:
    """Codes whose suppressions block everything."""
    return [code for code in explainable_codes() if explain(code).contact_effect in ("soft", "hard")]
