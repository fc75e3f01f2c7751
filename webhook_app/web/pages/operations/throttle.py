"""Slows down whoever guesses keys: a few wrong ones a minute for each address, counted in this process. No HTTP."""

from collections import deque
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

_MAX_ADDRESSES = 10_000


class Throttle:
    """Wrong attempts of the last minute, by address."""

    def __init__(self, limit: int = 10, per: timedelta = timedelta(minutes=1)) -> None:
        self._limit = limit
        self._per = per
        self._failed: dict[str, deque[datetime]] = {}

    def wait(self, address: str, now: datetime) -> timedelta:
        """How long this address has to wait before its next attempt; zero for most."""
        held = self._failed.get(address)
        while held and held[0] <= now - self._per:
            held.popleft()
        return held[0] + self._per - now if held and len(held) >= self._limit else timedelta(0)

    def count(self, address: str, now: datetime) -> None:
        """Remember a wrong attempt."""
        if len(self._failed) >= _MAX_ADDRESSES:
            self._failed = {a: h for a, h in self._failed.items() if h and h[-1] > now - self._per}
        self._failed.setdefault(address, deque(maxlen=self._limit)).append(now)


def origin(peer: str, forwarded_for: str) -> str:
    """Whom to count an attempt against: the peer, or the client that a proxy on a private network names.

    A client on the public internet cannot choose its own name. One IPv6 customer has a /64: all of it is one address.
    """
    named = forwarded_for.rpartition(",")[2].strip()
    return _block(named) if named and _is_private(peer) else _block(peer)


def _is_private(address: str) -> bool:
    try:
        return ip_address(address).is_private
    except ValueError:
        return True  # a Unix socket: only a proxy on this host


def _block(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    return str(parsed.packed[:8]) if isinstance(parsed, IPv6Address) else str(parsed)
