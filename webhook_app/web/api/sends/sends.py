"""POST /v1/sends: senders report their calls to Meta. send_items.py validates each item; pipeline/sends counts it."""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from webhook_app.event_loop import paced
from webhook_app.pipeline.sends.reports import Outcome, register
from webhook_app.store.people.stored_keys import stored_keys
from webhook_app.store.sends.reports import MAX_PER_MESSAGE, count_failed
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.sends.send_items import SendItem, literal_contacts, parse_send
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain
from webhook_app.whatsapp.errors.retry import RetryAdvice, retry_advice
from webhook_app.whatsapp.people.contacts import display
from webhook_app.whatsapp.sends.send_reports import SendReport

MAX_SENDS = 1_000
MAX_FAILED_PER_HOUR = 50_000
"""Failed calls of one key within an hour; a whole request more may be stored."""
_TRY_AGAIN_S = 60
_TOO_MANY = (
    f"message_id: {MAX_PER_MESSAGE} reports of this message by this key are stored, and no more are taken"
)
_LATE = "message_id: another key reported this message before, and its report describes it"

_Item = Annotated[msgspec.Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/SendItem"})]


class SendsBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Send calls, accepted and failed."""

    sends: Annotated[list[_Item], Meta(max_length=MAX_SENDS)]


class SendResult(Struct, kw_only=True):
    """The result of one item. A failed call comes with the meaning of its code and retry advice."""

    result: Annotated[
        Literal["stored", "duplicate", "invalid"],
        Meta(description="duplicate: reported before; the same key may add what its first report lacked."),
    ]
    message_id: Annotated[str | None, Meta(description="The id it is stored under; null: not stored.")] = None
    contact: Annotated[str | None, Meta(description="The canonical form; null: not a contact.")] = None
    reason: Annotated[
        str | None,
        Meta(description="The fault of the item or its contact, or that another key reported it before."),
    ] = None
    meaning: ErrorCode | None = None
    retry_advice: RetryAdvice | None = None


class SendsSummary(Struct):
    """The number of items with each result."""

    stored: int
    duplicate: int
    invalid: int


class SendsAnswer(Struct):
    """The results in the order reported."""

    results: list[SendResult]
    summary: SendsSummary


def post_sends(call: Call, body: SendsBody) -> SendsAnswer:
    """Report up to 1000 send calls, accepted or failed; the results come in the order given.

    An accepted send is not an attempt. It gives template, campaign, category and contact to the webhooks of its
    message; only the key that reported a message first can do that, and what Meta says goes first. Its contact only
    stands in for one that the webhooks lack: it never links a number with a user id. A failed call counts in rates
    and alerts, once if a webhook reports it too. It counts against its contact only for a message that this key sent
    or that a webhook named, reported within a day, and never as an opt-out. An invalid item affects no other. With
    `wa_id` from Meta's answer, checks of this key find the recipient under the number written to as well; nobody
    else's do, and nothing is lifted or erased by it. A message takes at most 20 reports of a key: one per business
    number and answer, however often it is repeated. After 50 000 failed calls of a key within an hour, 429 refuses
    requests with further ones.
    """
    literals = literal_contacts(paced(body.sends))
    stored = stored_keys(call.connection, literals) if literals else set()
    items = [parse_send(item, call.now, stored) for item in paced(body.sends)]
    reports = [found for found, _ in items if found is not None]
    if any(report.error for report in reports):
        _refuse_too_many(call)
    if any(report.given for report in reports):
        call.checks.aliases.forget(call.key.name)
    outcomes = iter(register(call.connection, reports, call.now, reported_by=call.key.name))
    results = [
        _result(found, reason, "refused" if found is None else next(outcomes)) for found, reason in items
    ]
    counts = [sum(each.result == name for each in results) for name in ("stored", "duplicate", "invalid")]
    return SendsAnswer(results, SendsSummary(*counts))


def _refuse_too_many(call: Call) -> None:
    since = call.now - timedelta(hours=1)
    if count_failed(call.connection, call.key.name, since, MAX_FAILED_PER_HOUR) >= MAX_FAILED_PER_HOUR:
        message = (
            f"This API key reported {MAX_FAILED_PER_HOUR} failed calls within an hour. Nothing was stored."
        )
        raise ApiError(429, "too_many_failed_calls", message, retry_seconds=_TRY_AGAIN_S)


def _result(report: SendReport | None, reason: str, outcome: Outcome) -> SendResult:
    if report is None:
        return SendResult(result="invalid", reason=reason)
    if outcome == "refused":
        return SendResult(result="invalid", reason=_TOO_MANY)
    error = report.error
    meaning = explain(error.code, error.subcode) if error else None
    return SendResult(
        result="duplicate" if outcome == "late" else outcome,
        message_id=report.message_id,
        contact=display(report.contact) if report.contact else None,
        reason=reason or (_LATE if outcome == "late" else None),
        meaning=meaning,
        retry_advice=retry_advice(meaning) if meaning else None,
    )


ENDPOINTS = (Endpoint("POST", "/v1/sends", post_sends, "sender", autocommit=True, shapes=(SendItem,)),)
