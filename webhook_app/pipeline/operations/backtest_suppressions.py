"""Finds the contacts that failures of the past would have suppressed, given the incidents that explain some.

Decides at the end of the time span from all stored facts, regardless of existing suppressions. Reads only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.rules.suppressions.explained_periods import ExplainedPeriod, explainable_codes
from webhook_app.rules.suppressions.failed_days import failed_days
from webhook_app.rules.suppressions.repeated_incidents import no_longer_excused
from webhook_app.rules.suppressions.streaks import FailureFact, Suppress, Thresholds, decide
from webhook_app.store.incidents.explained_periods import WindowReader
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import contact_failures, successes
from webhook_app.store.suppressions.contact_failures import ContactFailure
from webhook_app.store.suppressions.successes import LastSuccess
from webhook_app.whatsapp.errors.catalogue import explain

LOOKBACK = timedelta(days=90)
_PAGE = 1000


class BlockedContact(Struct, frozen=True, kw_only=True):
    """A suppression that would have been added."""

    contact: str
    phone_number_id: str
    reason: str
    scope: str
    code: int
    until: datetime | None
    at: datetime
    """The last failure that counts."""
    failures: int
    """The number of failures that count as evidence."""


def find_blocked_contacts(
    connection: Connection,
    start: datetime,
    end: datetime,
    explained: Sequence[ExplainedPeriod] | None,
    thresholds: Thresholds,
) -> list[BlockedContact]:
    """The contacts with a failure in the time span that would be suppressed at its end.

    `explained`: the periods of incidents; None: nothing is, not even by a day on which little arrived.
    """
    found: list[BlockedContact] = []
    reader = WindowReader(connection)
    for contacts in _pages(connection, start, end):
        facts: dict[tuple[str, str], list[FailureFact]] = {}
        failures: dict[tuple[str, int], ContactFailure] = {}
        stored = contact_failures.of_contacts(connection, contacts, explainable_codes(), end - LOOKBACK)
        known = [failure for failure in stored if failure.occurred_at <= end]
        delivered = successes.arrived_messages(connection, [s.message_id for s in known], end - LOOKBACK)
        for failure in known:
            if (failure.message_id, failure.phone_number_id) not in delivered:
                key = failure.contact, failure.phone_number_id
                facts.setdefault(key, []).append(_fact(failure, explained or ()))
                failures[failure.message_id, failure.error_code] = failure
        stored_successes = successes.last_successes(connection, contacts, end - LOOKBACK)
        success_of = {(each.contact, each.phone_number_id): each for each in stored_successes}
        for key, facts_of_key in facts.items():
            last = success_of.get(key)
            counting = _stop_excusing(facts_of_key, failures, last, reader)
            decision = _decide(counting, last, end, thresholds)
            if decision is not None and explained is not None:
                judged = _judge_days(counting, failures, last, reader, end)
                decision = _decide(judged, last, end, thresholds)
            if decision is not None and decision.evidence[-1].occurred_at >= start:
                found.append(_blocked(key, decision))
    return found


def _decide(
    facts: Sequence[FailureFact], last: LastSuccess | None, end: datetime, thresholds: Thresholds
) -> Suppress | None:
    decision = decide(
        facts,
        last.at if last else None,
        0,
        end,
        thresholds,
        last_inbound=last.wrote_at if last else None,
    )
    return decision if isinstance(decision, Suppress) else None


def _stop_excusing(
    facts: Sequence[FailureFact],
    failures: Mapping[tuple[str, int], ContactFailure],
    last: LastSuccess | None,
    reader: WindowReader,
) -> list[FailureFact]:
    """The facts of one person, with those that count although they lie in incidents."""
    own = {fact: failures[fact.message_id, fact.code] for fact in facts}
    in_a_row = _in_a_row(own.values(), last)
    excused = [
        own[fact] for fact in facts if fact.explained and fact.effect == "soft" and own[fact] in in_a_row
    ]
    counting = no_longer_excused(excused, in_a_row, reader.tried_between)
    return [replace(fact, explained=fact.explained and own[fact] not in counting) for fact in facts]


def _in_a_row(own: Iterable[ContactFailure], last: LastSuccess | None) -> list[ContactFailure]:
    """The failures that webhooks reported since the person was last reached."""
    start = last.at if last else None
    return [each for each in own if each.reported_by == "" and (start is None or each.occurred_at > start)]


def _judge_days(
    facts: Sequence[FailureFact],
    failures: Mapping[tuple[str, int], ContactFailure],
    last: LastSuccess | None,
    reader: WindowReader,
    end: datetime,
) -> list[FailureFact]:
    """The facts of one person, explained where hardly anything reached others on these days."""
    own = [failures[fact.message_id, fact.code] for fact in facts]
    by_webhooks = [failure for failure in own if failure.reported_by == ""]
    in_a_row = _in_a_row(own, last)
    judged = []
    for fact, failure in zip(facts, own, strict=True):
        count_day = partial(reader.tried_on, failure.phone_number_id)
        days = failed_days(failure, by_webhooks, count_day, end, in_a_row)
        judged.append(replace(fact, explained=fact.explained or days is not None))
    return judged


def _pages(connection: Connection, start: datetime, end: datetime) -> Iterator[list[str]]:
    after, codes = "", list(explainable_codes())
    while True:
        page = contact_failures.contacts_between(connection, start, end, codes, after=after, limit=_PAGE)
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after = page[-1]


def _fact(failure: ContactFailure, incidents: Sequence[ExplainedPeriod]) -> FailureFact:
    return FailureFact(
        failure.message_id,
        failure.occurred_at,
        failure.error_code,
        explain(failure.error_code).contact_effect,
        failure.campaign,
        any(each.explains(failure) for each in incidents),
    )


def _blocked(key: tuple[str, str], decision: Suppress) -> BlockedContact:
    return BlockedContact(
        contact=key[0],
        phone_number_id=key[1],
        reason=decision.reason,
        scope=decision.scope,
        code=decision.code,
        until=decision.until,
        at=decision.evidence[-1].occurred_at,
        failures=len(decision.evidence),
    )
