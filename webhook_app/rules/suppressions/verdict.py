"""Decides whether a contact may be messaged: suppressions, the service window and a pause in, a verdict out.

Reads no clock and no rows: the caller passes `now` and everything stored that matters.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.rules.incidents.pauses import Pause
from webhook_app.rules.suppressions.blocking import (
    BY_PEOPLE,
    EndingSuppression,
    awaits_probe,
    blocking_suppression,
    end_of,
    is_authentication,
    is_half_open,
    why,
)
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.events import NO_CODE

Key = tuple[str, str, str, str]
"""contact, phone_number_id, scope, reason of a suppression."""

Elsewhere = Literal["unreachable", "withheld", "paused"]
"""unreachable: messages do not arrive. withheld: Meta delivers no marketing now. paused: a code cannot wait."""

_PAUSE_RETRY_SECONDS = 60  # nobody knows how long a pause lasts
_BLOCKED_BY_US = 130403  # the remedy is to unblock the person


class CheckedSuppression(EndingSuppression, Protocol):
    """A suppression as a check reads it."""

    @property
    def contact(self) -> str: ...
    @property
    def seen_as(self) -> str: ...
    @property
    def code(self) -> int: ...
    @property
    def since(self) -> datetime | None: ...
    @property
    def key(self) -> Key: ...


class CheckTerms(Struct, frozen=True):
    """What applies to all contacts of a check."""

    category: str | None
    stop_blocks_all: bool
    now: datetime
    pause: Pause | None = None
    shadow: bool = False
    """Suppressions by rules block nobody; the verdict tells what they would have led to."""


class Verdict(Struct, frozen=True, kw_only=True):
    """The decision about one contact, with its reason.

    `needs_probe`: only this expired suppression is in the way; the first caller to claim its probe may send.
    """

    verdict: Literal["send", "suppressed", "wait"]
    scope: Literal["all", "marketing"] | None = None
    reason: str | None = None
    """The reason of a suppression, or paused."""
    why: str | None = None
    code: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    retry_after: int | None = None
    """Whole seconds."""
    suppression: CheckedSuppression | None = None
    needs_probe: bool = False
    probe: bool = False
    """This message is the probe."""
    elsewhere: Elsewhere | None = None
    """Why another channel is the better choice now; None if the person stopped it: no channel bypasses that."""
    would_be: "Verdict | None" = None
    """In shadow mode: the verdict that suppressions by rules would have led to, if it differs and blocks."""


SEND = Verdict(verdict="send")


def decide(suppressions: Sequence[CheckedSuppression], window_open: bool, terms: CheckTerms) -> Verdict:
    """The verdict on a contact with these suppressions. `window_open`: see `asks_for_replies`."""
    in_force = [row for row in suppressions if row.reason in BY_PEOPLE] if terms.shadow else suppressions
    verdict = _decide(in_force, window_open, terms)
    if len(in_force) == len(suppressions):
        return verdict
    would_be = _decide(suppressions, window_open, terms)
    return (
        verdict if would_be.verdict == "send" or would_be == verdict else replace(verdict, would_be=would_be)
    )


def _decide(suppressions: Sequence[CheckedSuppression], window_open: bool, terms: CheckTerms) -> Verdict:
    if not suppressions:
        return SEND if terms.pause is None else _paused(terms.pause, terms.category)
    closed = [row for row in suppressions if not is_half_open(row, terms.now)]
    closed.sort(key=end_of, reverse=True)
    if found := blocking_suppression(closed, terms.category, window_open, terms.stop_blocks_all):
        return _blocked(found, terms.now)
    if terms.pause is not None:
        return _paused(terms.pause, terms.category)
    half_open = blocking_suppression(suppressions, terms.category, window_open, terms.stop_blocks_all)
    if half_open is None:
        return SEND
    if awaits_probe(half_open, terms.now):
        return _awaiting_probe(half_open, half_open.probe_until or terms.now, terms.now)
    return Verdict(verdict="send", suppression=half_open, needs_probe=True)


def after_claim(verdict: Verdict, *, is_claimed: bool, until: datetime, now: datetime) -> Verdict:
    """The verdict once it is known whether the caller claimed the probe; `until`: when the claim expires."""
    if is_claimed or verdict.suppression is None:
        return Verdict(verdict="send", probe=True)
    return _awaiting_probe(verdict.suppression, until, now)


def _awaiting_probe(row: CheckedSuppression, until: datetime, now: datetime) -> Verdict:
    return Verdict(
        verdict="wait",
        scope="all",
        reason=row.reason,
        why=why(row.reason, row.code, half_open=True),
        code=_code(row),
        since=row.since,
        retry_after=_seconds(until - now),
        suppression=row,
        elsewhere="unreachable",
    )


def _blocked(row: CheckedSuppression, now: datetime) -> Verdict:
    ends_soon = row.until is not None and explain(row.code).retry == "after_window"
    return Verdict(
        verdict="wait" if ends_soon else "suppressed",
        scope="marketing" if row.scope == "marketing" else "all",
        reason=row.reason,
        why=why(row.reason, row.code, row.until),
        code=_code(row),
        since=row.since,
        until=row.until,
        retry_after=None if row.until is None else _seconds(row.until - now),
        suppression=row,
        elsewhere=_elsewhere(row),
    )


def _elsewhere(row: CheckedSuppression) -> Elsewhere | None:
    if row.reason in BY_PEOPLE or row.code == _BLOCKED_BY_US:
        return None
    return "withheld" if row.scope == "marketing" else "unreachable"


def _paused(pause: Pause, category: str | None) -> Verdict:
    entry = explain(pause.code)
    return Verdict(
        verdict="wait",
        scope="all",
        reason="paused",
        why=f"Sending is paused because of alert {pause.alert_id}: {entry.summary or entry.title}",
        code=pause.code,
        since=pause.since,
        retry_after=_PAUSE_RETRY_SECONDS,
        elsewhere="paused" if is_authentication(category) else None,
    )


def _code(row: CheckedSuppression) -> int | None:
    return None if row.code == NO_CODE else row.code


def _seconds(wait: timedelta) -> int:
    return max(0, math.ceil(wait.total_seconds()))
