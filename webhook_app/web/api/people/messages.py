"""/v1/messages: every event and failure of one message, and its outcome."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from webhook_app.rules.sends.retries import CODE_LIFETIME
from webhook_app.rules.suppressions.blocking import is_authentication
from webhook_app.store.people import message_timeline
from webhook_app.store.people.message_timeline import MessageEvent, MessageFailure, MessageSend
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from, known_code
from webhook_app.web.api.values import Time
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain
from webhook_app.whatsapp.errors.retry import RetryAdvice, retry_advice
from webhook_app.whatsapp.people.contacts import display
from webhook_app.whatsapp.receiving.pricing import Billing, pricing_of

_DELIVERED = ("delivered", "read", "played")

MessageId = Annotated[str, Meta(description="Meta's id of the message, `wamid.…`.")]
_Code = Annotated[int | None, Meta(description="null: it has no code.")]


class MessagePricing(Struct):
    """What Meta says about the price: Meta charges for billable messages once they are delivered."""

    billing: Annotated[Billing, Meta(description="Empty: Meta did not say.")]
    model: Annotated[
        str, Meta(description="PMP (per message), CBP (per conversation, until July 2025), other or empty.")
    ]
    type: Annotated[str, Meta(description="regular, free_customer_service, free_entry_point, …")]


class MessageEventEntry(Struct, kw_only=True):
    """One status. `clock_replaced`: Meta's time was unusable, so `occurred_at` is the time of receipt."""

    status: str
    occurred_at: Time
    received_at: Time
    phone_number_id: str
    waba_id: str
    participant: str
    code: _Code
    clock_replaced: bool


class SendCallEntry(Struct, kw_only=True):
    """The sender's report of the call that sent it: Meta accepted or refused it."""

    result: Literal["accepted", "refused"]
    sent_at: Time
    registered_at: Time
    phone_number_id: str
    code: _Code
    endpoint: str
    reported_by: Annotated[str, Meta(description="The API key that reported it.")]


class MessageFailureEntry(Struct, kw_only=True):
    """One failure: the error objects as Meta sent them, the meaning of the code and retry advice."""

    source: Annotated[str, Meta(description="webhook, or send: the call itself was refused.")]
    occurred_at: Time
    received_at: Time
    phone_number_id: str
    waba_id: str
    participant: str
    code: _Code
    subcode: Annotated[int | None, Meta(description="Only the answer to a send call has one.")]
    fbtrace_id: Annotated[str, Meta(description="Meta's support asks for it; only send calls have one.")]
    title: str
    details: str
    errors: Any
    meaning: ErrorCode
    retry_advice: RetryAdvice


class OutcomeDetail(Struct, kw_only=True):
    """The outcome from all events. One device can fail while another receives; then both are true."""

    sent_at: Time | None
    delivered_at: Annotated[Time | None, Meta(description="The first of delivered, read or played.")]
    read_at: Time | None
    failed_at: Time | None
    reached: bool
    failed: bool
    try_elsewhere: Annotated[
        bool,
        Meta(
            description="An authentication code that failed, or was not delivered within ten minutes: send it by SMS."
        ),
    ]


class MessageAnswer(Struct, kw_only=True):
    """A message with its newest events and failures in time order. An empty text means unknown."""

    message_id: str
    contact: str
    template: str
    campaign: str
    country: str
    category: str
    pricing: MessagePricing
    callback_data: str
    outcome: OutcomeDetail
    sends: list[SendCallEntry]
    events: list[MessageEventEntry]
    failures: list[MessageFailureEntry]
    events_left_out: Annotated[int, Meta(description="Older events that are not listed, beyond 1000.")]
    failures_left_out: Annotated[int, Meta(description="Older failures that are not listed, beyond 100.")]


def get_message(call: Call, message_id: MessageId) -> MessageAnswer:
    """Return one message: the calls that sent it, every status and error on every number, and its outcome."""
    calls = message_timeline.sends(call.connection, message_id)
    timeline = message_timeline.timeline(call.connection, message_id, call.now)
    events, failures = timeline.events, timeline.failures
    if not events and not failures and not calls:
        message = "There is no webhook or report of this message, or it is no longer stored."
        raise ApiError(404, "not_found", message)
    known: list[MessageEvent | MessageFailure] = [*events, *failures]
    described = [*known, *_of_first_key(calls)]
    category = _first([*events, *_of_first_key(calls)], "category")
    outcome = _outcome(events, failures)
    if is_authentication(category) and not outcome.reached:
        sent_at = outcome.sent_at or min((each.sent_at for each in calls), default=call.now)
        outcome.try_elsewhere = outcome.failed or call.now - sent_at >= CODE_LIFETIME
    return MessageAnswer(
        message_id=message_id,
        contact=display(_first(described, "contact")),
        template=_first(described, "template"),
        campaign=_first(described, "campaign"),
        country=_first(known, "country"),
        category=category,
        pricing=MessagePricing(*pricing_of(max((each.pricing for each in events), default=0))),
        callback_data=_first(events, "callback_data"),
        outcome=outcome,
        sends=[_send(each) for each in calls],
        events=[_event(event) for event in events],
        failures=[_failure(failure) for failure in failures],
        events_left_out=timeline.events_left_out,
        failures_left_out=timeline.failures_left_out,
    )


def _first(rows: Sequence[MessageEvent | MessageFailure | MessageSend], name: str) -> str:
    """The first value that is not empty; rows may be incomplete."""
    return next((value for row in rows if (value := getattr(row, name))), "")


def _of_first_key(calls: Sequence[MessageSend]) -> list[MessageSend]:
    """The reports of the key that reported the message first; other keys cannot describe it."""
    first = min(calls, key=lambda each: (each.registered_at, each.reported_by), default=None)
    return [each for each in calls if first is not None and each.reported_by == first.reported_by]


def _outcome(events: Sequence[MessageEvent], failures: Sequence[MessageFailure]) -> OutcomeDetail:
    def first(*statuses: str) -> datetime | None:
        return min((event.occurred_at for event in events if event.status in statuses), default=None)

    failed = [first("failed"), *(failure.occurred_at for failure in failures)]
    failed_at = min((at for at in failed if at is not None), default=None)
    delivered_at = first(*_DELIVERED)
    return OutcomeDetail(
        sent_at=first("sent"),
        delivered_at=delivered_at,
        read_at=first("read", "played"),
        failed_at=failed_at,
        reached=delivered_at is not None,
        failed=failed_at is not None,
        try_elsewhere=False,
    )


def _event(event: MessageEvent) -> MessageEventEntry:
    return entry_from(event, MessageEventEntry, code=known_code(event.error_code))


def _send(call: MessageSend) -> SendCallEntry:
    result = "refused" if call.failed else "accepted"
    return entry_from(call, SendCallEntry, result=result, code=known_code(call.error_code))


def _failure(failure: MessageFailure) -> MessageFailureEntry:
    meaning = explain(failure.error_code, failure.error_subcode)
    return entry_from(
        failure,
        MessageFailureEntry,
        code=known_code(failure.error_code),
        subcode=known_code(failure.error_subcode),
        meaning=meaning,
        retry_advice=retry_advice(meaning),
    )


ENDPOINTS = (Endpoint("GET", "/v1/messages/{message_id}", get_message, "sender", autocommit=True),)
