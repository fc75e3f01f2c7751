"""The answer of /v1/check about one contact, as JSON: made from the verdict of rules/suppressions/verdict."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from webhook_app.rules.suppressions.verdict import CheckedSuppression, Elsewhere, Verdict
from webhook_app.web.api.values import Time
from webhook_app.whatsapp.people.contacts import Address, InvalidAddress, display, hints

VerdictName = Annotated[
    Literal["send", "suppressed", "wait", "invalid"],
    Meta(description="wait: do not send now; ask again after `retry_after`."),
]


class MatchedOn(Struct):
    """What the suppression matched: the contact as asked, another spelling of it, or a linked contact."""

    kind: Literal["number", "user_id", "variant", "linked"]
    contact: str


class ConversationOwner(Struct):
    """Who owns a conversation that Meta routes, by its last webhook `messaging_handovers`."""

    is_you: Annotated[bool, Meta(description="false: Meta refuses free-form messages with 131070.")]
    role: Annotated[
        str | None, Meta(description="ai_agent, escalation or another of Meta's; null: not named.")
    ]
    since: Time


class ShadowVerdict(Struct, kw_only=True):
    """The verdict that a suppression in shadow mode would have led to."""

    verdict: Literal["suppressed", "wait"]
    scope: Literal["all", "marketing"] | None
    reason: str | None
    why: str | None
    code: int | None
    since: Time | None
    until: Time | None
    matched_on: MatchedOn | None


class CheckResult(Struct, kw_only=True):
    """Whether this contact may be messaged. `allowed` is true only for the verdict `send`."""

    contact: Annotated[str, Meta(description="The canonical form; the input when that is invalid.")]
    input: Annotated[str, Meta(description="The contact as asked.")]
    allowed: bool
    verdict: VerdictName
    scope: Literal["all", "marketing"] | None = None
    reason: Annotated[
        str | None,
        Meta(description="opted_out, manual, hard, unreachable or paused; for `invalid` a sentence."),
    ] = None
    why: Annotated[str | None, Meta(description="A sentence for people.")] = None
    code: Annotated[int | None, Meta(description="The error code that led to it.")] = None
    since: Time | None = None
    until: Annotated[
        Time | None, Meta(description="When it ends by itself; null: until something lifts it.")
    ] = None
    retry_after: Annotated[int | None, Meta(description="Seconds to wait before asking again.")] = None
    matched_on: MatchedOn | None = None
    window_open: Annotated[
        bool, Meta(description="The contact wrote or called within 24 hours, so that replies are free-form.")
    ] = False
    probe: Annotated[
        bool,
        Meta(
            description="A suppression has expired and this message is the probe: nobody else may send yet."
        ),
    ] = False
    try_elsewhere: Annotated[
        bool, Meta(description="Another channel, such as SMS or e-mail, is the better choice now.")
    ] = False
    try_elsewhere_reason: Annotated[
        Elsewhere | UnsetType,
        Meta(
            description="Only with `try_elsewhere`. unreachable: messages do not arrive at this contact; withheld: Meta"
            " delivers no marketing to this person now; paused: sending is paused, and a code cannot wait."
        ),
    ] = UNSET
    conversation_owner: Annotated[
        ConversationOwner | None,
        Meta(
            description="Who owns the conversation with `phone_number_id`; null without one, and where Meta has handed"
            " nothing over. It does not change the verdict. Meta does not report when an owner releases it."
        ),
    ] = None
    would_be: Annotated[
        ShadowVerdict | UnsetType,
        Meta(
            description="With SUPPRESS=shadow: the verdict with SUPPRESS=on, if that one differs and blocks."
        ),
    ] = UNSET


def result_of(address: Address, verdict: Verdict, *, window_open: bool) -> CheckResult:
    """The answer about a valid contact."""
    row = verdict.suppression
    result = CheckResult(
        contact=display(address.key),
        input=address.as_given,
        allowed=verdict.verdict == "send",
        verdict=verdict.verdict,
        scope=verdict.scope,
        reason=verdict.reason,
        why=verdict.why,
        code=verdict.code,
        since=verdict.since,
        until=verdict.until,
        retry_after=verdict.retry_after,
        matched_on=None if row is None else _matched_on(address, row),
        window_open=window_open,
        probe=verdict.probe,
        would_be=UNSET if verdict.would_be is None else _would_be(address, verdict.would_be),
    )
    if verdict.elsewhere is not None:  # a call with more than 15 keywords takes twice as long
        result.try_elsewhere, result.try_elsewhere_reason = True, verdict.elsewhere
    return result


def _would_be(address: Address, verdict: Verdict) -> ShadowVerdict:
    row = verdict.suppression
    return ShadowVerdict(
        verdict="wait" if verdict.verdict == "wait" else "suppressed",
        scope=verdict.scope,
        reason=verdict.reason,
        why=verdict.why,
        code=verdict.code,
        since=verdict.since,
        until=verdict.until,
        matched_on=None if row is None else _matched_on(address, row),
    )


def invalid_result(address: InvalidAddress) -> CheckResult:
    """The answer about an input that is no contact."""
    given = address.as_given
    return CheckResult(contact=given, input=given, allowed=False, verdict="invalid", reason=address.reason)


def _matched_on(address: Address, row: CheckedSuppression) -> MatchedOn:
    stored_as = row.seen_as or row.contact
    if row.contact in hints(address.key):
        return MatchedOn("variant", display(stored_as))
    if row.contact != address.key:
        return MatchedOn("linked", display(stored_as))
    if address.kind == "user_id":
        return MatchedOn("user_id", display(address.key))
    # A person has at most two spellings, so two that both differ from the key are equal.
    same = address.is_variant == (stored_as != address.key)
    return MatchedOn("number" if same else "variant", display(stored_as))
