"""POST /v1/sends: what senders report of their calls, each item judged by itself. Counting happens below."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from webhook_app.pipeline.sends import reports as sends
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Contact, Time, Word
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain
from webhook_app.whatsapp.errors.retry import RetryAdvice, retry_advice
from webhook_app.whatsapp.json_text import scrub
from webhook_app.whatsapp.people.contacts import InvalidAddress, display, parse_address
from webhook_app.whatsapp.sends.call_redaction import redacted_request, without_credentials
from webhook_app.whatsapp.sends.graph_errors import GraphError, read_graph_error
from webhook_app.whatsapp.sends.send_reports import SendReport, generated_message_id

MAX_SENDS = 1_000
_EARLIEST = datetime(2001, 1, 1, tzinfo=UTC)
_AHEAD_S = 300  # as for Meta's timestamps: further ahead is a clock gone wrong
_MAX_REQUEST_BYTES = 64 * 1024

_MessageId = Annotated[
    str,
    Meta(
        max_length=512,
        pattern=r"^[^\x00]*$",
        description="Meta's id of the message, `wamid.…`. A failed call has none; it is given one.",
    ),
]
_Name = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00]*$")]
_SentAt = Annotated[
    Time, Meta(description="When the call was made; absent, or more than five minutes ahead: now.")
]
_Error = Annotated[
    dict[str, Any],
    Meta(
        description="Only when the call failed: the error object that Meta answered with, bare or inside `error`."
        " It is kept without credentials.",
    ),
]
_Request = Annotated[
    dict[str, Any],
    Meta(
        description="What was sent to Meta, for the support bundle. Only its shape is kept: which template, how many"
        " parameters, how long the texts are.",
    ),
]


class SendItem(Struct, kw_only=True, forbid_unknown_fields=True):
    """One send call: accepted by Meta, or failed with `error`."""

    contact: Contact
    phone_number_id: Annotated[Word, Meta(description="Meta's id of the business number it went out by.")] = (
        ""
    )
    message_id: _MessageId | None = None
    template: _Name | None = None
    campaign: _Name | None = None
    category: Annotated[_Name, Meta(description="marketing, utility, authentication or service.")] | None = (
        None
    )
    sent_at: _SentAt | None = None
    error: _Error | None = None
    endpoint: Annotated[Word, Meta(description="The address that was called, for the support bundle.")] = ""
    request: _Request | None = None


_Item = Annotated[Any, Meta(extra_json_schema={"$ref": "#/components/schemas/SendItem"})]


class SendsBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """What was sent, or could not be."""

    sends: Annotated[list[_Item], Meta(max_length=MAX_SENDS)]


class SendResult(Struct, kw_only=True):
    """What became of one item. A failed call comes with the meaning of its code and whether to send again."""

    result: Annotated[
        Literal["stored", "duplicate", "invalid"],
        Meta(description="duplicate: known already; what was left out before is filled in."),
    ]
    message_id: Annotated[str | None, Meta(description="What it is kept under; null: it is not.")] = None
    contact: Annotated[str | None, Meta(description="The canonical form; null: it names nobody.")] = None
    reason: Annotated[str | None, Meta(description="What is wrong with the item or its contact.")] = None
    meaning: ErrorCode | None = None
    retry_advice: RetryAdvice | None = None


class SendsSummary(Struct):
    """How many items ended in which way."""

    stored: int
    duplicate: int
    invalid: int


class SendsAnswer(Struct):
    """The results in the order reported."""

    results: list[SendResult]
    summary: SendsSummary


def post_sends(call: Call, body: SendsBody) -> SendsAnswer:
    """Report sends: up to 1000, those that Meta accepted and those it refused, answered in the order given.

    An accepted send is no attempt by itself: it gives template, campaign, category and contact to what webhooks tell of
    the message, before or after. A failed one is counted, alerted on and held against its contact like a failure by
    webhook, and once if both tell of it. An item that cannot be read is answered as invalid and harms no other.
    """
    items = [read(item, call.now) for item in body.sends]
    reports = [found for found, _ in items if found is not None]
    new = iter(sends.register(call.connection, reports, call.now))
    results = [_result(found, reason, is_new=found is not None and next(new)) for found, reason in items]
    counts = [sum(each.result == name for each in results) for name in ("stored", "duplicate", "invalid")]
    return SendsAnswer(results, SendsSummary(*counts))


def read(item: Any, now: datetime) -> tuple[SendReport | None, str]:
    """The report, and what is wrong with it or with its contact."""
    try:
        send = msgspec.convert(item, SendItem)
        error = None if send.error is None else _within("error", read_graph_error, send.error)
        request = "" if send.request is None else _within("request", _request_text, send.request)
        sent_at = _sent_at(send.sent_at, now)
    except (msgspec.ValidationError, ValueError) as fault:
        return None, _words(fault)
    address = parse_address(send.contact)
    contact, fault_of_contact = "", ""
    if isinstance(address, InvalidAddress):
        fault_of_contact = f"contact: {address.reason}"
        if error is None:
            return None, fault_of_contact
    else:
        contact = address.key
    message_id = send.message_id or _made_up(send, contact, error, sent_at, now)
    report = SendReport(
        message_id=message_id,
        phone_number_id=send.phone_number_id,
        contact=contact,
        template=send.template or "",
        campaign=send.campaign or "",
        category=(send.category or "").lower(),
        sent_at=(sent_at or now).replace(microsecond=0),
        error=error,
        endpoint=str(without_credentials(send.endpoint)),
        request_json=request,
    )
    return report, fault_of_contact


def _made_up(
    send: SendItem, contact: str, error: GraphError | None, sent_at: datetime | None, now: datetime
) -> str:
    addressee = contact or send.contact
    return generated_message_id(
        addressee, send.phone_number_id, send.template or "", send.campaign or "", error, sent_at, now
    )


def _within(key: str, read: Any, raw: Any) -> Any:
    try:
        return read(raw)
    except RecursionError:
        raise ValueError(f"{key}: nested too deeply") from None
    except ValueError as fault:
        raise ValueError(f"{key}: {fault}") from None


def _request_text(raw: dict[str, Any]) -> str:
    encoded = msgspec.json.encode(redacted_request(scrub(raw)))
    if len(encoded) > _MAX_REQUEST_BYTES:
        raise ValueError(f"larger than {_MAX_REQUEST_BYTES} bytes")
    return encoded.decode()


def _sent_at(given: datetime | None, now: datetime) -> datetime | None:
    if given is None or (given - now).total_seconds() > _AHEAD_S:
        return None
    if given < _EARLIEST:
        raise ValueError("sent_at: before 2001")
    return given.astimezone(UTC)


def _words(fault: Exception) -> str:
    """msgspec's message with the place in front."""
    found = re.fullmatch(r"(.*) - at `\$\.?(.*)`", str(fault), re.DOTALL)
    return f"{found[2]}: {found[1]}" if found and found[2] else str(fault)


def _result(report: SendReport | None, reason: str, *, is_new: bool) -> SendResult:
    if report is None:
        return SendResult(result="invalid", reason=reason)
    error = report.error
    meaning = explain(error.code, error.subcode) if error else None
    return SendResult(
        result="stored" if is_new else "duplicate",
        message_id=report.message_id,
        contact=display(report.contact) if report.contact else None,
        reason=reason or None,
        meaning=meaning,
        retry_advice=retry_advice(meaning) if meaning else None,
    )


ENDPOINTS = (Endpoint("POST", "/v1/sends", post_sends, "sender", autocommit=True, shapes=(SendItem,)),)
