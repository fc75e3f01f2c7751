"""Which API keys reported failed calls: what one key alone says holds back no other key. Writes nothing."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import product

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.counts.series import OTHER
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.events import OTHER_CODE

_LATEST = """
SELECT error_code, phone_number_id, sent_at, registered_at FROM sends
WHERE failed AND reported_by = {key} AND registered_at >= :since ORDER BY registered_at DESC LIMIT 2000
"""
_OF_KEY = text(_LATEST.format(key=":key"))
# One index lookup per key.
_KEYS = """
WITH RECURSIVE keys (name) AS (
  (SELECT reported_by FROM sends WHERE failed AND reported_by > '' ORDER BY reported_by LIMIT 1)
  UNION ALL
  SELECT (SELECT reported_by FROM sends WHERE failed AND reported_by > keys.name ORDER BY reported_by LIMIT 1)
  FROM keys WHERE keys.name IS NOT NULL
)
"""
# The latest calls of each key: no key hides the calls of another behind its own.
_REPORTED = text(f"""{_KEYS}
SELECT name, error_code, phone_number_id, max(registered_at)
FROM keys CROSS JOIN LATERAL ({_LATEST.format(key="keys.name")}) calls
WHERE name IS NOT NULL AND error_code = ANY(:codes) GROUP BY name, error_code, phone_number_id
""")
_CALLS = text(f"""{_KEYS}
SELECT name, error_code, phone_number_id, calls
FROM keys CROSS JOIN LATERAL (
  SELECT error_code, phone_number_id, count(*) AS calls FROM sends
  WHERE failed AND reported_by = name AND registered_at >= :start AND sent_at < :end
  GROUP BY error_code, phone_number_id
) counted
WHERE name IS NOT NULL
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


def calls_by_key(
    connection: Connection, start: datetime, end: datetime
) -> Mapping[tuple[int, str], Counter[str]]:
    """The number of failed calls until `end` that each key has reported since `start`, by code and business number.

    Codes and numbers above the ceilings are counted as others, so each call counts there too.
    """
    found: defaultdict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for key, code, number, calls in connection.execute(_CALLS, {"start": start, "end": end}):
        for place in product((code, OTHER_CODE), (number, OTHER)):
            found[place][key] += calls
    return found
