"""/v1/failures/{id}/bundle: what Meta's support asks for about one failure, as JSON or as text to paste. No secrets."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from webhook_app.store.counts import rates
from webhook_app.store.counts.failures import Failure
from webhook_app.store.people import message_timeline
from webhook_app.store.people.message_timeline import MessageEvent, MessageSend
from webhook_app.web.api.counts.failures import FailureId, Source, entry_of, find
from webhook_app.web.api.endpoints import Call, Endpoint, Stream
from webhook_app.web.api.values import Time
from webhook_app.whatsapp.errors.catalogue_page import code_label
from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.sends.call_redaction import without_credentials

TEXT = "text/plain"
_AROUND = timedelta(hours=1)
_Code = Annotated[int | None, Meta(description="null: it came without one.")]


class BundleQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    format: Annotated[Literal["json", "text"], Meta(description="text: to paste into a support case.")] = (
        "json"
    )


class BundleStep(Struct, kw_only=True):
    """One thing that happened to the message, by Meta's clock; `received_at`: when we heard of it."""

    at: Time
    received_at: Time
    what: Annotated[str, Meta(description="A status of Meta's, or `call accepted` or `call failed`.")]
    phone_number_id: str
    code: _Code


class Frequency(Struct, kw_only=True):
    """How much of the business number's traffic failed with the same code in the hour up to the failure."""

    from_: Time = msgspec.field(name="from")
    to: Time
    attempts: int
    failures: int


class SupportBundle(Struct, kw_only=True):
    """What Meta's support asks for about one failure. Credentials and what people wrote are taken out."""

    made_at: Time
    message_id: str
    fbtrace_id: Annotated[str, Meta(description="Meta's key to its own logs; only send calls tell it.")]
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
    endpoint: Annotated[str, Meta(description="What was called, as the sender reported it; else empty.")]
    request: Annotated[
        Any, Meta(description="The shape of the request, if reported: no text, no credentials.")
    ]
    timeline: list[BundleStep]
    frequency: Frequency


def get_support_bundle(call: Call, id: FailureId, query: BundleQuery) -> SupportBundle | Stream:  # noqa: A002
    """What Meta's support asks for about a failure: the whole error, its trace, the call and the message's life.

    As JSON, or with `format=text` to paste into a support case.
    """
    failure = find(call, id)
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
    return SupportBundle(
        made_at=call.now,
        message_id=failure.message_id,
        fbtrace_id=next(filter(None, traces), ""),
        phone_number_id=failure.phone_number_id,
        waba_id=failure.waba_id,
        recipient=entry.contact,
        template=failure.template,
        occurred_at=failure.occurred_at,
        source=entry.source,
        code=entry.code,
        subcode=entry.subcode,
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
) -> list[BundleStep]:
    refused = {(each.sent_at, each.error_code) for each in calls if each.failed}
    steps = [  # a failed call is kept as an event too, and told once
        BundleStep(
            at=event.occurred_at,
            received_at=event.received_at,
            what=event.status,
            phone_number_id=event.phone_number_id,
            code=_code(event.error_code),
        )
        for event in events
        if not (event.status == "failed" and (event.occurred_at, event.error_code) in refused)
    ]
    steps += [
        BundleStep(
            at=each.sent_at,
            received_at=each.registered_at,
            what="call failed" if each.failed else "call accepted",
            phone_number_id=each.phone_number_id,
            code=_code(each.error_code),
        )
        for each in calls
    ]
    if not any(step.what in ("failed", "call failed") and step.at == failure.occurred_at for step in steps):
        steps.append(  # the events are kept for a shorter time than the failures
            BundleStep(
                at=failure.occurred_at,
                received_at=failure.received_at,
                what="failed",
                phone_number_id=failure.phone_number_id,
                code=_code(failure.error_code),
            )
        )
    return sorted(steps, key=lambda step: step.at)


def _frequency(call: Call, failure: Failure) -> Frequency:
    start, end = rates.window(failure.occurred_at, int(_AROUND.total_seconds()) // 60)
    filters = rates.Filters(phone_number_id=failure.phone_number_id, code=failure.error_code)
    found = rates.rates(call.connection, start, end, filters=filters)
    return Frequency(from_=start, to=end, attempts=found.attempts, failures=found.failures)


def _code(code: int) -> int | None:
    return None if code == NO_CODE else code


def _text(bundle: SupportBundle) -> str:
    """The same for people: what is not known is left out."""
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
        "Told by": "webhook" if bundle.source == "webhook" else "the answer to the send call",
        "Endpoint": bundle.endpoint,
    }
    steps = [
        f"  {_stamp(step.at)}  {step.what}{'' if step.code is None else f' {step.code}'}"
        f" (heard of {_stamp(step.received_at)})"
        for step in bundle.timeline
    ]
    parts = [
        "\n".join(f"{name}: {value}" for name, value in facts.items() if value),
        f"Error as received:\n{_indented(bundle.errors)}",
        *(
            [f"Request (texts and credentials removed):\n{_indented(bundle.request)}"]
            if bundle.request
            else []
        ),
        "Timeline:\n" + "\n".join(steps),
        _often(bundle.frequency),
        f"What the code means: {bundle.meaning}",
    ]
    return "\n\n".join(parts) + "\n"


def _often(often: Frequency) -> str:
    share = f"{often.failures} of {often.attempts} messages of this number failed with this code"
    return f"How often: {share} from {_stamp(often.from_)} to {_stamp(often.to)}."


def _indented(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


ENDPOINTS = (Endpoint("GET", "/v1/failures/{id}/bundle", get_support_bundle, "sender", streams=(TEXT,)),)
