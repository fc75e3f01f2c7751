"""Decides whether and when a failed message is sent again. Values and times in, a decision out.

States of a retry: waiting, leased (a sender is sending it), sent (again, as another message), done (it arrived, or
somebody sent it again), dead (a dead letter, for people).
"""

from datetime import datetime, timedelta
from random import Random
from typing import Literal

from msgspec import Struct

from webhook_app.whatsapp.errors.catalogue import Domain, ErrorCode, catalogue, explain
from webhook_app.whatsapp.errors.retry import MAX_RETRIES, retry_advice, retry_at
from webhook_app.whatsapp.events import NO_CODE

State = Literal["waiting", "leased", "sent", "done", "dead"]
Reason = Literal["", "delivered", "resent", "code", "used_up", "expired", "suppressed", "gave_up"]
"""Why a retry is done or dead."""

MAX_ATTEMPTS = MAX_RETRIES["backoff"]
GRACE = timedelta(minutes=2)
"""How long after a lapsed lease its message is not leased: the webhooks of one that was sent arrive meanwhile."""
SOON_WITHIN = timedelta(hours=1)
"""A code that is retried within minutes is retried only if a claim finds its failure within this time."""
REPORTED_WITHIN = timedelta(minutes=1)
"""How long after its failure a message that no key has reported is leased to none, while several keys claim."""
_DAYS = timedelta(days=1)
UNCLAIMED_FOR = 7 * _DAYS
"""How long a retry stays due if nobody claims it: as long as the longest of them matters."""
_LIFETIME = {"backoff": _DAYS, "once": _DAYS, "after_window": 7 * _DAYS}
CODE_LIFETIME = timedelta(minutes=10)
"""Of a message with an authentication code, as Meta's own default for delivering such messages."""
_MAX_JITTER = timedelta(minutes=10)
_OTHER_CALLS: tuple[Domain, ...] = ("calling", "registration")
"""Fault domains of calls to Meta that send no message."""


class NextAttempt(Struct, frozen=True):
    """When to send the message again; `due_at` None: never, with the reason."""

    due_at: datetime | None
    reason: Reason = ""


class DueRetry(Struct, frozen=True, kw_only=True):
    """What is known of a retry that is due. `has_lapsed`: its lease ended without an outcome."""

    code: int
    subcode: int
    category: str
    attempts: int
    first_failed_at: datetime
    has_lapsed: bool
    is_delivered: bool
    is_resent: bool
    """Since the lapsed lease began, another message of the same template or campaign went to the contact."""
    has_moved: bool
    """Somebody else has the number of the contact now."""


class Permission(Struct, frozen=True):
    """Whether the contact may be messaged now; if not, `wait` says when to ask again, None that it stays so."""

    allowed: bool
    wait: timedelta | None = None
    why: str = ""


def next_attempt(
    entry: ErrorCode, attempts: int, failed_at: datetime, seed: str, *, expires_at: datetime
) -> NextAttempt:
    """When to send again after `attempts` retries, the latest of which failed at `failed_at`.

    The wait is the advice's, longer by up to a half and at most ten minutes. `seed` decides by how much: equal values
    give equal times.
    """
    advice = retry_advice(entry, attempts)
    earliest = retry_at(advice, failed_at)
    if entry.domain in _OTHER_CALLS or entry.retry not in _LIFETIME:
        return NextAttempt(None, "code")
    if advice.final or attempts >= MAX_ATTEMPTS:
        return NextAttempt(None, "used_up")
    if earliest is None:
        return NextAttempt(None, "code")
    jitter = min((earliest - failed_at) / 2, _MAX_JITTER) * Random(f"{seed} {attempts}").random()  # noqa: S311
    due_at = earliest + jitter
    return NextAttempt(None, "expired") if due_at >= expires_at else NextAttempt(due_at)


def expires_at(entry: ErrorCode, category: str, first_failed_at: datetime) -> datetime:
    """When nobody wants the message any more."""
    if category.startswith("authentication"):
        return first_failed_at + CODE_LIFETIME
    return first_failed_at + _LIFETIME.get(entry.retry, timedelta(0))


def end_of(retry: DueRetry, now: datetime) -> tuple[State, Reason] | None:
    """How a retry that is due ends without another attempt; None: it may be leased."""
    if retry.is_delivered:
        return "done", "delivered"
    if retry.has_lapsed and retry.is_resent:
        return "done", "resent"
    if retry.has_moved:
        return "dead", "suppressed"
    entry = explain(retry.code, None if retry.subcode == NO_CODE else retry.subcode)
    if retry.attempts >= MAX_ATTEMPTS or retry_advice(entry, retry.attempts).final:
        return "dead", "used_up"
    if now >= expires_at(entry, retry.category, retry.first_failed_at):
        return "dead", "expired"
    return None


def retried_codes() -> tuple[list[int], list[int]]:
    """The codes that are retried within minutes, and those that are retried after a longer time."""
    soon, later = list[int](), list[int]()
    start = datetime(2000, 1, 1)  # noqa: DTZ001  only differences matter
    for entry in catalogue():
        waits = retry_at(retry_advice(entry), start)
        if entry.subcode is None and entry.domain not in _OTHER_CALLS and waits is not None:
            (later if entry.retry == "after_window" else soon).append(entry.code)
    return sorted(soon), sorted(later)
