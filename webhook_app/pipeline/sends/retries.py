"""Leases failed messages to senders that send them again, and stores the outcome of each.

claim: finds new failures, ends retries that need no attempt, and leases the others whose contact may be messaged.
report: stores the call like any report of a sender. A message sent again that fails has a row of its own, which goes on
with the attempts; a call that failed makes the row due again.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.pipeline.sends.reports import register
from webhook_app.rules.sends.retries import (
    GRACE,
    UNCLAIMED_FOR,
    DueRetry,
    Permission,
    end_of,
    expires_at,
    next_attempt,
    retried_codes,
)
from webhook_app.store.counts.series import OTHER
from webhook_app.store.people.contacts import holders
from webhook_app.store.postgres.engine import Connection, driver
from webhook_app.store.sends import retries as store
from webhook_app.store.sends import retry_search as search
from webhook_app.store.sends.retries import Retry, RetryFilters
from webhook_app.store.sends.retry_search import RETRY_CALL_PREFIX, WEBHOOKS, MessageFacts, RetryableFailure
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain
from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.sends.graph_errors import GraphError
from webhook_app.whatsapp.sends.send_reports import SendReport

RetryOutcome = Literal["sent", "failed", "gave_up"]
MayMessage = Callable[[Sequence[Retry]], Sequence[Permission | None]]
"""Returns for each retry whether its contact may be messaged now; None leaves it for the next claim."""

_SEARCH_LIMIT = 1_000
_ROUNDS = 10
"""Most retries of a round may end without an attempt; then the next ones are taken."""
_ASK_AGAIN = timedelta(seconds=60)
_MOVED = "Somebody else has had the number since the message failed."


class RetryClaim(Struct, frozen=True, kw_only=True):
    """What a sender asks for. `claim`: its id, so that a repeated request gets the same leases; may be empty."""

    limit: int
    lease: timedelta
    claim: str = ""


class LeasedRetry(Struct, frozen=True):
    """A leased retry, with what is known of its message."""

    retry: Retry
    facts: MessageFacts


class LeaseLostError(Exception):
    """The lease has been given to another sender, or has another outcome."""


class ClaimRunningError(Exception):
    """A claim with this id, or as many as the API key may run at once, have not ended yet."""


def claim(
    connection: Connection, asked: RetryClaim, wanted: RetryFilters, may_message: MayMessage, now: datetime
) -> list[LeasedRetry]:
    """Lease up to `limit` retries that are due, the longest due first. Raises ClaimRunningError.

    Commits each search at once, so that other claims search and find meanwhile, whatever comes of this one.
    """
    for reported_by in (WEBHOOKS, wanted.key):
        _lock(connection, asked, wanted)
        _add_new(connection, reported_by, now)
        driver(connection).commit()
    _lock(connection, asked, wanted)
    if asked.claim and (again := store.claimed(connection, wanted.key, asked.claim, now)):
        known = search.facts(connection, again, wanted.key)
        return [LeasedRetry(each, known[each.id]) for each in again]
    store.expire(connection, now - UNCLAIMED_FOR, _SEARCH_LIMIT)
    leased: list[LeasedRetry] = []
    for _ in range(_ROUNDS):
        due = store.take_due(connection, wanted, now, asked.limit - len(leased))
        if not due:
            break
        known = search.facts(connection, due, wanted.key)
        moved = _moved(connection, due, known)
        decided = _decide(due, known, moved, asked, wanted.key, may_message, now)
        store.save(connection, decided)
        leased += [LeasedRetry(each, known[each.id]) for each in decided if each.leased_at == now]
        if len(decided) < len(due):
            break
    return leased


def report(
    connection: Connection,
    retry: Retry,
    lease: str,
    outcome: RetryOutcome,
    now: datetime,
    *,
    reported_by: str,
    sent_message_id: str = "",
    error: GraphError | None = None,
) -> Retry:
    """Store the outcome of a lease and return the retry; a repeated report changes nothing. Raises LeaseLostError.

    The connection must be in autocommit mode. The call is stored first: a report that was interrupted is repeated.
    """
    if retry.lease != lease:
        raise LeaseLostError
    if not retry.outcome:
        if outcome != "gave_up":
            call = _call(retry, sent_message_id, error, now)
            register(connection, [call], now, reported_by=reported_by)
        store.finish(connection, _finished(retry, outcome, sent_message_id, error, now))
        retry = store.get(connection, retry.id) or retry
    if (retry.lease, retry.outcome, retry.sent_message_id) != (lease, outcome, sent_message_id):
        raise LeaseLostError
    return retry


def _lock(connection: Connection, asked: RetryClaim, wanted: RetryFilters) -> None:
    """Hold a place among the claims of the key until the transaction ends. Raises ClaimRunningError."""
    if not store.try_lock_claim(connection, wanted.key, asked.claim):
        raise ClaimRunningError


def _add_new(connection: Connection, reported_by: str, now: datetime) -> None:
    """Store a retry for each new failure whose code allows it."""
    since = search.begin(connection, reported_by, now)
    if since is not None:
        _search(connection, reported_by, max(since, now - UNCLAIMED_FOR), now)


def _search(connection: Connection, reported_by: str, since: datetime, now: datetime) -> None:
    """Store retries of the first new failures since then; if they cannot be read in time, of fewer, or of none."""
    soon, later = retried_codes()
    for limit in (_SEARCH_LIMIT, _SEARCH_LIMIT // 20 + 1):
        found = search.find(connection, reported_by, since, now, soon, later, limit)
        if found is not None:
            store.insert(connection, [_new(each) for each in found])
            until = max(each.at for each in found) if len(found) >= limit else now
            search.end(connection, reported_by, until, now)
            return
    search.skip(connection, reported_by, now)


def _new(found: RetryableFailure) -> Retry:
    entry = _entry(found.error_code, found.error_subcode)
    seed = f"{found.message_id} {found.phone_number_id}"
    expires = expires_at(entry, found.category, found.first_failed_at)
    following = next_attempt(entry, found.attempts, found.occurred_at, seed, expires_at=expires)
    return Retry(
        message_id=found.message_id,
        phone_number_id=found.phone_number_id,
        occurred_at=found.occurred_at,
        error_code=found.error_code,
        contact=found.contact,
        series_id=found.series_id,
        category=found.category,
        first_message_id=found.first_message_id,
        first_failed_at=found.first_failed_at,
        state="waiting" if following.due_at else "dead",
        reason=following.reason,
        attempts=found.attempts,
        failed_at=found.occurred_at,
        last_code=found.error_code,
        last_subcode=found.error_subcode,
        due_at=following.due_at or found.occurred_at,
        reported_by=found.reported_by,
    )


def _decide(
    due: Sequence[Retry],
    known: Mapping[int, MessageFacts],
    moved: Container[int],
    asked: RetryClaim,
    key: str,
    may_message: MayMessage,
    now: datetime,
) -> list[Retry]:
    """The retries as they are from now on: leased, ended, or due later."""
    ends = {each.id: end_of(_due(each, known[each.id], has_moved=each.id in moved), now) for each in due}
    unended = [each for each in due if ends[each.id] is None]
    decided = [
        replace(each, state=end[0], reason=end[1], why=_MOVED if end[1] == "suppressed" else each.why)
        for each in due
        if (end := ends[each.id])
    ]
    for each, permission in zip(unended, may_message(unended) if unended else (), strict=True):
        if permission is None:
            continue
        if permission.allowed:
            decided.append(_leased(each, asked, key, now))
        elif permission.wait is None:
            decided.append(replace(each, state="dead", reason="suppressed", why=permission.why))
        else:
            due_at = now + max(permission.wait, _ASK_AGAIN)
            decided.append(replace(each, due_at=due_at, why=permission.why))
    return decided


def _moved(connection: Connection, due: Sequence[Retry], known: Mapping[int, MessageFacts]) -> set[int]:
    """The retries whose contact was somebody else's when the message failed."""
    asked = [each for each in due if known[each.id].has_changes]
    if not asked:
        return set()
    people = holders(connection, {each.contact for each in asked})
    return {
        each.id
        for each in asked
        if people.holder(each.contact, each.first_failed_at) != people.present(each.contact)
    }


