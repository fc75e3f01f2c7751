"""Times assigned to items whose own cannot be used, so that a repeated item gets the same. Uses the driver."""

from collections.abc import Sequence
from datetime import datetime

from webhook_app.store.postgres.arrays import int_array, text_array
from webhook_app.store.postgres.engine import DriverConnection

ClockKey = tuple[str, str, str, str, str, int]
"""message_id, phone_number_id, status (or 'inbound'), raw timestamp, participant, error code."""


def left_join_repair(
    *,
    message_id: str,
    phone_number_id: str,
    status: str,
    raw_timestamp: str,
    participant: str = "''",
    error_code: str = "-1",
) -> str:
    """SQL: a join with `r (occurred_at)`, the time assigned to the item of this key, or null.

    One index lookup per item, and none while the table is empty, as it usually is: a join that the planner may choose
    reads the whole table for each batch, until it is analysed.
    """
    return f"""LEFT JOIN LATERAL (
    SELECT c.occurred_at FROM clock_repairs c
    WHERE (SELECT EXISTS (SELECT FROM clock_repairs))
      AND c.message_id = {message_id} AND c.phone_number_id = {phone_number_id} AND c.status = {status}
      AND c.raw_timestamp = {raw_timestamp} AND c.participant = {participant} AND c.error_code = {error_code}
    LIMIT 1
  ) AS r ON TRUE"""


_KEYS = "unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[])"
_INTO = """
INSERT INTO clock_repairs (message_id, phone_number_id, status, raw_timestamp, participant, error_code, occurred_at)
"""
_FIRST_REPAIRS = f"""{_INTO}
SELECT DISTINCT k.message_id, k.phone_number_id, k.status, '', '', -1, %s::timestamptz
FROM {_KEYS} AS k(message_id, phone_number_id, status, raw_timestamp, participant, error_code)
ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING
"""
_FIRST_OF_KEY = left_join_repair(
    message_id="k.message_id", phone_number_id="k.phone_number_id", status="k.status", raw_timestamp="''"
)
_ALIKE_REPAIRS = f"""{_INTO}
SELECT k.*, r.occurred_at FROM {_KEYS} AS k(message_id, phone_number_id, status, raw_timestamp, participant, error_code)
{_FIRST_OF_KEY}
ON CONFLICT DO NOTHING
"""
_OWN_REPAIRS = f"{_INTO} SELECT k.*, %s FROM {_KEYS} AS k ON CONFLICT DO NOTHING"


def repair_clocks(connection: DriverConnection, keys: Sequence[ClockKey], occurred_at: datetime) -> None:
    """Assign this time to events without a usable one, unless an earlier delivery of the event got another.

    Events of one status of a message get the same time, in one commit or in several, whatever stands for their times.
    """
    columns = _clock_columns(keys)
    connection.execute(_FIRST_REPAIRS, [occurred_at, *columns])
    connection.execute(_ALIKE_REPAIRS, columns)


def repair_each_clock(connection: DriverConnection, keys: Sequence[ClockKey], occurred_at: datetime) -> None:
    """Assign this time to items without a usable one, each of which is an item of its own."""
    connection.execute(_OWN_REPAIRS, [occurred_at, *_clock_columns(keys)])


def _clock_columns(keys: Sequence[ClockKey]) -> list[str]:
    *texts, codes = zip(*sorted(set(keys)), strict=True)
    return [*map(text_array, texts), int_array(codes)]
