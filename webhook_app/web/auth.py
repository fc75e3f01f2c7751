"""Authentication by `Authorization: Bearer <key>`, and authorisation by the role of the key. No endpoint, no SQL.

sender: checks, reports of sends, retries, the change feed, reads of single items. viewer: every read, checks too, and
no change. admin: all.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from flask import Response

from webhook_app.store.operations import api_keys
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.store.postgres.engine import Engine
from webhook_app.web.errors import ApiError
from webhook_app.web.receiving.origin import Network
from webhook_app.web.throttle import API_LIMIT, Throttle, api_caller

Role = Literal["sender", "viewer", "admin"]

ROLES: tuple[Role, ...] = ("sender", "viewer", "admin")
"""Each may read what the roles before it may."""

_CACHED_FOR = timedelta(seconds=10)  # how long a process may accept a key after it was revoked
_MAX_CACHED = 10_000


class Keyring:
    """The keys of one process: those of the database, cached for ten seconds, and ADMIN_API_KEY."""

    def __init__(self, engine: Engine, admin_api_key: str = "", proxies: Sequence[Network] = ()) -> None:
        self._engine, self._proxies = engine, proxies
        self._admin_hash = api_keys.hash_of(admin_api_key) if admin_api_key else b""
        self._cached: dict[bytes, tuple[ApiKey, datetime]] = {}
        self._throttle = Throttle(engine, API_LIMIT)
        self._prefixes: tuple[frozenset[str], datetime | None] = frozenset(), None

    def require(
        self, role: Role, environ: Mapping[str, Any], now: datetime, *, changes: bool = False
    ) -> ApiKey:
        """The key of this request. Raises ApiError: 401 without a valid one, 403 when its role is too low.

        429 after too many wrong keys. A right key of the database is accepted then, too, since it cannot be guessed; a
        new one after ten seconds.
        ADMIN_API_KEY, which somebody may have made up, is not accepted then.
        """
        scheme, _, secret = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not secret:
            raise ApiError(401, "unauthorized", "Send your API key as `Authorization: Bearer <key>`.")
        key = self.find(secret.strip(), now, environ) if scheme.lower() == "bearer" else None
        if key is None:
            _refuse_guesses(self._throttle.count(api_caller(environ, self._proxies), now))
            raise ApiError(401, "unauthorized", "The API key is unknown or revoked.")
        if not is_enough(key.role, role) or (changes and key.role == "viewer"):
            needed = f"This needs a key with the role {role}; {key.name!r} has the role {key.role}."
            raise ApiError(403, "forbidden", needed, {"role": key.role, "needed": role})
        return key

    def find(self, secret: str, now: datetime, environ: Mapping[str, Any] | None = None) -> ApiKey | None:
        """The key with this secret, at most ten seconds out of date; None when there is none.

        Raises ApiError when the secret is ADMIN_API_KEY and the caller of `environ` has used too many wrong keys.
        """
        digest = api_keys.hash_of(secret)
        key, until = self._cached.get(digest, (None, None))
        if key is not None and until is not None and now < until:
            return key
        wait = self._wait(environ, now)
        if self._admin_hash and hmac.compare_digest(digest, self._admin_hash) and not wait:
            return api_keys.OPERATOR
        may_exist = api_keys.is_plausible(secret) and (not wait or self._is_known_prefix(secret, now))
        if may_exist and (key := self._look_up(secret, digest, now)) is not None:
            return key
        _refuse_guesses(wait)
        return None

    def _wait(self, environ: Mapping[str, Any] | None, now: datetime) -> timedelta:
        if environ is None or not self._throttle.is_active:
            return timedelta(0)
        return self._throttle.wait(api_caller(environ, self._proxies), now)

    def _is_known_prefix(self, secret: str, now: datetime) -> bool:
        """Whether a key begins like this, at most ten seconds out of date. Guesses then cost no statement each."""
        found, until = self._prefixes
        if until is None or until <= now:
            with self._engine.begin() as connection:
                found = api_keys.prefixes(connection)
            self._prefixes = found, now + _CACHED_FOR
        return api_keys.prefix_of(secret) in found

    def _look_up(self, secret: str, digest: bytes, now: datetime) -> ApiKey | None:
        with self._engine.begin() as connection:
            key = api_keys.find(connection, secret)
            if key is not None:
                api_keys.mark_used(connection, key, now)
        if len(self._cached) >= _MAX_CACHED:
            self._cached.clear()
        if key is None:
            self._cached.pop(digest, None)
        else:
            self._cached[digest] = key, now + _CACHED_FOR
        return key


def _refuse_guesses(wait: timedelta) -> None:
    if wait:
        seconds = int(wait.total_seconds()) + 1
        message = f"Too many wrong keys from this address. Try again in {seconds} s."
        raise ApiError(429, "too_many_wrong_keys", message, retry_seconds=seconds)


def is_enough(role: str, needed: Role) -> bool:
    """Whether the role is `needed` or one after it."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(needed)


def challenge(response: Response) -> Response:
    """Name the scheme in answers to callers without a valid key."""
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="webhook_app"'
    return response
