"""Retry advice for a failed message, from the catalogue entry of its code. No sending, no clock."""

from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.whatsapp.errors.catalogue import ErrorCode, Retry


class RetryAdvice(Struct, frozen=True):
    """Whether and when to resend a message."""

    kind: Retry
    waits_seconds: tuple[int, ...]
    """Backoff only: the wait before each remaining retry; the sender adds jitter."""
    after_seconds: int | None
    """Once and after_window: the minimum wait; None if Meta publishes none."""
    final: bool
    """Do not resend: the code does not allow it, or all retries are used up."""
    words: str


_BACKOFF_SECONDS = (1, 2, 4, 8, 16, 32, 64)
_ONCE_SECONDS = 60
"""Our choice: Meta asks for one retry and gives no time. The causes last seconds, not hours."""
_WINDOW_SECONDS = {131049: 24 * 3600, 133015: 5 * 60}
"""From Meta's pages on per-user marketing limits and on errors. Meta publishes no other window."""

MAX_RETRIES: dict[Retry, int] = {"once": 1, "backoff": len(_BACKOFF_SECONDS)}
"""The number of retries allowed, for the kinds that limit it."""


def retry_advice(entry: ErrorCode, tries: int = 0) -> RetryAdvice:
    """Return the advice after `tries` retries."""
    waits = _BACKOFF_SECONDS[max(tries, 0) :] if entry.retry == "backoff" else ()
    window = _wait(entry, tries)
    used_up = (entry.retry == "backoff" and not waits) or (entry.retry == "once" and tries > 0)
    final = used_up or entry.retry == "no"
    words = "All retries are used up." if used_up else _advice(entry, waits, window)
    return RetryAdvice(entry.retry, waits, window, final, words)


def retry_at(advice: RetryAdvice, failed_at: datetime) -> datetime | None:
    """Return the earliest time to resend; None if never, only after a fix, or if Meta publishes no time."""
    if advice.final:
        return None
    seconds = advice.waits_seconds[0] if advice.waits_seconds else advice.after_seconds
    return None if seconds is None else failed_at + timedelta(seconds=seconds)


def _wait(entry: ErrorCode, tries: int) -> int | None:
    if entry.retry == "once":
        return _ONCE_SECONDS if tries < 1 else None
    return _WINDOW_SECONDS.get(entry.code) if entry.retry == "after_window" else None


def _advice(entry: ErrorCode, waits: tuple[int, ...], window: int | None) -> str:
    match entry.retry:
        case "no":
            return f"Do not resend. {entry.action}"
        case "once":
            return f"Retry once, after one minute. {entry.action}"
        case "backoff":
            return f"Retry after {', '.join(map(str, waits))} s, each with jitter. {entry.action}"
        case "after_fix":
            return f"Do not resend until the cause is fixed. {entry.action}"
        case "after_window" if window:
            wait = f"{window // 3600} h" if window >= 3600 else f"{window // 60} min"
            return f"Do not resend for at least {wait}. {entry.action}"
        case _:
            return f"Meta publishes no fixed waiting time. {entry.action}"
