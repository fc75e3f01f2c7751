"""/v1/preflight: messages in Meta's own format, judged before they are sent, without asking Meta."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import msgspec
import prometheus_client
from msgspec import Meta, Struct

from webhook_app.event_loop import paced
from webhook_app.rules.sends.message_format import contact_of
from webhook_app.rules.sends.preflight import Judged, judge
from webhook_app.rules.sends.preflight_facts import MediaFile, Problem, RecipientFacts, SendFacts
from webhook_app.rules.sends.sent_template import category_of, template_name
from webhook_app.store.accounts.send_facts import read_send_facts
from webhook_app.store.people import contacts
from webhook_app.store.suppressions import opt_ins
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from
from webhook_app.web.api.suppressions.check import CheckBody, check_all
from webhook_app.web.api.suppressions.check_results import CheckResult
from webhook_app.web.api.values import Time, Word, decode_item
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.people.contacts import contact_key

MAX_MESSAGES = 1_000
MAX_TEMPLATES = 100
"""Different templates in one request."""

_MAX_MESSAGE_BYTES = 64 * 1024
_decode_message = msgspec.json.Decoder(dict[str, Any]).decode

Category = Literal["marketing", "utility", "authentication", "service"]


class FileFacts(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is known of the file of a message; Meta's format does not tell it."""

    mime_type: Word = ""
    bytes: Annotated[int, Meta(ge=0, le=2**53)] = 0


class PreflightBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Messages that one business number is to send."""

    phone_number_id: Annotated[Word, Meta(description="As in the address /{phone_number_id}/messages.")]
    messages: Annotated[
        list[Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]],
        Meta(
            min_length=1,
            max_length=MAX_MESSAGES,
            description="Bodies as they would be posted to Meta, each at most 64 KiB.",
        ),
    ]
    files: Annotated[
        list[FileFacts | None] | None,
        Meta(description="For each message its file, if its type or size is known."),
    ] = None
    category: Annotated[
        Category | None,
        Meta(description="For all; absent: that of the template, service for other messages."),
    ] = None
    probe: Annotated[bool, Meta(description="As for /v1/check: false claims no probe.")] = True


class PreflightProblem(Struct, kw_only=True):
    """One problem of a message."""

    code: Annotated[int | None, Meta(description="The error that it leads to; null if Meta has none.")]
    field: Annotated[str, Meta(description="Where in the body; phone_number_id, token or account otherwise.")]
    message: str
    fix: str
    severity: Annotated[
        Literal["refuse", "warn"],
        Meta(
            description="refuse: Meta refuses it, or it must not be sent. warn: unknown, or after the send."
        ),
    ]
    expected: Annotated[bool, Meta(description="Whether Meta probably answers the code to the send.")]


class FallbackTemplate(Struct, frozen=True):
    """An approved utility template that needs no parameters."""

    name: str
    language: str


class PreflightResult(Struct, kw_only=True):
    """The judgement of one message."""

    allowed: Annotated[bool, Meta(description="Whether no problem is a reason to refuse it.")]
    verdict: Annotated[
        Literal["send", "warn", "refuse"], Meta(description="send: no problem; warn: it may be sent.")
    ]
    expected_code: Annotated[
        int | None, Meta(description="The error that Meta probably answers; null: it accepts the message.")
    ]
    problems: list[PreflightProblem]
    check: Annotated[
        CheckResult | None, Meta(description="The answer of /v1/check; null without a person, as for groups.")
    ]
    fallback_templates: Annotated[
        list[FallbackTemplate],
        Meta(description="What could be sent instead while the window is closed, or the template unusable."),
    ]


class PreflightSummary(Struct):
    """The number of messages with each verdict."""

    send: int
    warn: int
    refuse: int


class PreflightAnswer(Struct, kw_only=True):
    """The results in the order of the messages."""

    as_of: Time
    results: list[PreflightResult]
    summary: PreflightSummary


JUDGED = prometheus_client.Counter(
    "webhook_app_preflight_messages",
    "Messages that senders had judged before the send, by verdict",
    ["verdict"],
)


def preflight(call: Call, body: PreflightBody) -> PreflightAnswer:
    """Judge up to 1 000 messages before they are sent: what would Meta answer, and may the person be messaged?

    Each message is the body that would be posted to Meta's /{phone_number_id}/messages. What is known is judged: the
    form, the recipient, suppressions and opt-ins, the service window, the template with its state and parameters, the
    number, the account and the token. Meta is not asked. Only what is certain refuses a message; what may be out of
    date, or follows after the send, warns. The check is part of it, so /v1/check need not be called as well.
    """
    if body.files is not None and len(body.files) != len(body.messages):
        raise ApiError(400, "bad_body", "files: one for each message, or null.")
    every_place = range(len(body.messages))
    names = sorted({name for place in paced(every_place) if (name := template_name(_message(body, place)))})
    if len(names) > MAX_TEMPLATES:
        raise ApiError(
            400, "bad_body", f"messages: at most {MAX_TEMPLATES} different templates in one request."
        )
    usable = [name for name in names if "\0" not in name]
    facts = read_send_facts(
        call.connection, body.phone_number_id, usable, call.now, call.settings.meta_app_id
    )
    checked = _check(call, body, facts, every_place, claim=False)
    agreed = _opted_in(call, checked.values())
    results = [_judge(call, body, facts, place, checked.get(place), agreed) for place in paced(every_place)]
    probes = [
        place
        for place, each in enumerate(results)
        if each.allowed and each.check is not None and each.check.probe
    ]
    if body.probe and probes:  # a message that is refused must not take the only probe
        for place, result in _check(call, body, facts, probes, claim=True).items():
            results[place] = _judge(call, body, facts, place, result, agreed)
    counts = {name: sum(each.verdict == name for each in results) for name in ("send", "warn", "refuse")}
    for name, messages in counts.items():
        JUDGED.labels(name).inc(messages)
    return PreflightAnswer(as_of=call.now, results=results, summary=PreflightSummary(**counts))


def _message(body: PreflightBody, place: int) -> dict[str, Any]:
    """Decode one message: all of them at once could be millions of values. Raises ApiError."""
    try:
        return decode_item(body.messages[place], _decode_message, _MAX_MESSAGE_BYTES)
    except ValueError as fault:
        raise ApiError(400, "bad_body", f"messages[{place}]: {fault}.") from None


def _judge(
    call: Call,
    body: PreflightBody,
    facts: SendFacts,
    place: int,
    check: CheckResult | None,
    agreed: set[str] | None,
) -> PreflightResult:
    file = body.files[place] if body.files else None
    judged = judge(
        _message(body, place),
        facts,
        None if check is None else _recipient(check, agreed),
        call.now,
        phone_number_id=body.phone_number_id,
        file=None if file is None else MediaFile(mime_type=file.mime_type, bytes=file.bytes),
    )
    return _result(judged, check)


def _check(
    call: Call, body: PreflightBody, facts: SendFacts, places: Iterable[int], *, claim: bool
) -> dict[int, CheckResult]:
    """The check of each message's person, by the place of the message; one check for each category."""
    categories: dict[str | None, list[int]] = {}
    people: dict[int, str] = {}
    for place in paced(places):
        message = _message(body, place)
        if contact := contact_of(message):
            people[place] = contact
            categories.setdefault(body.category or category_of(message, facts), []).append(place)
    found: dict[int, CheckResult] = {}
    for category, some in categories.items():
        asked = [people[place] for place in some]
        query = CheckBody(
            contacts=asked, phone_number_id=body.phone_number_id, category=category, probe=claim
        )
        _, results = check_all(call, asked, query)
        found |= dict(zip(some, results, strict=True))
    return found


