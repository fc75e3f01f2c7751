"""/v1/check: may these contacts be written to? What sending systems ask before every message."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from webhook_app.rules.suppression import blocking
from webhook_app.store import contacts, suppression_changes, suppressions
from webhook_app.store.suppressions import Suppression
from webhook_app.web.endpoints import Call, Endpoint
from webhook_app.web.values import Contact, PhoneNumberId, Time, Word
from webhook_app.whatsapp.contacts import Address, InvalidAddress, display, parse_address
from webhook_app.whatsapp.error_codes import explain
from webhook_app.whatsapp.events import NO_CODE

MAX_CONTACTS = 10_000

Category = Annotated[
    Word,
    Meta(
        description="marketing, utility, authentication or service; absent or unknown is judged as marketing."
    ),
]
_Number = Annotated[
    PhoneNumberId,
    Meta(description="The business number that is to send; absent: judged for all of them at once."),
]
_Verdict = Annotated[
    Literal["send", "suppressed", "wait", "invalid"],
    Meta(description="wait: Meta asks for a pause, and sending again makes sense after `retry_after`."),
]


class CheckBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Whom a message is to go to, from which number and of which category."""

    contacts: Annotated[list[Contact], Meta(max_length=MAX_CONTACTS)]
    phone_number_id: _Number | None = None
    category: Category | None = None


class CheckQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    phone_number_id: _Number | None = None
    category: Category | None = None


class MatchedOn(Struct):
    """What the suppression stands under: what was asked, another spelling of it, or a linked contact."""

    kind: Literal["number", "user_id", "variant", "linked"]
    contact: str


class Result(Struct, kw_only=True):
    """May this contact be written to? `allowed` is true for the verdict `send` alone."""

    contact: Annotated[str, Meta(description="The canonical form; what was asked when that is invalid.")]
    input: Annotated[str, Meta(description="What was asked.")]
    allowed: bool
    verdict: _Verdict
    scope: Literal["all", "marketing"] | None = None
    reason: Annotated[
        str | None, Meta(description="opted_out, manual, hard or unreachable; for `invalid` a sentence.")
    ] = None
    code: Annotated[int | None, Meta(description="The error code that led to it.")] = None
    since: Time | None = None
    until: Annotated[
        Time | None, Meta(description="When it ends by itself; null: until something lifts it.")
    ] = None
    retry_after: Annotated[int | None, Meta(description="Whole seconds until then.")] = None
    matched_on: MatchedOn | None = None
    window_open: Annotated[
        bool, Meta(description="The contact wrote or called within 24 hours, so that replies are free-form.")
    ] = False


class Summary(Struct):
    """How many contacts got which verdict."""

    send: int
    suppressed: int
    wait: int
    invalid: int


class CheckAnswer(Struct, kw_only=True):
    """The results in the order asked. `version`: the latest change in the feed that they take into account."""

    as_of: Time
    version: int
    results: list[Result]
    summary: Summary


def check_contacts(call: Call, body: CheckBody) -> CheckAnswer:
    """May these contacts be written to? Up to 10 000 at once, answered in the order asked.

    Without a category they are judged as for marketing, the strictest. Without a phone_number_id what holds for any
    business number counts. The version, which is also the ETag, is the latest change of /v1/changes in the answer.
    """
    version = _stamp(call)
    results = _judge(call, body.contacts, body.phone_number_id, body.category)
    counts = Counter(result.verdict for result in results)
    summary = Summary(counts["send"], counts["suppressed"], counts["wait"], counts["invalid"])
    return CheckAnswer(as_of=call.now, version=version, results=results, summary=summary)


def check_contact(call: Call, contact: Contact, query: CheckQuery) -> Result:
    """May this contact be written to? One result of POST /v1/check."""
    _stamp(call)
    return _judge(call, [contact], query.phone_number_id, query.category)[0]


def _stamp(call: Call) -> int:
    """The feed's version, read before the rows: these may then be newer than it says, never older."""
    version = suppression_changes.latest_seq(call.connection)
    call.headers["ETag"] = f'"{version}"'
    return version


def _judge(
    call: Call, asked: Sequence[str], phone_number_id: str | None, category: str | None
) -> list[Result]:
    addresses = [parse_address(text) for text in asked]
    keys = [address.key for address in addresses if isinstance(address, Address)]
    people = contacts.links_of_many(call.connection, keys)
    everybody = list({key for linked in people.values() for key in linked})
    standing: dict[str, list[Suppression]] = {}
    for row in suppressions.active(call.connection, everybody, phone_number_id, call.now):
        standing.setdefault(row.contact, []).append(row)
    wrote = contacts.last_inbound_many(call.connection, everybody, phone_number_id, call.now)
    stop_blocks_all = call.settings.stop_blocks == "all"

    def result(address: Address | InvalidAddress) -> Result:
        if isinstance(address, InvalidAddress):
            given = address.as_given
            return Result(contact=given, input=given, allowed=False, verdict="invalid", reason=address.reason)
        linked = people[address.key]
        window_open = any(key in wrote for key in linked)
        rows = [row for key in linked for row in standing.get(key, ())]
        found = blocking(rows, category, window_open, stop_blocks_all)
        if found is None:
            return _free(address, window_open)
        return _blocked(address, found, call.now, window_open)

    return [result(address) for address in addresses]


def _free(address: Address, window_open: bool) -> Result:
    return Result(
        contact=display(address.key),
        input=address.as_given,
        allowed=True,
        verdict="send",
        window_open=window_open,
    )


def _blocked(address: Address, row: Suppression, now: datetime, window_open: bool) -> Result:
    until = row.until
    pauses = until is not None and explain(row.code).retry == "after_window"
    return Result(
        contact=display(address.key),
        input=address.as_given,
        allowed=False,
        verdict="wait" if pauses else "suppressed",
        scope="marketing" if row.scope == "marketing" else "all",
        reason=row.reason,
        code=None if row.code == NO_CODE else row.code,
        since=row.since,
        until=until,
        retry_after=None if until is None else math.ceil((until - now).total_seconds()),
        matched_on=_matched_on(address, row),
        window_open=window_open,
    )


def _matched_on(address: Address, row: Suppression) -> MatchedOn:
    stands_under = row.seen_as or row.contact
    if row.contact != address.key:
        return MatchedOn("linked", display(stands_under))
    if address.kind == "user_id":
        return MatchedOn("user_id", display(address.key))
    # Two spellings at most are one person's, so two that both differ from the key are the same.
    same = address.is_variant == (stands_under != address.key)
    return MatchedOn("number" if same else "variant", display(stands_under))


ENDPOINTS = (
    Endpoint("POST", "/v1/check", check_contacts, "sender"),
    Endpoint("GET", "/v1/check/{contact}", check_contact, "sender"),
)
