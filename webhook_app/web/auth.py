"""Who is calling, from `Authorization: Bearer <key>`, and whether that is enough. No endpoint, no SQL.

sender: checks, reports of sends, the change feed, reads of single things. viewer: every read. admin: everything.
"""

import hmac
from datetime import datetime, timedelta
from typing import Literal

from flask import Response

from webhook_app.store.operations import api_keys
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.store.postgres.engine import Engine
from webhook_app.web.errors import ApiError

Role = Literal["sender", "viewer", "admin"]

ROLES: tuple[Role, ...] = ("sender", "viewer", "admin")
"""Each may do what those before it may."""

_REMEMBERED_FOR = timedelta(seconds=10)  # how long a revoked key may go on in a process that knows it
_REMEMBERED = 10_000


class Keyring:
    """The keys of one process: those of the database, remembered for ten seconds, and the operator's own."""

    def __init__(self, engine: Engine, admin_api_key: str = "") -> None:
        self._engine = engine
        self._admin_hash = api_keys.hash_of(admin_api_key) if admin_api_key else b""
        self._known: dict[bytes, tuple[ApiKey, datetime]] = {}

    def require(self, role: Role, authorization: str, now: datetime) -> ApiKey:
        """The key in this header. Raises ApiError: 401 without a valid one, 403 when its role is too low."""
        scheme, _, secret = authorization.partition(" ")
        if not secret:
            raise ApiError(401, "unauthorized", "Send your API key as `Authorization: Bearer <key>`.")
        key = self.find(secret.strip(), now) if scheme.lower() == "bearer" else None
        if key is None:
            raise ApiError(401, "unauthorized", "The API key is not known, or it was revoked.")
        if not is_enough(key.role, role):
            needed = f"This needs a key with the role {role}; {key.name!r} has the role {key.role}."
            raise ApiError(403, "forbidden", needed, {"role": key.role, "needed": role})
        return key

    def find(self, secret: str, now: datetime) -> ApiKey | None:
        """The key with this secret, at most ten seconds out of date; None when nobody has it."""
        digest = api_keys.hash_of(secret)
        if self._admin_hash and hmac.compare_digest(digest, self._admin_hash):
            return api_keys.OPERATOR
        key, until = self._known.get(digest, (None, None))
        if key is not None and until is not None and now < until:
            return key
        return self._look_up(secret, digest, now) if api_keys.is_plausible(secret) else None

    def _look_up(self, secret: str, digest: bytes, now: datetime) -> ApiKey | None:
        with self._engine.begin() as connection:
            key = api_keys.find(connection, secret)
            if key is not None:
                api_keys.mark_used(connection, key, now)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        if key is None:
            self._known.pop(digest, None)
        else:
            self._known[digest] = key, now + _REMEMBERED_FOR
        return key


def is_enough(role: str, needed: Role) -> bool:
    """Whether a key of this role may do what `needed` is asked for."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(needed)


def challenge(response: Response) -> Response:
    """Tell a caller without a valid key which scheme to use."""
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="webhook_app"'
    return response
