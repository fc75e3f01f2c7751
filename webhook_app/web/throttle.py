"""Slows down callers who guess keys: counts wrong keys per caller and minute, for all processes and hosts together.

A caller who is over the limit is remembered in this process until the minute ends, and costs no more statements.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from webhook_app.store.operations import wrong_keys
from webhook_app.store.operations.wrong_keys import WINDOW, Attempts
from webhook_app.store.postgres.engine import Engine
from webhook_app.store.postgres.errors import UNAVAILABLE
from webhook_app.web.receiving.origin import Network, client_address

SIGN_IN_LIMIT = 10
"""Wrong keys per minute in the sign-in form, by address."""
KEY_LIMIT = 20
"""Wrong keys per minute in the sign-in form that begin alike, from all addresses."""
API_LIMIT = 30
"""Wrong keys per minute at the API, by address."""

_MAX_CALLERS = 10_000
_PREFIX = 9  # the characters of a key that lists show
_IPV6_CUSTOMER = 64
_NO_WAIT = timedelta(0)


class Throttle:
    """The wrong keys of callers at one entrance."""

    def __init__(self, engine: Engine, limit: int) -> None:
        self._engine, self._limit = engine, limit
        self._known: dict[bytes, Attempts] = {}

    @property
    def is_active(self) -> bool:
        """Whether this process knows of any wrong key."""
        return bool(self._known)

    def wait(self, caller: bytes, now: datetime) -> timedelta:
        """How long the caller must wait, as far as this process knows. Asks no database."""
        known = self._known.get(caller)
        is_over = known is not None and known.count >= self._limit and now < known.until
        return known.until - now if known is not None and is_over else _NO_WAIT

    def count(self, caller: bytes, now: datetime) -> timedelta:
        """Count a wrong key; returns how long the caller must wait if it was one too many."""
        known = self._known.get(caller)
        if known is None or known.until <= now:
            known = Attempts(0, now + WINDOW)
        # Before the database is asked, which lets other requests of this caller run.
        self._remember(caller, Attempts(known.count + 1, known.until), now)
        try:
            with self._engine.begin() as connection:
                found = wrong_keys.add(connection, [caller], now).get(caller)
        except UNAVAILABLE:
            found = None  # this process counts for itself
        if found is not None and found.count > known.count:
            self._remember(caller, found, now)
        counted = self._known[caller]
        return counted.until - now if counted.count > self._limit else _NO_WAIT

    def _remember(self, caller: bytes, attempts: Attempts, now: datetime) -> None:
        if len(self._known) >= _MAX_CALLERS:
            self._known = {each: held for each, held in self._known.items() if held.until > now}
        if len(self._known) >= _MAX_CALLERS:
            self._known.clear()
        self._known[caller] = attempts


def reserve(engine: Engine, limits: Mapping[bytes, int], now: datetime) -> timedelta:
    """Count an attempt of each caller before its key is looked at; returns how long they must wait.

    Parallel attempts cannot outrun the limit. `release` takes the attempt back when the key was right.
    """
    with engine.begin() as connection:
        found = wrong_keys.add(connection, limits, now)
    over = [each.until - now for caller, each in found.items() if each.count > limits[caller]]
    return max(over, default=_NO_WAIT)


def release(engine: Engine, callers: Iterable[bytes], now: datetime) -> None:
    """Take back the attempt of each caller, because the key was right."""
    with engine.begin() as connection:
        wrong_keys.subtract(connection, callers, now)


def sign_in_limits(environ: Mapping[str, Any], proxies: Sequence[Network], key: str) -> dict[bytes, int]:
    """The callers that an attempt at the sign-in form counts for, with their limits: its address and its key."""
    return {
        _caller("sign-in address", caller_address(environ, proxies)): SIGN_IN_LIMIT,
        _caller("sign-in key", key[:_PREFIX]): KEY_LIMIT,
    }


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