def _due(retry: Retry, facts: MessageFacts, *, has_moved: bool) -> DueRetry:
    return DueRetry(
        code=retry.last_code,
        subcode=retry.last_subcode,
        category=retry.category,
        attempts=retry.attempts,
        first_failed_at=retry.first_failed_at,
        has_lapsed=retry.state == "leased",
        is_delivered=facts.is_delivered,
        is_resent=bool(facts.later_message_id),
        has_moved=has_moved,
    )


def _leased(retry: Retry, asked: RetryClaim, key: str, now: datetime) -> Retry:
    until = now + asked.lease
    return replace(
        retry,
        state="leased",
        reason="",
        why="",
        attempts=retry.attempts + 1,
        due_at=until + GRACE,
        lease=token_hex(16),
        leased_by=key,
        leased_at=now,
        leased_until=until,
        claim=asked.claim,
        outcome="",
    )


def _finished(
    retry: Retry, outcome: RetryOutcome, sent_message_id: str, error: GraphError | None, now: datetime
) -> Retry:
    if outcome == "sent":
        return replace(retry, outcome=outcome, state="sent", reason="", sent_message_id=sent_message_id)
    if error is None:
        return replace(retry, outcome=outcome, state="dead", reason="gave_up")
    entry = _entry(error.code, error.subcode)
    expires = expires_at(entry, retry.category, retry.first_failed_at)
    seed = f"{retry.message_id} {retry.phone_number_id}"
    following = next_attempt(entry, retry.attempts, now, seed, expires_at=expires)
    return replace(
        retry,
        outcome=outcome,
        state="waiting" if following.due_at else "dead",
        reason=following.reason,
        due_at=following.due_at or retry.due_at,
        failed_at=now,
        last_code=error.code,
        last_subcode=error.subcode,
    )


def _call(retry: Retry, sent_message_id: str, error: GraphError | None, now: datetime) -> SendReport:
    """The call as the sender would report it to `POST /v1/sends`."""
    return SendReport(
        message_id=sent_message_id or f"{RETRY_CALL_PREFIX}{retry.id}:{retry.attempts}",
        phone_number_id=retry.phone_number_id,
        contact=retry.contact,
        template=retry.template.replace(OTHER, ""),
        campaign=retry.campaign.replace(OTHER, ""),
        category=retry.category,
        sent_at=now.replace(microsecond=0),
        error=error,
        endpoint="",
        request_json="",
    )


def _entry(code: int, subcode: int) -> ErrorCode:
    return explain(code, None if subcode == NO_CODE else subcode)
