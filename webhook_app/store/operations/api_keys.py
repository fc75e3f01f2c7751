"""API keys: 256 random bits shown once, kept as SHA-256 only. Who may do what with them is decided in web/auth.py."""

import hashlib
import secrets
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import select, text, update

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.schema import api_keys

PREFIX = "wa_"
_BYTES = 32
_SHOWN = len(PREFIX) + 6  # what of a key may be shown again, so that people can tell theirs apart
_USED_EVERY = timedelta(minutes=1)


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as it may be listed: everything but the secret."""

    id: int
    name: str
    role: str
    prefix: str
    created_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None


class NewKey(Struct, frozen=True):
    """A key just made; the only time its secret is known."""

    key: ApiKey
    secret: str


_COLUMNS = [api_keys.c[name] for name in ApiKey.__struct_fields__]


def hash_of(secret: str) -> bytes:
    """What is stored and looked up instead of the secret; random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def is_plausible(secret: str) -> bool:
    """Whether the text could be one of our keys at all, told without asking the database."""
    return secret.startswith(PREFIX) and len(secret) == len(PREFIX) + 43


def create(connection: Connection, name: str, role: str, now: datetime) -> NewKey:
    """Make a key and store its hash."""
    secret = PREFIX + secrets.token_urlsafe(_BYTES)
    key = ApiKey(id=0, name=name, role=role, prefix=secret[:_SHOWN], created_at=now)
    values = {"name": name, "role": role, "prefix": key.prefix, "created_at": now}
    statement = api_keys.insert().values(key_hash=hash_of(secret), **values).returning(api_keys.c.id)
    return NewKey(replace(key, id=connection.execute(statement).scalar_one()), secret)


def list_keys(connection: Connection) -> list[ApiKey]:
    """Every key, revoked ones too, oldest first."""
    rows = connection.execute(select(*_COLUMNS).order_by(api_keys.c.id)).mappings()
    return [ApiKey(**row) for row in rows]


def find(connection: Connection, secret: str) -> ApiKey | None:
    """The key with this secret, unless it was revoked."""
    wanted = select(*_COLUMNS).where(api_keys.c.key_hash == hash_of(secret), api_keys.c.revoked_at.is_(None))
    row = connection.execute(wanted).mappings().one_or_none()
    return ApiKey(**row) if row else None


def mark_used(connection: Connection, key: ApiKey, now: datetime) -> None:
    """Note that the key is in use; writes at most once a minute."""
    if key.used_at is not None and now - key.used_at < _USED_EVERY:
        return
    statement = text(
        "UPDATE api_keys SET used_at = :now WHERE id = :id AND (used_at IS NULL OR used_at <= :before)"
    )
    connection.execute(statement, {"id": key.id, "now": now, "before": now - _USED_EVERY})


def revoke(connection: Connection, key_id: int, now: datetime) -> bool:
    """Make the key useless within seconds; False when there is none, or it was revoked before."""
    statement = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    return connection.execute(statement.values(revoked_at=now)).rowcount == 1
