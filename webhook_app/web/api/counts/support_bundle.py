"""/v1/failures/{id}/bundle: the facts that Meta's support asks for about one failure, without secrets."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from webhook_app.store.counts import rates
from webhook_app.store.counts.failures.failures import Failure
from webhook_app.store.people import message_timeline
from webhook_app.store.people.message_timeline import MessageEvent, MessageSend
from webhook_app.web.api.counts.failures import FailureId, Source, entry_of, find_failure
from webhook_app.web.api.endpoints import Call, Endpoint, Stream
from webhook_app.web.api.entries import entry_from, known_code
from webhook_app.web.api.values import Time
from webhook_app.whatsapp.errors.catalogue_page import code_label
from webhook_app.whatsapp.sends.call_redaction import without_credentials

TEXT = "text/plain"
_FREQUENCY_WINDOW = timedelta(hours=1)
_Code = Annotated[int | None, Meta(description="null: there is none.")]


class BundleQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    format: Annotated[Literal["json", "text"], Meta(description="text: to paste into a support case.")] = (
        "json"
    )


class BundleEvent(Struct, kw_only=True):
    """One event of the message: `at` is Meta's time, `received_at` the time at which it was stored here."""

    at: Time
    received_at: Time
    what: Annotated[str, Meta(description="A status from Meta, or `call accepted` or `call failed`.")]
    phone_number_id: str
    code: _Code


class Frequency(Struct, kw_only=True):
    """Messages of the business number that failed with the same code in the hour before the failure."""

    from_: Time = msgspec.field(name="from")
    to: Time
    attempts: int
    failures: int


class SupportBundle(Struct, kw_only=True):
    """The facts that Meta's support asks for about one failure. Credentials and message texts are removed."""

    made_at: Time
    message_id: str
    fbtrace_id: Annotated[
        str, Meta(description="Meta's id of the call in its logs; only send calls return it.")
    ]
    phone_number_id: str
    waba_id: str
    recipient: str
    template: str
    occurred_at: Time
    source: Source
    code: _Code
    subcode: _Code
    errors: Annotated[Any, Meta(description="All error objects as received.")]
    meaning: str
    endpoint: Annotated[str, Meta(description="The URL of the call, if the sender reported it.")]
    request: Annotated[
        Any, Meta(description="The structure of the request, if reported, without texts and credentials.")
    ]
    timeline: list[BundleEvent]
    frequency: Frequency


def get_support_bundle(call: Call, id: FailureId, query: BundleQuery) -> SupportBundle | Stream:  # noqa: A002
    """Return what Meta's support asks for about a failure: the error, its trace id, the call and the timeline.

    The answer is JSON, or with `format=text` plain text for a support case.
    """
    failure = find_failure(call, id)
    calls = message_timeline.sends(call.connection, failure.message_id)
    bundle = _bundle(call, failure, calls)
    if query.format == "json":
        return bundle
    text = _text(bundle).encode()
    return Stream(TEXT, lambda _: iter([text]))


def _bundle(call: Call, failure: Failure, calls: Sequence[MessageSend]) -> SupportBundle:
    entry = entry_of(failure)
    own = next((each for each in calls if each.failed and each.error_code == failure.error_code), None)
    own = own or next((each for each in calls if each.endpoint or each.request is not None), None)
    traces = (failure.fbtrace_id, own.fbtrace_id if own else "")
    return entry_from(
        entry,
        SupportBundle,
        made_at=call.now,
        fbtrace_id=next(filter(None, traces), ""),
        recipient=entry.contact,
        errors=without_credentials(failure.errors),
        meaning=f"{code_label(entry.meaning)} {entry.meaning.title}: {entry.meaning.summary}",
        endpoint=without_credentials(own.endpoint) if own else "",
        request=without_credentials(own.request) if own else None,
        timeline=_timeline(
            message_timeline.events(call.connection, failure.message_id, call.now), calls, failure
        ),
        frequency=_frequency(call, failure),
    )


def _timeline(
    events: Sequence[MessageEvent], calls: Sequence[MessageSend], failure: Failure
) -> list[BundleEvent]:
    refused = {(each.sent_at, each.error_code) for each in calls if each.failed}
    timeline = [  # a failed call is also stored as an event; list it once
        BundleEvent(
            at=event.occurred_at,
            received_at=event.received_at,
            what=event.status,
            phone_number_id=event.phone_number_id,
            code=known_code(event.error_code),
        )
        for event in events
        if not (event.status == "failed" and (event.occurred_at, event.error_code) in refused)
    ]
    timeline += [
        BundleEvent(
            at=each.sent_at,
            received_at=each.registered_at,
            what="call failed" if each.failed else "call accepted",
            phone_number_id=each.phone_number_id,
            code=known_code(each.error_code),
        )
        for each in calls
    ]
    if not any(one.what in ("failed", "call failed") and one.at == failure.occurred_at for one in timeline):
        timeline.append(  # events are kept for a shorter time than failures
            BundleEvent(
                at=failure.occurred_at,
                received_at=failure.received_at,
                what="failed",
                phone_number_id=failure.phone_number_id,
                code=known_code(failure.error_code),
            )
        )
    return sorted(timeline, key=lambda event: event.at)


def _frequency(call: Call, failure: Failure) -> Frequency:
    start, end = rates.window(failure.occurred_at, int(_FREQUENCY_WINDOW.total_seconds()) // 60)
    filters = rates.Filters(phone_number_id=failure.phone_number_id, code=failure.error_code)
    found = rates.rates(call.connection, start, end, filters=filters)
    return Frequency(from_=start, to=end, attempts=found.attempts, failures=found.failures)


def _text(bundle: SupportBundle) -> str:
    """Return the bundle as plain text, without unknown values."""
    code = "none" if bundle.code is None else str(bundle.code)
    facts = {
        "Time (UTC)": _stamp(bundle.occurred_at),
        "Error code": code if bundle.subcode is None else f"{code}, subcode {bundle.subcode}",
        "fbtrace_id": bundle.fbtrace_id,
        "Message id": bundle.message_id,
        "Phone number id": bundle.phone_number_id,
        "WhatsApp Business Account": bundle.waba_id,
        "Recipient": bundle.recipient,
        "Template": bundle.template,
        "Reported by": "webhook" if bundle.source == "webhook" else "the answer to the send call",
        "Endpoint": bundle.endpoint,
    }
    timeline = [
        f"  {_stamp(event.at)}  {event.what}{'' if event.code is None else f' {event.code}'}"
        f" (received {_stamp(event.received_at)})"
        for event in bundle.timeline
    ]
    parts = [
        "\n".join(f"{name}: {value}" for name, value in facts.items() if value),
        f"Error as received:\n{_indented(bundle.errors)}",
        *(
            [f"Request (texts and credentials removed):\n{_indented(bundle.request)}"]
            if bundle.request
            else []
        ),
        "Timeline:\n" + "\n".join(timeline),
        _frequency_text(bundle.frequency),
        f"What the code means: {bundle.meaning}",
    ]
    return "\n\n".join(parts) + "\n"


def _frequency_text(frequency: Frequency) -> str:
    share = f"{frequency.failures} of {frequency.attempts} messages of this number failed with this code"
    return f"Frequency: {share} from {_stamp(frequency.from_)} to {_stamp(frequency.to)}."


def _indented(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _stamp(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


ENDPOINTS = (Endpoint("GET", "/v1/failures/{id}/bundle", get_support_bundle, "sender", streams=(TEXT,)),)
