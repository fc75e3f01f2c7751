"""Which API keys reported failed calls: what one key alone says holds back no other key. Writes nothing."""

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_LATEST = """
SELECT error_code, phone_number_id, sent_at, registered_at FROM sends
WHERE failed AND reported_by = {key} AND registered_at >= :since ORDER BY registered_at DESC LIMIT 2000
"""
_OF_KEY = text(_LATEST.format(key=":key"))
# One index lookup per key, and the latest calls of each: no key hides the calls of another behind its own.
_REPORTED = text(f"""
WITH RECURSIVE keys (name) AS (
  (SELECT reported_by FROM sends WHERE failed AND reported_by > '' ORDER BY reported_by LIMIT 1)
  UNION ALL
  SELECT (SELECT reported_by FROM sends WHERE failed AND reported_by > keys.name ORDER BY reported_by LIMIT 1)
  FROM keys WHERE keys.name IS NOT NULL
)
SELECT name, error_code, phone_number_id, max(registered_at)
FROM keys CROSS JOIN LATERAL ({_LATEST.format(key="keys.name")}) calls
WHERE name IS NOT NULL AND error_code = ANY(:codes) GROUP BY name, error_code, phone_number_id
""")


class CallFailure(Struct, frozen=True):
    """A failed call that a key reported."""

    error_code: int
    phone_number_id: str
    sent_at: datetime


Reporters = dict[tuple[int, str], dict[str, datetime]]
"""By code and business number (empty: any): the keys that reported failed calls, with the time of the latest."""


def failed_calls(connection: Connection, key: str, since: datetime) -> list[CallFailure]:
    """The latest failed calls that the key has reported since then, up to 2000."""
    return [CallFailure(*row[:3]) for row in connection.execute(_OF_KEY, {"key": key, "since": since})]


def reporters_of(connection: Connection, codes: Collection[int], since: datetime) -> Reporters:
    """Who has reported failed calls with these codes since then; of each key, the latest 2000 calls are read."""
    found: Reporters = {}
    for key, code, number, latest in connection.execute(_REPORTED, {"codes": list(codes), "since": since}):
        for place in {number, ""}:
            keys = found.setdefault((code, place), {})
            keys[key] = max(latest, keys.get(key, latest))
    return found
