"""API keys: 256 random bits, shown once and stored only as SHA-256. web/auth.py decides what a role may do."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import text

from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection

PREFIX = "wa_"
_BYTES = 32
_SHOWN = len(PREFIX) + 6  # the part of a key that lists show, so that people recognise theirs
_USED_EVERY = timedelta(minutes=1)


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as lists show it, without the secret."""

    id: int
    name: str
    role: str
    prefix: str
    created_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None


OPERATOR = ApiKey(
    id=0, name="ADMIN_API_KEY", role="admin", prefix="", created_at=datetime.min.replace(tzinfo=UTC)
)
"""The key that is set in the environment; no row has its id."""
MAX_NAME = 100
"""Characters: indexes of what keys report hold the name."""
RESERVED_NAMES = (OPERATOR.name, "system", "person", "command line")
"""Actors that are no keys of the database."""


class KeyNameError(ValueError):
    """The name of a new key is taken or reserved."""


class NewKey(Struct, frozen=True):
    """A new key with its secret, which is not stored."""

    key: ApiKey
    secret: str


_COLUMNS = ", ".join(ApiKey.__struct_fields__)
_INSERT = text("""
INSERT INTO api_keys (key_hash, name, role, prefix, created_at)
VALUES (:key_hash, :name, :role, :prefix, :created_at) RETURNING id
""")
_NAMED = text(
    "SELECT revoked_at IS NULL FROM api_keys WHERE name = :name ORDER BY revoked_at NULLS FIRST LIMIT 1"
)
_LIST = text(f"SELECT {_COLUMNS} FROM api_keys ORDER BY id")
_FIND = text(f"SELECT {_COLUMNS} FROM api_keys WHERE key_hash = :key_hash AND revoked_at IS NULL")
_PREFIXES = text("SELECT prefix FROM api_keys WHERE revoked_at IS NULL")
_MARK_USED = text("""
UPDATE api_keys SET used_at = :now WHERE id = :id AND (used_at IS NULL OR used_at <= :before)
""")
_ACTIVE = text("SELECT name, role FROM api_keys WHERE id = :id AND revoked_at IS NULL")
_REVOKE = text("UPDATE api_keys SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL")


def hash_of(secret: str) -> bytes:
    """The hash that is stored instead of the secret; random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def is_plausible(secret: str) -> bool:
    """Whether the text has the form of a key, checked without the database."""
    return secret.startswith(PREFIX) and len(secret) == len(PREFIX) + 43


def create(connection: Connection, name: str, role: str, now: datetime) -> NewKey:
    """Create a key and store its hash. Raises KeyNameError for a name that is reserved or that a key has or had.

    Reports, caps, undo and the audit log know a key by its name.
    """
    name = name.strip()
    _check_name(connection, name)
    return _insert(connection, name, role, now)


def rotate(connection: Connection, key_id: int, now: datetime) -> NewKey | None:
    """Create another key with the name and role of this one, which works until it is revoked; None if it is revoked."""
    found = connection.execute(_ACTIVE, {"id": key_id}).one_or_none()
    return _insert(connection, found.name, found.role, now) if found else None


def _insert(connection: Connection, name: str, role: str, now: datetime) -> NewKey:
    secret = PREFIX + secrets.token_urlsafe(_BYTES)
    key = ApiKey(id=0, name=name, role=role, prefix=prefix_of(secret), created_at=now)
    values = {"name": name, "role": role, "prefix": key.prefix, "created_at": now}
    found = connection.execute(_INSERT, values | {"key_hash": hash_of(secret)})
    return NewKey(replace(key, id=found.scalar_one()), secret)


def _check_name(connection: Connection, name: str) -> None:
    if not name:
        raise KeyNameError("A key needs a name.")
    if len(name) > MAX_NAME:
        raise KeyNameError(f"The name of a key has at most {MAX_NAME} characters.")
    if name.casefold() in map(str.casefold, RESERVED_NAMES):
        raise KeyNameError(f"The name {name} is reserved. Choose another.")
    locks.hold_until_commit(connection, locks.KEYS_LOCK)
    is_active = connection.execute(_NAMED, {"name": name}).scalar_one_or_none()
    if is_active is not None:
        verb = "is" if is_active else "was"
        raise KeyNameError(f"There {verb} a key named {name} already. Choose another name.")


def list_keys(connection: Connection) -> list[ApiKey]:
    """All keys, including revoked ones, oldest first."""
    return [ApiKey(**row) for row in connection.execute(_LIST).mappings()]


def find(connection: Connection, secret: str) -> ApiKey | None:
    """The key with this secret, unless it is revoked."""
    row = connection.execute(_FIND, {"key_hash": hash_of(secret)}).mappings().one_or_none()
    return ApiKey(**row) if row else None


def prefixes(connection: Connection) -> frozenset[str]:
    """The shown beginnings of all keys that are not revoked."""
    return frozenset(connection.execute(_PREFIXES).scalars())


def prefix_of(secret: str) -> str:
    """The shown beginning of a secret."""
    return secret[:_SHOWN]


def mark_used(connection: Connection, key: ApiKey, now: datetime) -> None:
    """Record that the key is in use; writes at most once a minute."""
    if key.used_at is None or now - key.used_at >= _USED_EVERY:
        connection.execute(_MARK_USED, {"id": key.id, "now": now, "before": now - _USED_EVERY})


def revoke(connection: Connection, key_id: int, now: datetime) -> bool:
    """Revoke the key, effective within seconds; False if there is none or it is revoked already."""
    return connection.execute(_REVOKE, {"id": key_id, "now": now}).rowcount == 1
