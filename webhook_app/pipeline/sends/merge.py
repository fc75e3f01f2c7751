"""Merges what senders reported about messages with what webhooks say, whichever comes first.

A send completes the webhooks of its message with what they lack; it never links two keys of a person. A failed call
becomes a failed event on the business number that webhooks name, unless a webhook reports the same failure.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

import msgspec
import structlog

from webhook_app.pipeline.sends.contradictions import KnownSends, without_contradictions
from webhook_app.store.counts import seen_codes
from webhook_app.store.counts.series import Series, accounts_of, series_ids
from webhook_app.store.counts.slots import for_reports
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.postgres.errors import REFUSED, RETRYABLE
from webhook_app.store.postgres.locks import limit_own_lock_wait
from webhook_app.store.receiving.ingest_statement import (
    SEND,
    Batch,
    FailureRow,
    StatusRow,
    insert_batch,
)
from webhook_app.store.sends import failed_calls, reassignment, reports
from webhook_app.store.sends.addressees import named_by_webhooks
from webhook_app.store.sends.failed_calls import FailedEvent
from webhook_app.store.sends.reassignment import Deltas, Reassignment
from webhook_app.store.sends.reports import FailedSend, KnownSend
from webhook_app.store.suppressions import reported_failures
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.events import StatusEvent
from webhook_app.whatsapp.people.numbering import country_of
from webhook_app.whatsapp.sends.graph_errors import GraphError, read_graph_error
from webhook_app.whatsapp.sends.send_reports import GENERATED_ID_PREFIX

log = structlog.get_logger()

_UNKNOWN = KnownSend()
_ATTEMPTS = 3
_LOCK_WAIT_MS, _LOCK_WAIT_AT_ONCE_MS = 50, 5
"""For each lock. A deadlock ends then at the expense of the merge, and not after a second at that of a webhook."""

MERGED_AT_ONCE = 50
"""Messages with failed calls that a request merges, a transaction each; the job `sends` merges the rest."""
MERGED_WITH_WEBHOOKS = 3
"""Those that a batch of webhooks merges: the next deliveries wait meanwhile."""


class FailedCall(NamedTuple):
    """A failed call to store as a failed event."""

    message_id: str
    phone_number_id: str
    sent_at: datetime
    error: GraphError
    known: KnownSend
    reported_by: str


def complete_event(event: StatusEvent, known_sends: KnownSends) -> StatusEvent:
    """The event with the sender's values where Meta gave none.

    A contact that only a sender named is linked with none of the event's user ids: links carry opt-outs and erasures.
    """
    known = known_send(known_sends, event.message_id, event.phone_number_id)
    completed = {
        "parent_user_id": event.parent_user_id if event.contact else "",
        "contact": event.contact or known.contact,
        "country": event.country or _country(event.contact, known),
        "template": event.template or known.template,
        "campaign": event.campaign or known.campaign,
        "category": event.category or known.category,
    }
    if all(getattr(event, name) == value for name, value in completed.items()):
        return event
    return msgspec.structs.replace(event, **completed)


def known_send(known_sends: KnownSends, message_id: str, number: str) -> KnownSend:
    """What was reported about the message on this number; gaps are filled from reports without a number."""
    exact, other = (
        known_sends.get((message_id, number), _UNKNOWN),
        known_sends.get((message_id, ""), _UNKNOWN),
    )
    return KnownSend(
        exact.contact or other.contact,
        exact.template or other.template,
        exact.campaign or other.campaign,
        exact.category or other.category,
        exact.failed or other.failed,
    )


def mark_as_webhook(connection: DriverConnection, failures: Sequence[FailureRow]) -> None:
    """Make webhooks the source of failures that they have just reported and that calls reported before."""
    _retried(connection, lambda: failed_calls.mark_as_webhook(connection, failures), at_once=True)


def merge_reports(
    connection: DriverConnection,
    message_ids: Collection[str],
    *,
    now: datetime,
    slot: int,
    most: int | None = MERGED_AT_ONCE,
    at_once: bool = False,
) -> None:
    """Merge everything stored about these messages; each transaction is retried after a conflict, unless `at_once`.

    A message whose reports the database refuses is found by halving and left as it is. `most`: of more messages with
    failed calls the rest is left to the job `sends`.
    """
    try:
        _merge_all(connection, message_ids, now, slot, most, at_once=at_once)
    except REFUSED as fault:
        if len(message_ids) <= 1:
            log.warning(
                "reports of a message that the database refuses are not merged", fault=type(fault).__name__
            )
            return
        ids = sorted(message_ids)
        for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
            merge_reports(connection, half, now=now, slot=slot, most=most, at_once=at_once)


def _merge_all(
    connection: DriverConnection,
    message_ids: Collection[str],
    now: datetime,
    slot: int,
    most: int | None,
    *,
    at_once: bool,
) -> None:
    known_sends: KnownSends = reports.known_sends(connection, message_ids)
    if not known_sends:
        return
    message_ids = {message_id for message_id, _ in known_sends}
    retried = partial(_retried, connection, at_once=at_once)
    retried(lambda: reports.restore_settled(connection, message_ids, now, slot=slot))
    named = [(each, (contact,)) for each, contact in named_by_webhooks(connection, message_ids)]
    known_sends = without_contradictions(connection, known_sends, named)
    completion = _completion(known_sends)
    retried(lambda: reassignment.reassign(connection, message_ids, completion, slot=slot))
    by_message: dict[str, list[FailedSend]] = defaultdict(list)
    for failed in reports.failed_sends(connection, message_ids):
        by_message[failed.message_id].append(failed)
    if not by_message:
        return
    merged = list(by_message)[:most]
    for message_id in merged:
        work = _failed_calls_merge(connection, message_id, by_message[message_id], known_sends, now, slot)
        retried(work)
    retried(lambda: reported_failures.reconsider(connection, merged))
    if left := list(by_message)[len(merged) :]:
        reports.check_at_once(connection, left, now)


def store_failed_calls(
    connection: DriverConnection, calls: Sequence[FailedCall], *, now: datetime, slot: int
) -> None:
    """Store failed calls as failed events, by the statement that stores those of webhooks."""
    if not calls:
        return
    accounts = accounts_of(connection, {call.phone_number_id for call in calls})
    dimensions = [_series_of(call, accounts.get(call.phone_number_id, "")) for call in calls]
    reported_by = {each: call.reported_by for call, each in zip(calls, dimensions, strict=True)}
    series = series_ids(connection, list(reported_by), reported_by=reported_by)
    rows = [(call, series[each]) for call, each in zip(calls, dimensions, strict=True)]
    batch = Batch([_status_row(*row) for row in rows], [_failure_row(*row) for row in rows], [], None, 0)
    codes = {call.error.code for call in calls}
    batch.other_codes = sorted(seen_codes.over_ceiling(connection, codes, reported=True))
    insert_batch(connection, batch, received_at=now, slot=slot)


def _completion(known_sends: KnownSends) -> reassignment.Complete:
    def complete(message_id: str, stored: Reassignment) -> Reassignment:
        number, waba, template, campaign, country = stored.series
        known = known_send(known_sends, message_id, number)
        contact = stored.contact or known.contact
        country = country or _country(stored.contact, known)
        category = stored.category if stored.category is None else stored.category or known.category
        series = (number, waba, template or known.template, campaign or known.campaign, country)
        return Reassignment(contact, category, series)

    return complete


def _country(contact: str, known: KnownSend) -> str:
    """The country of a contact that only the sender named."""
    return country_of(known.contact) if known.contact and not contact else ""


def _failed_calls_merge(
    connection: DriverConnection,
    message_id: str,
    calls: Sequence[FailedSend],
    known_sends: KnownSends,
    now: datetime,
    slot: int,
) -> Callable[[], None]:
    def merge() -> None:
        failed_calls.lock(connection, message_id)
        stored = failed_calls.events_of(connection, message_id)
        of_webhooks = [event for event in stored if event.source != SEND]
        wanted: dict[tuple[str, int], FailedSend] = {}
        for call in calls:
            number = call.phone_number_id or _number_of(of_webhooks, calls)
            if any(_is_same(event, number, call.error_code) for event in of_webhooks):
                failed_calls.add_trace(
                    connection, message_id, number, call.error_code, call.error_subcode, call.fbtrace_id
                )
            else:
                before = wanted.setdefault((number, call.error_code), call)
                if call.sent_at < before.sent_at:
                    wanted[number, call.error_code] = call
        kept = {
            (event.phone_number_id, event.error_code): event
            for event in stored
            if event.source == SEND and _is_wanted(event, wanted)
        }
        missing = {key: call for key, call in wanted.items() if key not in kept}
        events = _missing_events(connection, message_id, missing, known_sends)
        store_failed_calls(connection, events, now=now, slot=for_reports(slot))
        deltas = Deltas()
        obsolete = [event for event in stored if event.source == SEND and not _is_wanted(event, wanted)]
        failed_calls.delete_events(connection, message_id, obsolete, deltas)
        # What is left counts as what webhooks say, if they say that the message failed.
        is_said = any(event.status == "failed" for event in of_webhooks)
        reassignment.add_counts(connection, deltas, slot=slot if is_said else for_reports(slot))

    return merge


def _missing_events(
    connection: DriverConnection,
    message_id: str,
    missing: Mapping[tuple[str, int], FailedSend],
    known_sends: KnownSends,
) -> list[FailedCall]:
    """The failed events to store for these calls, given by business number and code."""
    if not missing:
        return []
    calls = [(call.phone_number_id, call.error_code) for call in missing.values()]
    errors = reports.errors_of(connection, message_id, calls)
    return [
        FailedCall(
            message_id,
            number,
            call.sent_at,
            read_graph_error(errors[reported]),
            known_send(known_sends, message_id, number),
            call.reported_by,
        )
        for (number, _), call in missing.items()
        if (reported := (call.phone_number_id, call.error_code)) in errors  # else erased meanwhile
    ]


def _number_of(of_webhooks: Sequence[FailedEvent], calls: Sequence[FailedSend]) -> str:
    """The business number of a call that named none: that of the webhooks, else of other reports of the message."""
    named = {event.phone_number_id for event in of_webhooks} or {call.phone_number_id for call in calls}
    return min(named - {""}, default="")


def _is_same(event: FailedEvent, number: str, code: int) -> bool:
    return (event.status, event.phone_number_id, event.participant, event.error_code) == (
        "failed",
        number,
        "",
        code,
    )


def _is_wanted(event: FailedEvent, wanted: Mapping[tuple[str, int], FailedSend]) -> bool:
    call = wanted.get((event.phone_number_id, event.error_code))
    return call is not None and int(call.sent_at.timestamp()) == int(event.occurred_at.timestamp())


def _series_of(call: FailedCall, waba_id: str) -> Series:
    known = call.known
    return call.phone_number_id, waba_id, known.template, known.campaign, _country("", known)


def _status_row(call: FailedCall, series_id: int) -> StatusRow:
    occurred, known = int(call.sent_at.timestamp()), call.known
    return (call.message_id, call.phone_number_id, "failed", occurred, "", "", call.error.code, known.contact,
            series_id, known.category, 0, "")  # fmt: skip


def _failure_row(call: FailedCall, series_id: int) -> FailureRow:
    occurred, error = int(call.sent_at.timestamp()), call.error
    counts_against_contact = (
        explain(error.code, error.subcode).contact_effect != "none"
        and not call.message_id.startswith(
            GENERATED_ID_PREFIX
        )  # nothing shows that the contact was written to
    )
    return (call.message_id, call.phone_number_id, occurred, "", "", error.code, call.known.contact, series_id,
            error.title, error.details, f"[{error.json}]", SEND, error.subcode, error.fbtrace_id,
            counts_against_contact)  # fmt: skip


def _retried(connection: DriverConnection, work: Callable[[], object], *, at_once: bool) -> None:
    for attempts_left in reversed(range(1 if at_once else _ATTEMPTS)):
        try:
            with connection.transaction():
                limit_own_lock_wait(connection, _LOCK_WAIT_AT_ONCE_MS if at_once else _LOCK_WAIT_MS)
                work()
        except RETRYABLE:
            if not attempts_left:
                raise
        else:
            return
