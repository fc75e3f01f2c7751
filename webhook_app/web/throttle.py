"""Slows down callers who guess keys: counts wrong keys per caller and minute, for all processes and hosts together.

At the API a caller who is over the limit is remembered in this process until the minute ends, and costs no more
statements. Callers for whom the shared table has no room are counted by each process.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from webhook_app.store.operations import wrong_keys
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.store.operations.wrong_keys import WINDOW, Attempts
from webhook_app.store.postgres.engine import Engine
from webhook_app.store.postgres.errors import UNAVAILABLE
from webhook_app.web.receiving.origin import Network, client_address

SIGN_IN_LIMIT = 10
"""Wrong keys per minute in the sign-in form, by address."""
KEY_LIMIT = 100
"""Wrong keys per minute in the sign-in form that begin alike, from all addresses: of ten at least."""
KEY_SIGN_INS = 20
"""Sign-ins per minute with one right key."""
API_LIMIT = 30
"""Wrong keys per minute at the API, by address."""

MAX_CALLERS = 10_000
"""How many callers a process counts itself."""
_PREFIX = 9  # the characters of a key that lists show
_IPV6_CUSTOMER = 64
_NO_WAIT = timedelta(0)


class AttemptCounts:
    """Attempts that this process counts itself. When full, it forgets the callers with the fewest attempts first."""

    def __init__(self) -> None:
        self._known: dict[bytes, Attempts] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, caller: bytes, now: datetime) -> Attempts:
        """The caller's attempts in its window, which begins now if there is none."""
        known = self._known.get(caller)
        return Attempts(0, now + WINDOW) if known is None or known.until <= now else known

    def put(self, caller: bytes, attempts: Attempts, now: datetime) -> None:
        if len(self._known) >= MAX_CALLERS and caller not in self._known:
            self._make_room(now)
        self._known[caller] = attempts

    def add(self, caller: bytes, now: datetime) -> Attempts:
        """Count an attempt; returns the caller's attempts with it."""
        known = self.get(caller, now)
        counted = Attempts(known.count + 1, known.until)
        self.put(caller, counted, now)
        return counted

    def subtract(self, caller: bytes) -> None:
        """Take back an attempt, if the caller is counted here."""
        if (known := self._known.get(caller)) is not None:
            self._known[caller] = Attempts(max(known.count - 1, 0), known.until)

    def _make_room(self, now: datetime) -> None:
        current = [(caller, each) for caller, each in self._known.items() if each.until > now]
        current.sort(key=lambda held: held[1].count, reverse=True)
        self._known = dict(current[: MAX_CALLERS // 2])


class Throttle:
    """The wrong keys of callers at one entrance."""

    def __init__(self, engine: Engine, limit: int) -> None:
        self._engine, self._limit = engine, limit
        self._counts = AttemptCounts()

    @property
    def is_active(self) -> bool:
        """Whether this process knows of any wrong key."""
        return len(self._counts) > 0

    def wait(self, caller: bytes, now: datetime) -> timedelta:
        """How long the caller must wait, as far as this process knows. Asks no database."""
        known = self._counts.get(caller, now)
        return known.until - now if known.count >= self._limit else _NO_WAIT

    def count(self, caller: bytes, now: datetime) -> timedelta:
        """Count a wrong key; returns how long the caller must wait if it was one too many."""
        # Before the database is asked, which lets other requests of this caller run.
        counted = self._counts.add(caller, now)
        try:
            with self._engine.begin() as connection:
                found = wrong_keys.add(connection, [caller], now).get(caller)
        except UNAVAILABLE:
            found = None  # this process counts for itself
        if found is not None and found.count >= counted.count:
            self._counts.put(caller, found, now)
        counted = self._counts.get(caller, now)
        return counted.until - now if counted.count > self._limit else _NO_WAIT


class SignInThrottle:
    """The attempts at the sign-in form."""

    def __init__(self) -> None:
        self._uncounted = AttemptCounts()

    def reserve(self, engine: Engine, caller: bytes, limit: int, now: datetime) -> timedelta:
        """Count an attempt of the caller before its key is checked; returns the wait if it is over its limit.

        Parallel attempts cannot outrun the limit. `release` takes an attempt back that does not count.
        """
        with engine.begin() as connection:
            found = wrong_keys.add(connection, [caller], now).get(caller)
        counted = self._uncounted.add(caller, now) if found is None else found
        return counted.until - now if counted.count > limit else _NO_WAIT

    def release(self, engine: Engine, callers: Iterable[bytes], now: datetime) -> None:
        """Take back the attempt of each caller, because the key was right."""
        counted = list(callers)
        with engine.begin() as connection:
            wrong_keys.subtract(connection, counted, now)
        for caller in counted:
            self._uncounted.subtract(caller)


def sign_in_caller(environ: Mapping[str, Any], proxies: Sequence[Network]) -> bytes:
    """The caller that an attempt at the sign-in form counts for: its address."""
    return _caller("sign-in address", caller_address(environ, proxies))


def key_caller(key: str) -> bytes:
    """The caller that attempts with keys that begin like this one count for, from all addresses."""
    return _caller("sign-in key", key[:_PREFIX])


def right_key_caller(key: ApiKey) -> bytes:
    """The caller that sign-ins with this right key count for, from all addresses."""
    return _caller("right sign-in key", str(key.id))


def api_caller(environ: Mapping[str, Any], proxies: Sequence[Network]) -> bytes:
    """The caller that a wrong key at the API counts for: its address."""
    return _caller("API address", caller_address(environ, proxies))


def caller_address(environ: Mapping[str, Any], proxies: Sequence[Network]) -> str:
    """The address of the client as the network or a trusted proxy reports it; of IPv6 its customer's /64."""
    address = client_address(environ, proxies)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, _IPV6_CUSTOMER), strict=False).network_address)
    return "unknown" if address is None else str(address)


def _caller(kind: str, value: str) -> bytes:
    return hashlib.sha256(f"{kind} {value}".encode()).digest()[:16]
