"""Whether and when to send a failed message again, from what the catalogue says of its code. No sending, no clock."""

from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.whatsapp.errors.catalogue import ErrorCode, Retry


class RetryAdvice(Struct, frozen=True):
    """Whether and when to send the same message again."""

    kind: Retry
    waits_seconds: tuple[int, ...]
    """Backoff only: the wait before each try that is left, to which the sender adds jitter."""
    after_seconds: int | None
    """Once and after_window: how long to wait at least, None when Meta publishes no time."""
    final: bool
    """Nothing is left to try with this message: the code forbids it or the tries are used up."""
    words: str


_BACKOFF_SECONDS = (1, 2, 4, 8, 16, 32, 64)
_ONCE_SECONDS = 60
"""Ours: Meta asks for a second try of such errors and says nothing of when; their causes last seconds, not hours."""
_WINDOW_SECONDS = {131049: 24 * 3600, 133015: 5 * 60}
"""From Meta's pages on per-user marketing limits and on errors; no other window is published."""

TRIES: dict[Retry, int] = {"once": 1, "backoff": len(_BACKOFF_SECONDS)}
"""How many repetitions of a failed send each kind of advice allows; the other kinds do not count them."""


def retry_advice(entry: ErrorCode, tries: int = 0) -> RetryAdvice:
    """Advice after `tries` repetitions of a failed send."""
    waits = _BACKOFF_SECONDS[max(tries, 0) :] if entry.retry == "backoff" else ()
    window = _wait(entry, tries)
    used_up = (entry.retry == "backoff" and not waits) or (entry.retry == "once" and tries > 0)
    final = used_up or entry.retry == "no"
    words = "The tries are used up." if used_up else _advice(entry, waits, window)
    return RetryAdvice(entry.retry, waits, window, final, words)


def retry_at(advice: RetryAdvice, failed_at: datetime) -> datetime | None:
    """When to send again at the earliest; None when that is never, after a fix, or at no published time."""
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
            return f"Do not send it again. {entry.action}"
        case "once":
            return f"Send it once more after a minute, not oftener. {entry.action}"
        case "backoff":
            return f"Send it again after {', '.join(map(str, waits))} s, each with jitter. {entry.action}"
        case "after_fix":
            return f"Send it again only when the cause is mended. {entry.action}"
        case "after_window" if window:
            wait = f"{window // 3600} h" if window >= 3600 else f"{window // 60} min"
            return f"Send it again after {wait} at the earliest. {entry.action}"
        case _:
            return f"Meta publishes no waiting time. {entry.action}"
