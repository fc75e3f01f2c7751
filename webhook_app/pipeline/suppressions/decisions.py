"""Decides about failures of people and changes their suppressions, within the hourly caps."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.pipeline.suppressions.caps import Caps
from webhook_app.pipeline.suppressions.explanations import LOOKBACK, Explanations
from webhook_app.pipeline.suppressions.statements import apply_statements
from webhook_app.pipeline.suppressions.streaks import decide_streaks
from webhook_app.rules.suppressions.explained_periods import EXPLAINED_AT_MOST
from webhook_app.rules.suppressions.repeated_incidents import INCIDENTS_EXCUSED
from webhook_app.rules.suppressions.streaks import STOPPED_MARKETING, Thresholds
from webhook_app.store.people import links
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import contact_failures, suppressions
from webhook_app.store.suppressions.changes import SuppressionChange
from webhook_app.store.suppressions.contact_failures import ContactFailure
from webhook_app.store.suppressions.suppressions import Removal, Suppression

_COUNTED_AS = {
    "suppress": "suppressed",
    "extend": "extended",
    "half_open": "half_opened",
    "lift": "lifted",
    "expire": "expired",
}


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


class Decisions:
    """The decisions of one run, with the counts of what came of them."""

    def __init__(self, explanations: Explanations, thresholds: Thresholds, caps: Caps, now: datetime) -> None:
        self.summary = SuppressSummary()
        self._explanations = explanations
        self._thresholds = thresholds
        self._caps = caps
        self._now = now

    def consider(self, connection: Connection, taken: Sequence[ContactFailure]) -> int:
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
        people |= self.excused_repeatedly(connection, [failure.contact for failure, _ in found.excuse])
        for period in found.past_periods:
            people |= contact_failures.excuse_considered(connection, period)[1]
        refused = {
            (failure.contact, failure.phone_number_id)
            for failure in evidence
            if failure.error_code == STOPPED_MARKETING
        }
        postponed = self.decide(connection, people)
        if refused:
            self.count(apply_statements(connection, refused, (), self._now))
        return left - len(found.hold) - len(found.excuse) - len(found.count) + postponed

    def excused_repeatedly(self, connection: Connection, contacts: Sequence[str]) -> set[tuple[str, str]]:
        """Those of these contacts whose failures may count although incidents excuse them."""
        apart = INCIDENTS_EXCUSED * EXPLAINED_AT_MOST
        return contact_failures.excused_repeatedly(connection, contacts, apart, self._now - LOOKBACK)

    def decide(
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
        self.apply(connection, allowed, [*removals, *decided.removals])
        contact_failures.put_back(connection, decided.postponed)
        return len(decided.postponed)

    def apply(
        self, connection: Connection, wanted: Sequence[Suppression], removals: Sequence[Removal]
    ) -> None:
        """Make these changes."""
        self.count(suppressions.apply(connection, wanted, removals, self._now))

    def count(self, changes: Sequence[SuppressionChange]) -> None:
        """Add the changes to the summary."""
        for change in changes:
            attribute = _COUNTED_AS[change.action]
            setattr(self.summary, attribute, getattr(self.summary, attribute) + 1)
