"""Which API keys reported failed calls: what one key alone says holds back no other key. Writes nothing."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_LATEST = """
SELECT error_code, phone_number_id, sent_at FROM sends
WHERE failed AND reported_by = {key} AND registered_at >= :since ORDER BY registered_at DESC LIMIT 2000
"""
_OF_KEY = text(_LATEST.format(key=":key"))
# One index lookup per key, and the latest calls of each: no key hides the calls of another behind its own.
_KEYS = text(f"""
WITH RECURSIVE keys (name) AS (
  (SELECT reported_by FROM sends WHERE failed AND reported_by > '' ORDER BY reported_by LIMIT 1)
  UNION ALL
  SELECT (SELECT reported_by FROM sends WHERE failed AND reported_by > keys.name ORDER BY reported_by LIMIT 1)
  FROM keys WHERE keys.name IS NOT NULL
)
SELECT name FROM keys WHERE name IS NOT NULL AND EXISTS (
  SELECT FROM ({_LATEST.format(key="keys.name")}) calls
  WHERE error_code = :code AND :number IN ('', phone_number_id))
""")


class CallFailure(Struct, frozen=True):
    """A failed call that a key reported."""

    error_code: int
    phone_number_id: str
    sent_at: datetime


def failed_calls(connection: Connection, key: str, since: datetime) -> list[CallFailure]:
    """The latest failed calls that the key has reported since then, up to 2000."""
    return [CallFailure(*row) for row in connection.execute(_OF_KEY, {"key": key, "since": since})]


def keys_with_failed_calls(connection: Connection, code: int, number: str, since: datetime) -> set[str]:
    """The keys that have reported failed calls with the code since then; of each, the latest 2000 calls are read.

    `number`: the business number of the calls; empty: any.
    """
    values = {"code": code, "number": number, "since": since}
    return set(connection.execute(_KEYS, values).scalars())
