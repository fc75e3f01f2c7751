"""The API calls of a sender, with typed answers. `local_copy` keeps a copy of the suppressions."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from secrets import token_hex
from typing import Any, Self, TypeVar

import httpx
import msgspec
from msgspec import Struct

from webhook_app.client.calls import Calls, UnreachableError
from webhook_app.whatsapp.errors.catalogue import ErrorCode
from webhook_app.whatsapp.errors.retry import RetryAdvice

MAX_CONTACTS = 10_000
MAX_SENDS = 1_000
MAX_MESSAGES = 100
"""In a call of `preflight`: one call may use 100 different templates."""
_PAGE = 1_000

Kind = TypeVar("Kind")


class CurrentOwner(Struct, frozen=True, kw_only=True):
    """Who owns a conversation that Meta routes. `is_you`: whether free-form messages of this app are taken."""

    is_you: bool
    role: str | None
    """ai_agent, escalation or another of Meta's."""
    since: datetime


class Answer(Struct, frozen=True, kw_only=True):
    """Whether a message to this contact is allowed; if not, why, and until when."""

    contact: str
    input: str
    allowed: bool
    verdict: str
    """send, suppressed, wait or invalid."""
    scope: str | None = None
    reason: str | None = None
    why: str | None = None
    code: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    retry_after: int | None = None
    window_open: bool = False
    probe: bool = False
    try_elsewhere: bool = False
    """Another channel is the better choice now."""
    try_elsewhere_reason: str | None = None
    """unreachable, withheld or paused."""
    conversation_owner: CurrentOwner | None = None
    """None: Meta has handed nothing over, or the check named no business number."""


