"""/v1/retries: failed messages that are due to be sent again, leased to one sender at a time."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from webhook_app.pipeline.incidents.details.incident_details import held_groups
from webhook_app.pipeline.sends.retries import (
    ClaimRunningError,
    LeasedRetry,
    LeaseLostError,
    RetryClaim,
    RetryOutcome,
    claim,
    report,
)
from webhook_app.rules.incidents.evidence import ENOUGH_CALLS, shown_by_webhooks
from webhook_app.rules.incidents.rules_file.rule import FAILURE_KINDS
from webhook_app.rules.sends.retries import Permission, Reason, State
from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.sends import reporters
from webhook_app.store.sends import retries as store
from webhook_app.store.sends.retries import HeldFailures, Retry, RetryFilters
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import known_code
from webhook_app.web.api.sends.send_items import MessageId, check_message_id
from webhook_app.web.api.suppressions.check import CheckBody, check_all
from webhook_app.web.api.suppressions.check_results import CheckResult
from webhook_app.web.api.values import PhoneNumberId, Time, Word, decode_item
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.people.contacts import display
from webhook_app.whatsapp.sends.graph_errors import GraphError, read_graph_error

RetryId = Annotated[int, Meta(description="The `id` of the retry.")]
_Lease = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern="^[0-9a-f]*$", description="The token of the claim's answer."),
]

_CLAIM_AGAIN_SECONDS = 2
_MAX_ERROR_BYTES = 64 * 1024  # with spaces and escapes; of what it holds, 8 KiB are stored
_decode_error = msgspec.json.Decoder(dict[str, Any]).decode
_MOST_CHECKS = 50  # of a claim, one for each business number and category; the other messages stay due


class ClaimBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """How many retries to lease, for how long, and of which messages."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Maximum number of retries to lease.")] = 100
    lease_seconds: Annotated[
        int, Meta(ge=10, le=3600, description="How long they are nobody else's: until then, report each.")
    ] = 60
    phone_number_id: PhoneNumberId | None = None
    template: Word | None = None
    campaign: Word | None = None
    claim_id: Annotated[
        str,
        Meta(
            max_length=64,
            pattern="^[A-Za-z0-9_-]*$",
            description="Made up by the sender for this claim: repeated with it, the call returns the same leases.",
        ),
    ] = ""


class RetryEntry(Struct, kw_only=True):
    """One leased retry: the message that failed, and what to send again. An empty text means unknown."""

    id: RetryId
    lease: Annotated[str, Meta(description="The token to report the outcome with.")]
    message_id: Annotated[str, Meta(description="The message that failed; `send:…` for a failed call.")]
    first_message_id: Annotated[
        str, Meta(description="The message that failed first; another one if this is not the first retry.")
    ]
    contact: str
    phone_number_id: str
    template: str
    campaign: str
    category: str
    callback_data: Annotated[str, Meta(description="The message's `biz_opaque_callback_data`.")]
    code: int | None
    subcode: int | None
    why: Annotated[str, Meta(description="What the code means.")]
    attempt: Annotated[int, Meta(description="The number of this retry; 7 is the last.")]
    leased_until: Time
    due_at: Annotated[Time, Meta(description="When it is due again if no outcome is reported.")]
    later_message_id: Annotated[
        str,
        Meta(
            description="A later message to the contact, of the same number, template and campaign, that did not fail."
            " If your system has sent it as the retry already, report it as the outcome."
        ),
    ]


class RetryList(Struct, kw_only=True):
    """The leased retries, the longest due first."""

    retries: list[RetryEntry]
    next_due_at: Annotated[
        Time | None, Meta(description="When the next of these messages is due; null: none is stored yet.")
    ]


class OutcomeBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The outcome of one lease."""

    lease: _Lease
    outcome: Annotated[
        RetryOutcome,
        Meta(description="sent: Meta accepted the call; failed: it did not; gave_up: make it a dead letter."),
    ]
    message_id: MessageId | None = None
    error: (
        Annotated[
            msgspec.Raw,
            Meta(
                description="Only for `failed`: the error object of Meta's answer, at most 8 KiB.",
                extra_json_schema={"type": "object"},
            ),
        ]
        | UnsetType
    ) = UNSET


class RetryStatus(Struct, kw_only=True):
    """A retry after a report. `due_at` is null unless it waits."""

    id: RetryId
    message_id: str
    state: Annotated[
        State,
        Meta(
            description="sent: as `sent_message_id`; done: it arrived or was sent again; dead: a dead letter."
        ),
    ]
    reason: Annotated[Reason, Meta(description="Why it is done or dead.")]
    attempts: int
    due_at: Time | None
    sent_message_id: str


def claim_retries(call: Call, body: ClaimBody) -> RetryList:
    """Lease failed messages that are due to be sent again: nobody else gets them until the lease ends.

    A message is due after the wait that its code allows, at most seven times; its contact is checked as for a new
    message, and a message that has arrived is left out. While an incident with its code is open, it waits. What another
    key reported with POST /v1/sends is leased to that key only. While several keys claim, a message without a report
    waits a minute after its failure.
    Send each one, then report it. A lease without a report ends at `leased_until`; two minutes later the message is due
    again, unless a later message of its template or campaign has gone to the contact meanwhile. The first claim finds
    failures of the last hour. A failure found later than that is not retried, unless its code asks for a wait of hours.
    A claim leases messages of at most 50 business numbers and categories; the others stay due.
    503 `claim_running`: the claim with this id has not ended, or five of this key have not; repeat it in two seconds.
    """
    wanted = RetryFilters(
        key=call.key.name,
        phone_number_id=body.phone_number_id,
        template=body.template,
        campaign=body.campaign,
        held=_held_by_incidents(call.connection, call.key.name),
    )
    lease = timedelta(seconds=body.lease_seconds)
    asked = RetryClaim(limit=body.limit, lease=lease, claim=body.claim_id)
    try:
        found = claim(call.connection, asked, wanted, _Permissions(call), call.now)
    except ClaimRunningError:
        message = "The claim with this id is still running, or five of this key are; repeat it."
        raise ApiError(503, "claim_running", message, retry_seconds=_CLAIM_AGAIN_SECONDS) from None
    due_at = store.next_due_at(call.connection, wanted, call.now)
    return RetryList(retries=[_entry(each) for each in found], next_due_at=due_at)


def report_retry(call: Call, id: RetryId, body: OutcomeBody) -> RetryStatus:  # noqa: A002  the path's name for it
    """Report the outcome of a lease; this stores the call like POST /v1/sends, so report it only here.

    sent: with the new `message_id`. If that message fails, it is due again with the next attempt. failed: with Meta's
    `error`; due again if its code allows it, else a dead letter. A repeated report changes nothing. 409: the lease has
    ended and somebody else has the message, or another outcome was reported.
    """
    error = _error(body)
    if (body.outcome == "sent") != bool(body.message_id) or body.message_id == "":
        raise ApiError(400, "bad_body", "message_id: needed for the outcome `sent`, and only for it.")
    _check(body.message_id or "")
    retry = store.get(call.connection, id)
    if retry is None:
        raise ApiError(404, "not_found", "There is no such retry, or it is older than the retention period.")
    try:
        found = report(
            call.connection,
            retry,
            body.lease,
            body.outcome,
            call.now,
            reported_by=call.key.name,
            sent_message_id=body.message_id or "",
            error=error,
        )
    except LeaseLostError:
        message = "The lease has ended and the message was leased again, or another outcome was reported."
        raise ApiError(409, "lease_lost", message) from None
    return status_of(found)


def status_of(retry: Retry) -> RetryStatus:
    return RetryStatus(
        id=retry.id,
        message_id=retry.message_id,
        state=retry.state,
        reason=retry.reason,
        attempts=retry.attempts,
        due_at=retry.due_at if retry.state == "waiting" else None,
        sent_message_id=retry.sent_message_id,
    )


def _held_by_incidents(connection: Connection, key: str) -> tuple[HeldFailures, ...]:
    """The failures that wait for the end of an open incident.

    An incident of a finding has no end to wait for. One that only reports of senders show may be made up: it concerns
    the key that reported it often enough by itself.
    """
    opened = [each for each in incidents.open_incidents(connection) if each.codes and each.finding_id is None]
    members: dict[int, list[Alert]] = {each.id: [] for each in opened}
    for alert in alerts.of_kinds(connection, list(members), FAILURE_KINDS):
        members[cast("int", alert.incident_id)].append(alert)
    held, reported = [], []
    for each in opened:
        shown = shown_by_webhooks(each.codes, members[each.id])
        if shown.alerts and shown.until is None:
            held.append(HeldFailures(shown.codes, held_groups(each, shown.alerts)))
        if len(shown.alerts) < len(members[each.id]) or shown.until is not None:
            reported.append(each)
    since = min((each.began_at for each in reported), default=None)
    calls = reporters.failed_calls(connection, key, since) if since is not None else ()
    for each in reported:
        own = sum(call.error_code in each.codes and call.sent_at >= each.began_at for call in calls)
        if own >= ENOUGH_CALLS:
            held.append(HeldFailures(each.codes, held_groups(each, members[each.id])))
    return tuple(held)


class _Permissions:
    """Whether contacts may be messaged, as POST /v1/check answers; None after many checks of one claim."""

    def __init__(self, call: Call) -> None:
        self._call, self._checks_left = call, _MOST_CHECKS

    def __call__(self, due: Sequence[Retry]) -> list[Permission | None]:
        together: dict[tuple[str, str], list[int]] = defaultdict(list)
        for place, retry in enumerate(due):
            together[retry.phone_number_id, retry.category].append(place)
        found: dict[int, Permission] = {}
        for (number, category), places in list(together.items())[: self._checks_left]:
            self._checks_left -= 1
            contacts = [display(due[place].contact) for place in places]
            query = CheckBody(contacts=contacts, phone_number_id=number or None, category=category or None)
            _, results = check_all(self._call, contacts, query)
            found |= {place: _permission(result) for place, result in zip(places, results, strict=True)}
        return [found.get(place) for place in range(len(due))]


def _permission(result: CheckResult) -> Permission:
    wait = timedelta(seconds=result.retry_after or 0) if result.verdict == "wait" else None
    return Permission(result.allowed, wait, result.why or result.reason or "")


def _entry(leased: LeasedRetry) -> RetryEntry:
    retry, facts = leased.retry, leased.facts
    subcode = known_code(retry.last_subcode)
    assert retry.leased_until  # noqa: S101  for mypy: it is leased
    return RetryEntry(
        id=retry.id,
        lease=retry.lease,
        message_id=retry.message_id,
        first_message_id=retry.first_message_id,
        contact=display(retry.contact),
        phone_number_id=retry.phone_number_id,
        template=retry.template,
        campaign=retry.campaign,
        category=retry.category,
        callback_data=facts.callback_data,
        code=known_code(retry.last_code),
        subcode=subcode,
        why=explain(retry.last_code, subcode).summary,
        attempt=retry.attempts,
        leased_until=retry.leased_until,
        due_at=retry.due_at,
        later_message_id=facts.later_message_id,
    )


def _error(body: OutcomeBody) -> GraphError | None:
    given = None if body.error is UNSET or bytes(body.error) == b"null" else body.error
    if (body.outcome == "failed") != (given is not None):
        raise ApiError(400, "bad_body", "error: needed for the outcome `failed`, and only for it.")
    if given is None:
        return None
    try:
        return read_graph_error(decode_item(given, _decode_error, _MAX_ERROR_BYTES))
    except (ValueError, RecursionError) as fault:
        raise ApiError(400, "bad_body", f"error: {fault}.") from None


def _check(message_id: str) -> None:
    try:
        check_message_id(message_id)
    except ValueError as fault:
        raise ApiError(400, "bad_body", f"{fault}.") from None


ENDPOINTS = (
    Endpoint("POST", "/v1/retries/claim", claim_retries, "sender"),
    Endpoint("POST", "/v1/retries/{id}", report_retry, "sender", errors=(404, 409), autocommit=True),
)
