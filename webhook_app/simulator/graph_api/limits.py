"""Meta's limits on sends, counted: per business number, per pair of number and recipient, and calls of the app.

Time is an argument, in seconds of a clock that never goes back.
"""

from collections import deque

from msgspec import Struct

TOO_MANY_CALLS = 4
TOO_MANY_SENDS = 130429
TOO_MANY_TO_ONE = 131056

_PAIR_SECONDS = 6.0  # between two messages to one recipient, apart from the burst
_HOUR = 3600.0
_MOST_PAIRS = 10_000


class Allowed(Struct, frozen=True):
    """What Meta allows. 0 calls per hour: any number."""

    sends_per_second: int = 80
    pair_burst: int = 45
    calls_per_hour: int = 0


class Limits:
    """Counts calls and sends; each method returns the code of a limit that is reached, else None."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._calls: deque[float] = deque()
        self._sends: dict[str, deque[float]] = {}
        self._free_at: dict[tuple[str, str], float] = {}
        """When a pair has its whole burst again."""

    @property
    def used_percent(self) -> int | None:
        """The share of the calls per hour that is used up; None without a limit."""
        most = self._allowed.calls_per_hour
        return 100 * len(self._calls) // most if most else None

    def count_call(self, now: float) -> int | None:
        """Count one call of any kind, unless the limit per hour is reached."""
        if not self._allowed.calls_per_hour:
            return None
        _forget(self._calls, now - _HOUR)
        if len(self._calls) >= self._allowed.calls_per_hour:
            return TOO_MANY_CALLS
        self._calls.append(now)
        return None

    def count_send(self, phone_number_id: str, recipient: str, now: float) -> int | None:
        """Count one send, unless its business number or its pair has reached a limit."""
        sends = self._sends.setdefault(phone_number_id, deque())
        _forget(sends, now - 1.0)
        if len(sends) >= self._allowed.sends_per_second:
            return TOO_MANY_SENDS
        pair = phone_number_id, recipient
        free_at = max(self._free_at.get(pair, now), now) + _PAIR_SECONDS
        if free_at - now > _PAIR_SECONDS * self._allowed.pair_burst:
            return TOO_MANY_TO_ONE
        if len(self._free_at) > _MOST_PAIRS:
            self._free_at = {each: at for each, at in self._free_at.items() if at > now}
        self._free_at[pair] = free_at
        sends.append(now)
        return None


def _forget(times: deque[float], before: float) -> None:
    while times and times[0] <= before:
        times.popleft()
