"""A check's answer about one contact, made of what stands against it. Which row decides is asked of the rules."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct

from webhook_app.rules.incidents.pauses import Pause
from webhook_app.rules.suppressions.blocking import awaits_its_probe, blocking, is_half_open, why
from webhook_app.store.suppressions.checks import ContactSuppression, Key
from webhook_app.web.api.values import Time
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.people.contacts import Address, InvalidAddress, display

_ASK_AGAIN_SECONDS = 60
"""While sending is paused nobody knows for how long."""

Verdict = Annotated[
    Literal["send", "suppressed", "wait", "invalid"],
    Meta(description="wait: not now, and asking again makes sense after `retry_after`."),
]


class MatchedOn(Struct):
    """What the suppression stands under: what was asked, another spelling of it, or a linked contact."""

    kind: Literal["number", "user_id", "variant", "linked"]
    contact: str


class CheckResult(Struct, kw_only=True):
    """May this contact be written to? `allowed` is true for the verdict `send` alone."""

    contact: Annotated[str, Meta(description="The canonical form; what was asked when that is invalid.")]
    input: Annotated[str, Meta(description="What was asked.")]
    allowed: bool
    verdict: Verdict
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
    retry_after: Annotated[int | None, Meta(description="Whole seconds until asking again makes sense.")] = (
        None
    )
    matched_on: MatchedOn | None = None
    window_open: Annotated[
        bool, Meta(description="The contact wrote or called within 24 hours, so that replies are free-form.")
    ] = False
    probe: Annotated[
        bool,
        Meta(description="A suppression has run out and this message finds out: nobody else is let through."),
    ] = False


class CheckTerms(Struct, frozen=True):
    """What all contacts of a check are judged by."""

    category: str | None
    stop_blocks_all: bool
    now: datetime
    pause: Pause | None = None


class ProbeCandidate(Struct, frozen=True):
    """Nothing stands against it but this one, whose time is over: to be let through if nobody else is."""

    address: Address
    row: ContactSuppression
    window_open: bool


def judge(
    address: Address, rows: Sequence[ContactSuppression], window_open: bool, terms: CheckTerms
) -> CheckResult | ProbeCandidate:
    """The answer, or that it depends on who asks first."""
    closed = [row for row in rows if not is_half_open(row, terms.now)] if rows else rows
    found = blocking(closed, terms.category, window_open, terms.stop_blocks_all) if closed else None
    if found is not None:
        return _blocked(address, found, terms.now, window_open)
    if terms.pause is not None:
        return _paused(address, terms.pause, window_open)
    if rows and (half_open := blocking(rows, terms.category, window_open, terms.stop_blocks_all)):
        if awaits_its_probe(half_open, terms.now):
            return waits_for_probe(address, half_open, half_open.probe_until or terms.now, terms, window_open)
        return ProbeCandidate(address, half_open, window_open)
    return free(address, window_open)


def invalid(address: InvalidAddress) -> CheckResult:
    """There is nobody to send to."""
    given = address.as_given
    return CheckResult(contact=given, input=given, allowed=False, verdict="invalid", reason=address.reason)


def free(address: Address, window_open: bool, *, probe: bool = False) -> CheckResult:
    """Nothing stands against it."""
    return CheckResult(
        contact=display(address.key),
        input=address.as_given,
        allowed=True,
        verdict="send",
        window_open=window_open,
        probe=probe,
    )


def waits_for_probe(
    address: Address, row: ContactSuppression, until: datetime, terms: CheckTerms, window_open: bool
) -> CheckResult:
    """Somebody else was let through to find out."""
    return CheckResult(
        contact=display(address.key),
        input=address.as_given,
        allowed=False,
        verdict="wait",
        scope="all",
        reason=row.reason,
        why=why(row.reason, row.code, half_open=True),
        code=None if row.code == NO_CODE else row.code,
        since=row.since,
        retry_after=_seconds(until - terms.now),
        matched_on=_matched_on(address, row),
        window_open=window_open,
    )


def claimed(found: ProbeCandidate, mine: set[Key], until: datetime, terms: CheckTerms) -> CheckResult:
    """The answer to whoever asked first, or to the others."""
    if found.row.key in mine:
        return free(found.address, found.window_open, probe=True)
    return waits_for_probe(found.address, found.row, until, terms, found.window_open)


def _blocked(address: Address, row: ContactSuppression, now: datetime, window_open: bool) -> CheckResult:
    until = row.until
    pauses = until is not None and explain(row.code).retry == "after_window"
    return CheckResult(
        contact=display(address.key),
        input=address.as_given,
        allowed=False,
        verdict="wait" if pauses else "suppressed",
        scope="marketing" if row.scope == "marketing" else "all",
        reason=row.reason,
        why=why(row.reason, row.code),
        code=None if row.code == NO_CODE else row.code,
        since=row.since,
        until=until,
        retry_after=None if until is None else _seconds(until - now),
        matched_on=_matched_on(address, row),
        window_open=window_open,
    )


def _paused(address: Address, pause: Pause, window_open: bool) -> CheckResult:
    entry = explain(pause.code)
    return CheckResult(
        contact=display(address.key),
        input=address.as_given,
        allowed=False,
        verdict="wait",
        scope="all",
        reason="paused",
        why=f"Sending is paused because of alert {pause.alert_id}: {entry.summary or entry.title}",
        code=pause.code,
        since=pause.since,
        retry_after=_ASK_AGAIN_SECONDS,
        window_open=window_open,
    )


def _seconds(wait: timedelta) -> int:
    return max(0, math.ceil(wait.total_seconds()))


def _matched_on(address: Address, row: ContactSuppression) -> MatchedOn:
    stands_under = row.seen_as or row.contact
    if row.contact != address.key:
        return MatchedOn("linked", display(stands_under))
    if address.kind == "user_id":
        return MatchedOn("user_id", display(address.key))
    # Two spellings at most are one person's, so two that both differ from the key are the same.
    same = address.is_variant == (stands_under != address.key)
    return MatchedOn("number" if same else "variant", display(stands_under))