def _opted_in(call: Call, checked: Sequence[CheckResult] | Any) -> set[str] | None:
    """The contacts whose holders opted in, under any of their keys; None if opt-ins are not required."""
    if call.settings.opt_in != "required":
        return None
    asked = {each.contact: key for each in checked if (key := contact_key(each.contact))}
    if not asked:
        return set()
    spans = contacts.spans_of_many(call.connection, asked.values())
    stored = opt_ins.with_opt_in(call.connection, spans)
    return {contact for contact, key in asked.items() if key in stored}


def _recipient(result: CheckResult, agreed: set[str] | None) -> RecipientFacts:
    return RecipientFacts(
        verdict=result.verdict,
        why=result.why or result.reason or "",
        code=result.code,
        window_open=result.window_open,
        owned_by=_other_owner(result),
        has_opted_in=None if agreed is None else result.contact in agreed,
    )


def _other_owner(result: CheckResult) -> str:
    owner = result.conversation_owner
    if owner is None or owner.is_you:
        return ""
    return f"another app ({owner.role})" if owner.role else "another app"


def _result(judged: Judged, check: CheckResult | None) -> PreflightResult:
    return PreflightResult(
        allowed=not judged.is_refused,
        verdict="refuse" if judged.is_refused else "warn" if judged.problems else "send",
        expected_code=judged.expected_code,
        problems=[_problem(each) for each in judged.problems],
        check=check,
        fallback_templates=[FallbackTemplate(*each) for each in judged.fallbacks],
    )


def _problem(problem: Problem) -> PreflightProblem:
    return entry_from(problem, PreflightProblem)


ENDPOINTS = (Endpoint("POST", "/v1/preflight", preflight, "sender", only_asks=True, autocommit=True),)