class Send(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One send call: accepted, with a `message_id`, or failed, with Meta's `error` object."""

    contact: str
    input: str | None = None
    wa_id: str | None = None
    """`contacts[0].input` and `wa_id` of Meta's answer, where the recipient has another id than the number."""
    phone_number_id: str = ""
    message_id: str | None = None
    template: str | None = None
    campaign: str | None = None
    category: str | None = None
    sent_at: datetime | None = None
    error: Mapping[str, Any] | None = None
    endpoint: str = ""
    request: Mapping[str, Any] | None = None


class Report(Struct, frozen=True, kw_only=True):
    """The result of one reported send; for a failed call with the meaning of its code and retry advice."""

    result: str
    """stored, duplicate or invalid."""
    message_id: str | None = None
    contact: str | None = None
    reason: str | None = None
    meaning: ErrorCode | None = None
    retry_advice: RetryAdvice | None = None


class MessageProblem(Struct, frozen=True, kw_only=True):
    """One problem of a message that is to be sent. `expected`: whether Meta probably answers the code."""

    code: int | None
    field: str
    message: str
    fix: str
    severity: str
    """refuse or warn."""
    expected: bool


class JudgedMessage(Struct, frozen=True, kw_only=True):
    """Whether a message should be sent; if not, or if something may go wrong, why, and what to do."""

    allowed: bool
    verdict: str
    """send, warn or refuse."""
    expected_code: int | None
    problems: tuple[MessageProblem, ...]
    check: Answer | None
    fallback_templates: tuple[Mapping[str, str], ...]


class ClaimedRetry(Struct, frozen=True, kw_only=True):
    """A failed message that this sender has leased: send it again, then report the outcome."""

    id: int
    lease: str
    message_id: str
    first_message_id: str
    contact: str
    phone_number_id: str
    template: str
    campaign: str
    category: str
    callback_data: str
    code: int | None
    subcode: int | None
    why: str
    attempt: int
    leased_until: datetime
    later_message_id: str
    """A later message of the same template and campaign to the contact: it may be this retry, sent already."""


class RetryResult(Struct, frozen=True, kw_only=True):
    """A retry after its report: waiting until `due_at`, sent, done or dead."""

    id: int
    state: str
    reason: str
    attempts: int
    due_at: datetime | None


class FeedChange(Struct, frozen=True, kw_only=True):
    """One entry of the change feed. Contact, number, scope and reason identify the suppression it changes."""

    seq: int
    at: datetime
    action: str
    contact: str
    aliases: tuple[str, ...]
    """The person's other numbers and user ids, as known when the feed was read."""
    phone_number_id: str
    scope: str
    reason: str
    code: int | None
    until: datetime | None


class _CheckResponse(Struct):
    results: list[Answer]


class _SendsResponse(Struct):
    results: list[Report]


class _RetriesResponse(Struct):
    retries: list[ClaimedRetry]


class _PreflightResponse(Struct):
    results: list[JudgedMessage]


class _ChangesResponse(Struct):
    changes: list[FeedChange]
    next_since: int
    next_cursor: str | None
    suppress: str = "on"


class Client:
    """A client of one service. It is thread-safe; close it, or use it as a context manager."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float = 10.0,
        tries: int = 4,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.is_shadow = False
        """Whether the service only recorded suppressions by rules when changes were last read (SUPPRESS=shadow)."""
        self._calls = Calls(
            url, key, timeout_seconds=timeout_seconds, tries=tries, transport=transport, sleep=sleep
        )

    def check(
        self,
        contacts: Sequence[str],
        *,
        phone_number_id: str | None = None,
        category: str | None = None,
        probe: bool = True,
    ) -> list[Answer]:
        """Check any number of contacts; returns an answer for each, in the same order.

        A contact whose suppression has expired is allowed one message, as a probe; `probe=False` does not claim it.
        """
        options = {"phone_number_id": phone_number_id, "category": category, "probe": probe}
        return [
            answer
            for batch in _batches(contacts, MAX_CONTACTS)
            for answer in self._post("/v1/check", {"contacts": batch, **options}, _CheckResponse).results
        ]

    def preflight(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        phone_number_id: str,
        category: str | None = None,
        probe: bool = True,
    ) -> list[JudgedMessage]:
        """Judge any number of messages in Meta's own format before they are sent; a judgement for each, in order.

        The check of the contacts is part of it; `probe` is as for `check`.
        """
        options = {"phone_number_id": phone_number_id, "category": category, "probe": probe}
        return [
            judgement
            for batch in _batches(messages, MAX_MESSAGES)
            for judgement in self._post(
                "/v1/preflight", {"messages": batch, **options}, _PreflightResponse
            ).results
        ]

    def report(self, sends: Sequence[Send]) -> list[Report]:
        """Report any number of sends and failed calls; returns a report for each, in the same order. Idempotent."""
        return [
            report
            for batch in _batches(sends, MAX_SENDS)
            for report in self._post("/v1/sends", {"sends": batch}, _SendsResponse).results
        ]

    def claim_retries(
        self,
        limit: int = 100,
        *,
        lease_seconds: int = 60,
        phone_number_id: str | None = None,
        template: str | None = None,
        campaign: str | None = None,
    ) -> list[ClaimedRetry]:
        """Lease failed messages that are due to be sent again; nobody else gets them for `lease_seconds`."""
        filters = {"phone_number_id": phone_number_id, "template": template, "campaign": campaign}
        body = {"limit": limit, "lease_seconds": lease_seconds, "claim_id": token_hex(16), **filters}
        return self._post("/v1/retries/claim", body, _RetriesResponse).retries

    def report_retry(
        self, retry: ClaimedRetry, *, message_id: str | None = None, error: Mapping[str, Any] | None = None
    ) -> RetryResult:
        """Report that the message was sent again as `message_id`, or Meta's `error`; with neither, give it up.

        Raises RefusedError with the code lease_lost if the lease had ended and somebody else has the message.
        """
        outcome = "sent" if message_id else "gave_up" if error is None else "failed"
        body = {"lease": retry.lease, "outcome": outcome, "message_id": message_id, "error": error}
        return self._post(f"/v1/retries/{retry.id}", body, RetryResult)

    def changes(self, since: int = 0) -> Iterator[FeedChange]:
        """Return every change to the suppressions after `since` (a `seq`), in order, up to the latest."""
        while True:
            query = {"since": since, "limit": _PAGE}
            page = _read(self._calls.make("GET", "/v1/changes", query=query), _ChangesResponse)
            self.is_shadow = page.suppress == "shadow"
            yield from page.changes
            if page.next_cursor is None:
                return
            since = page.next_since

    def explain(self, code: int, subcode: int | None = None) -> ErrorCode:
        """Return the meaning of one of Meta's error codes."""
        path = f"/v1/codes/{code}" if subcode is None else f"/v1/codes/{code}/{subcode}"
        return _read(self._calls.make("GET", path), ErrorCode)

    def close(self) -> None:
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, path: str, body: object, kind: type[Kind]) -> Kind:
        return _read(self._calls.make("POST", path, body=msgspec.json.encode(body)), kind)


def _batches(items: Sequence[Kind], size: int) -> Iterator[Sequence[Kind]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _read(response: httpx.Response, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.DecodeError as fault:
        raise UnreachableError(f"The response is not from this service: {fault}") from fault
