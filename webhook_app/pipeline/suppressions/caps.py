"""Limits how many suppressions are made automatically within an hour: more indicate a fault, so the rest waits."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from webhook_app.rules.suppressions.explained_periods import explainable_codes
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import lists, reported_failures, suppressions
from webhook_app.store.suppressions.suppressions import Suppression
from webhook_app.whatsapp.errors.catalogue import explain

log = structlog.get_logger()

HOURLY_CAP = 5_000
"""More automatic suppressions of scope `all` within an hour indicate a fault; the rest waits."""
KEY_HOURLY_CAP = 100
"""The most contacts that the reports of one API key can get suppressed within an hour; the rest waits."""

_HOUR = timedelta(hours=1)


class Caps:
    """The caps of one run of `suppress` at `now`: of all suppressions of scope `all`, and of those by each API key."""

    def __init__(self, now: datetime, hourly: int, of_key: int) -> None:
        self._now = now
        self._hourly = hourly
        self._of_key = of_key
        self.is_reached = False
        """Whether a batch of this run has found the cap of all reached."""

    def waiting_codes(self, connection: Connection) -> Sequence[int]:
        """The codes whose failures wait: if the cap is reached, those that lead to suppressions of scope `all`."""
        made = lists.count_automatic(connection, self._now - _HOUR)
        if made >= self._hourly and not self.is_reached:
            log.warning("automatic suppressions wait: the hourly cap is reached", made=made, cap=self._hourly)
            self.is_reached = True
        if not self.is_reached:
            return ()
        return [code for code in explainable_codes() if explain(code).contact_effect in ("soft", "hard")]

    def waiting_keys(self, connection: Connection) -> list[str]:
        """The API keys whose reports wait: they got as many contacts suppressed as a key can within an hour."""
        made = reported_failures.suppressed_by_key(connection, self._now - _HOUR)
        capped = [key for key, contacts in made.items() if contacts >= self._of_key]
        if capped:
            log.warning("suppressions by reports wait: an API key reached its hourly cap", keys=capped)
        return capped

    def allowed(self, connection: Connection, rows: Sequence[Suppression]) -> list[Suppression]:
        """The rows that may be stored now."""
        # A capped run takes no failures of these codes, but finds them beside others of the same person.
        uncapped = [
            row for row in rows if not (self.is_reached and row.scope == "all" and row.since == self._now)
        ]
        return self._within_key_caps(connection, uncapped)

    def _within_key_caps(self, connection: Connection, rows: Sequence[Suppression]) -> list[Suppression]:
        """The rows without those beyond the cap of a key that reported failures new in them, which then wait."""
        reported = [row for row in rows if _reported(row)]
        if not reported:
            return list(rows)
        stored = suppressions.of_contacts(connection, list({row.contact for row in reported}))
        known = {row.key: _reported(row) for row in stored}
        reporters = {
            row.key: {key for failure, key in _reported(row).items() if failure not in known.get(row.key, {})}
            for row in reported
            if row.since == self._now or row.key in known  # another one moved along with its person
        }
        made = Counter(reported_failures.suppressed_by_key(connection, self._now - _HOUR))
        allowed: list[Suppression] = []
        deferred: list[str] = []
        for row in rows:
            keys = reporters.get(row.key, set())
            if any(made[key] >= self._of_key for key in keys):
                deferred += [evidence.message_id for evidence in row.evidence]
            else:
                made.update(keys)
                allowed.append(row)
        if deferred:
            reported_failures.defer(connection, deferred)
        return allowed


def _reported(row: Suppression) -> dict[tuple[str, int], str]:
    """The failures in its evidence that senders reported, with the keys that did."""
    return {(each.message_id, each.code): each.reported_by for each in row.evidence if each.reported_by}
