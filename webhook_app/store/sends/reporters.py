"""Which API keys reported failures: what one key alone says of its calls holds back no other key. Writes nothing."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_REPORTED_BY_OTHERS = text("""
SELECT 2 * count(*) FILTER (WHERE f.source = 'send' AND NOT EXISTS (
         SELECT FROM sends w WHERE w.message_id = f.message_id AND w.failed AND w.reported_by = :key)) > count(*)
FROM (SELECT source, message_id FROM failures
      WHERE error_code = ANY(:codes) AND occurred_at >= :since ORDER BY occurred_at DESC LIMIT 2000) AS f
""")
_OF_ONE_OTHER = text("""
SELECT count(*) > 0 AND bool_and(f.source = 'send') AND count(DISTINCT w.reported_by) = 1 AND min(w.reported_by) <> :key
FROM (SELECT source, message_id, error_code FROM failures
      WHERE error_code = :code AND occurred_at >= :since AND :number IN ('', phone_number_id)
      ORDER BY occurred_at DESC LIMIT 2000) AS f
LEFT JOIN sends w ON w.message_id = f.message_id AND w.failed AND w.error_code = f.error_code
""")


def are_reported_by_others(connection: Connection, codes: Sequence[int], since: datetime, key: str) -> bool:
    """Whether most of the latest failures with these codes are failed calls that other keys reported."""
    values = {"codes": list(codes), "since": since, "key": key}
    return bool(connection.execute(_REPORTED_BY_OTHERS, values).scalar_one())


def are_of_one_other_key(connection: Connection, code: int, number: str, since: datetime, key: str) -> bool:
    """Whether the failures with this code are failed calls of one API key, which is another one.

    `number`: the business number they failed at; empty: any.
    """
    values = {"code": code, "number": number, "since": since, "key": key}
    return bool(connection.execute(_OF_ONE_OTHER, values).scalar_one())
