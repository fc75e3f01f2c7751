"""Whom a stretch of the past would have suppressed, if the given incidents had been known. Reads only.

Judged at the end of the time by everything known of a contact; suppressions that really stand are left out of account.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.rules.suppressions.explained_periods import ExplainedPeriod, explainable_codes
from webhook_app.rules.suppressions.streaks import FailureFact, Suppress, Thresholds, decide
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import contact_failures, successes
from webhook_app.store.suppressions.contact_failures import ContactFailure
from webhook_app.whatsapp.errors.catalogue import explain

LOOKBACK = timedelta(days=90)
_PAGE = 1000


class Blocked(Struct, frozen=True, kw_only=True):
    """A suppression that would have been made."""

    contact: str
    phone_number_id: str
    reason: str
    scope: str
    code: int
    until: datetime | None
    failures: int
    """On how many it would rest."""


def would_be_blocked(
    connection: Connection,
    start: datetime,
    end: datetime,
    incidents: Sequence[ExplainedPeriod],
    thresholds: Thresholds,
) -> list[Blocked]:
    """Contacts with a failure in this time for whom it would come to a suppression by its end."""
    found: list[Blocked] = []
    for contacts in _pages(connection, start, end):
        facts: dict[tuple[str, str], list[FailureFact]] = {}
        stored = contact_failures.of_contacts(connection, contacts, explainable_codes(), end - LOOKBACK)
        known = [strike for strike in stored if strike.occurred_at <= end]
        arrived = successes.reached_messages(connection, [s.message_id for s in known], end - LOOKBACK)
        for strike in known:
            if (strike.message_id, strike.phone_number_id) not in arrived:
                case = strike.contact, strike.phone_number_id
                facts.setdefault(case, []).append(_fact(strike, incidents))
        proofs = successes.last_reached(connection, contacts, end - LOOKBACK)
        proof = {(each.contact, each.phone_number_id): each for each in proofs}
        for case, held in facts.items():
            last = proof.get(case)
            wish = decide(
                held,
                last.at if last else None,
                0,
                end,
                thresholds,
                last_inbound=last.wrote_at if last else None,
            )
            if isinstance(wish, Suppress) and wish.evidence[-1].occurred_at >= start:
                found.append(_blocked(case, wish))
    return found


def _pages(connection: Connection, start: datetime, end: datetime) -> Iterator[list[str]]:
    after, codes = "", list(explainable_codes())
    while True:
        page = contact_failures.contacts_between(connection, start, end, codes, after=after, limit=_PAGE)
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after = page[-1]


def _fact(strike: ContactFailure, incidents: Sequence[ExplainedPeriod]) -> FailureFact:
    return FailureFact(
        strike.message_id,
        strike.occurred_at,
        strike.error_code,
        explain(strike.error_code).contact_effect,
        strike.campaign,
        any(each.explains(strike) for each in incidents),
    )


def _blocked(case: tuple[str, str], wish: Suppress) -> Blocked:
    return Blocked(
        contact=case[0],
        phone_number_id=case[1],
        reason=wish.reason,
        scope=wish.scope,
        code=wish.code,
        until=wish.until,
        failures=len(wish.evidence),
    )
