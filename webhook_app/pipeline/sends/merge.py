"""What senders told and what webhooks told of the same messages, brought together in whichever order they came.

A message takes from its sends what its webhooks do not carry. A failed call becomes a failed event, on the business
number that webhooks name, unless a webhook tells of the same failure.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.postgres.errors import RETRYABLE
from webhook_app.store.receiving import ingest_statement as event_store
from webhook_app.store.receiving.ingest_statement import (
    SEND,
    Batch,
    FailureRow,
    Series,
    StatusRow,
)
from webhook_app.store.sends import failed_calls, reassignment, reports
from webhook_app.store.sends.failed_calls import FailedEvent
from webhook_app.store.sends.reassignment import Deltas, Reassignment
from webhook_app.store.sends.reports import FailedSend, KnownSend
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.events import StatusEvent
from webhook_app.whatsapp.people.numbering import country_of
from webhook_app.whatsapp.sends.graph_errors import GraphError, read_graph_error

Known = Mapping[tuple[str, str], KnownSend]
"""What was told of messages, by message and business number ('': not said which)."""

_NOTHING = KnownSend()
_TRIES = 3


class FailedCall(NamedTuple):
    """A failed call that is to become a failed event."""

    message_id: str
    phone_number_id: str
    sent_at: datetime
    error: GraphError
    told: KnownSend


def complete_event(event: StatusEvent, known: Known) -> StatusEvent:
    """The event with what senders told of its message, where Meta did not say it."""
    told = told_of(known, event.message_id, event.phone_number_id)
    completed = {
        "contact": event.contact or told.contact,
        "country": event.country or _country(event.contact, told),
        "template": event.template or told.template,
        "campaign": event.campaign or told.campaign,
        "category": event.category or told.category,
    }
    if all(getattr(event, name) == value for name, value in completed.items()):
        return event
    return msgspec.structs.replace(event, **completed)


def links(events: Iterable[StatusEvent], known: Known) -> set[tuple[str, str]]:
    """(user id, number) where webhooks name only the one and the sender told the other; not in groups."""
    found = set()
    for event in events:
        if event.user_id and event.contact == event.user_id and not event.group:
            number = told_of(known, event.message_id, event.phone_number_id).contact
            if number.isdecimal():
                found.add((event.user_id, number))
    return found


def told_of(known: Known, message_id: str, number: str) -> KnownSend:
    """What was told of the message on this number, else of the message on no number in particular."""
    exact, loose = known.get((message_id, number), _NOTHING), known.get((message_id, ""), _NOTHING)
    return KnownSend(
        exact.contact or loose.contact,
        exact.template or loose.template,
        exact.campaign or loose.campaign,
        exact.category or loose.category,
        exact.failed or loose.failed,
    )


def place(
    connection: DriverConnection,
    message_ids: Collection[str],
    *,
    now: datetime,
    slot: int,
    heard: Sequence[FailureRow] = (),
) -> None:
    """Bring together all that is stored of these messages, each transaction tried again when it met another.

    `heard`: failures that webhooks have just told of.
    """
    known = reports.told_of(connection, message_ids)
    _tried(connection, lambda: reassignment.move(connection, message_ids, _completion(known), slot=slot))
    if any(told.contact for told in known.values()):
        _tried(connection, lambda: reports.link(connection, message_ids))
    by_message: dict[str, list[FailedSend]] = defaultdict(list)
    for failed in reports.failed(connection, message_ids):
        by_message[failed.message_id].append(failed)
    if by_message and heard:
        _tried(connection, lambda: failed_calls.claim(connection, heard))
    for message_id, calls in by_message.items():
        place_failed = _placing(connection, message_id, calls, known, now, slot)
        _tried(connection, place_failed)


def store_failed(
    connection: DriverConnection, calls: Sequence[FailedCall], *, now: datetime, slot: int
) -> None:
    """Failed calls as failed events, through the statement that stores those of webhooks."""
    if not calls:
        return
    accounts = event_store.accounts_of(connection, {call.phone_number_id for call in calls})
    dimensions = [_series_of(call, accounts.get(call.phone_number_id, "")) for call in calls]
    series = event_store.series_ids(connection, list(set(dimensions)))
    rows = [(call, series[each]) for call, each in zip(calls, dimensions, strict=True)]
    batch = Batch([_status_row(*row) for row in rows], [_failure_row(*row) for row in rows], [], [], 0)
    event_store.insert_batch(connection, batch, received_at=now, slot=slot)


def _completion(known: Known) -> reassignment.Complete:
    def complete(message_id: str, says: Reassignment) -> Reassignment:
        number, waba, template, campaign, country = says.series
        told = told_of(known, message_id, number)
        contact = says.contact or told.contact
        country = country or _country(says.contact, told)
        category = says.category if says.category is None else says.category or told.category
        series = (number, waba, template or told.template, campaign or told.campaign, country)
        return Reassignment(contact, category, series)

    return complete


def _country(contact: str, told: KnownSend) -> str:
    """That of the contact which only the sender named."""
    return country_of(told.contact) if told.contact and not contact else ""


def _placing(
    connection: DriverConnection,
    message_id: str,
    calls: Sequence[FailedSend],
    known: Known,
    now: datetime,
    slot: int,
) -> Callable[[], None]:
    def work() -> None:
        failed_calls.lock(connection, message_id)
        stored = failed_calls.events_of(connection, message_id)
        by_webhook = [event for event in stored if event.source != SEND]
        wanted: dict[tuple[str, int], FailedSend] = {}
        for call in calls:
            number = call.phone_number_id or _number_of(by_webhook, calls)
            told_by_webhook = any(_is_same(event, number, call.error_code) for event in by_webhook)
            if told_by_webhook:
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
        missing = [
            FailedCall(
                message_id,
                number,
                call.sent_at,
                read_graph_error(call.error),
                told_of(known, message_id, number),
            )
            for (number, code), call in wanted.items()
            if (number, code) not in kept
        ]
        store_failed(connection, missing, now=now, slot=slot)
        deltas = Deltas()
        gone = [event for event in stored if event.source == SEND and not _is_wanted(event, wanted)]
        failed_calls.forget(connection, message_id, gone, deltas)
        reassignment.add_counts(connection, deltas, slot=slot)

    return work


def _number_of(by_webhook: Sequence[FailedEvent], calls: Sequence[FailedSend]) -> str:
    """The business number of a call that named none: what webhooks say, else other reports of the message."""
    named = {event.phone_number_id for event in by_webhook} or {call.phone_number_id for call in calls}
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
    told = call.told
    return call.phone_number_id, waba_id, told.template, told.campaign, _country("", told)


def _status_row(call: FailedCall, series_id: int) -> StatusRow:
    occurred, told = int(call.sent_at.timestamp()), call.told
    return (call.message_id, call.phone_number_id, "failed", occurred, "", "", call.error.code, told.contact,
            series_id, told.category, "")  # fmt: skip


def _failure_row(call: FailedCall, series_id: int) -> FailureRow:
    occurred, error = int(call.sent_at.timestamp()), call.error
    strikes = explain(error.code, error.subcode).contact_effect != "none"
    return (call.message_id, call.phone_number_id, occurred, "", "", error.code, call.told.contact, series_id,
            error.title, error.details, f"[{error.json}]", SEND, error.subcode, error.fbtrace_id, strikes)  # fmt: skip


def _tried(connection: DriverConnection, work: Callable[[], object]) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            with connection.transaction():
                work()
        except RETRYABLE:
            if not tries_left:
                raise
        else:
            return
