"""Sessions of browsers, and the secret that binds forms to them. Only a hash of each token is stored.

A session of ADMIN_API_KEY has no row in api_keys. It keeps a proof made of that key and its own token instead: another
ADMIN_API_KEY ends it, and without the token, which is not stored, the proof says nothing about the key.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.operations.api_keys import OPERATOR, ApiKey
from webhook_app.store.postgres.engine import Connection

LIFETIME = timedelta(days=7)

_BYTES = 32
_KEY_COLUMNS = ", ".join(f"k.{name}" for name in ApiKey.__struct_fields__)
_FIND = text(f"""
SELECT (SELECT secret FROM session_secret) AS secret, s.operator_proof, {_KEY_COLUMNS}
FROM sessions s LEFT JOIN api_keys k ON k.id = s.key_id
WHERE s.token_hash = :hash AND s.expires_at > :now AND k.revoked_at IS NULL
""")
_COUNT = text("""
SELECT count(*) FROM sessions s LEFT JOIN api_keys k ON k.id = s.key_id
WHERE s.expires_at > :now AND k.revoked_at IS NULL
""")
_ADD = text("""
INSERT INTO sessions (token_hash, key_id, operator_proof, created_at, expires_at)
VALUES (:hash, :key_id, :proof, :now, :expires_at)
""")
_END = text("DELETE FROM sessions WHERE token_hash = :hash")
_END_ALL = text("DELETE FROM sessions")
_SECRET = text("SELECT secret FROM session_secret")
_MAKE_SECRET = text(
    "INSERT INTO session_secret (secret, made_at) VALUES (:secret, :now) ON CONFLICT DO NOTHING"
)
_ROTATE = text("""
INSERT INTO session_secret (secret, made_at) VALUES (:secret, :now)
ON CONFLICT (id) DO UPDATE SET secret = excluded.secret, made_at = excluded.made_at
""")


class StoredSession(Struct, frozen=True):
    """A valid session: the key that signed in, and the secret for its forms and messages."""

    key: ApiKey
    secret: bytes


def secret(connection: Connection, now: datetime) -> bytes:
    """The secret of this installation, made on first use."""
    found = connection.execute(_SECRET).scalar_one_or_none()
    if found is None:
        connection.execute(_MAKE_SECRET, {"secret": secrets.token_bytes(_BYTES), "now": now})
        found = connection.execute(_SECRET).scalar_one()
    return bytes(found)


def add(connection: Connection, token: str, key_id: int, now: datetime, *, admin_api_key: str = "") -> None:
    """Begin a session; that of the operator needs ADMIN_API_KEY."""
    proof = _proof(admin_api_key, token) if key_id == OPERATOR.id else b""
    values = {
        "hash": _hash(token),
        "key_id": key_id,
        "proof": proof,
        "now": now,
        "expires_at": now + LIFETIME,
    }
    connection.execute(_ADD, values)


def find(
    connection: Connection, token: str, now: datetime, *, admin_api_key: str = ""
) -> StoredSession | None:
    """The session with this token, in one query; None when it ended or its key is no longer valid."""
    row = connection.execute(_FIND, {"hash": _hash(token), "now": now}).mappings().one_or_none()
    if row is None or row["secret"] is None:
        return None
    secret, proof = bytes(row["secret"]), bytes(row["operator_proof"])
    if row["id"] is not None:
        return StoredSession(ApiKey(**{name: row[name] for name in ApiKey.__struct_fields__}), secret)
    is_operator = bool(admin_api_key) and hmac.compare_digest(_proof(admin_api_key, token), proof)
    return StoredSession(OPERATOR, secret) if is_operator else None


def count(connection: Connection, now: datetime) -> int:
    """How many browsers are signed in."""
    return int(connection.execute(_COUNT, {"now": now}).scalar_one())


def end(connection: Connection, token: str) -> None:
    """End one session."""
    connection.execute(_END, {"hash": _hash(token)})


def end_all(connection: Connection) -> int:
    """End every session; returns how many there were."""
    return connection.execute(_END_ALL).rowcount


def rotate(connection: Connection, now: datetime) -> int:
    """Replace the secret and end every session; returns how many there were."""
    connection.execute(_ROTATE, {"secret": secrets.token_bytes(_BYTES), "now": now})
    return end_all(connection)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()  # random bits need no slow hash


def _proof(admin_api_key: str, token: str) -> bytes:
    return hmac.new(admin_api_key.encode(), token.encode(), hashlib.sha256).digest()
