"""Failures as rows: the whole error, the dimensions of the message, and earlier tries. failure_search selects them.

A failure's position is its unique key with the time first. Lists, cursors and ids of failures use it.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.counts.series import OTHER, OTHER_COLUMNS
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import catalogue
from webhook_app.whatsapp.errors.retry import MAX_RETRIES
from webhook_app.whatsapp.events import OTHER_CODE


class FailurePosition(NamedTuple):
    """The position of a failure in the order of all failures, the newest last."""

    occurred_at: datetime
    message_id: str
    phone_number_id: str
    participant: str
    error_code: int


class Failure(Struct, frozen=True, kw_only=True):
    """One failed status or send call. An empty text means unknown."""

    occurred_at: datetime
    message_id: str
    phone_number_id: str
    participant: str
    error_code: int
    error_subcode: int
    contact: str
    title: str
    details: str
    errors: Any
    source: str
    """webhook or send."""
    fbtrace_id: str
    received_at: datetime
    waba_id: str
    template: str
    campaign: str
    country: str
    tries: int
    """Earlier failures with this code on the same day; only counted where the advice limits retries."""
    retry_id: int | None
    """Its retry, see store/sends/retries; None if no sender has claimed retries since."""
    retry_state: str | None
    retry_reason: str | None
    retry_why: str | None
    retry_attempts: int | None
    retry_due_at: datetime | None
    retry_sent_message_id: str | None

    @property
    def place(self) -> FailurePosition:
        return FailurePosition(
            self.occurred_at, self.message_id, self.phone_number_id, self.participant, self.error_code
        )


_MOST_TRIES = 1000  # a message is tried a few times
MAX_NEW_ERRORS = 2_000
"""New rows of `failure_errors` within an hour; the trigger `failures_label` holds the limit."""
_NEW_ERRORS = text("SELECT coalesce(max(of_hour), 0) FROM failure_errors WHERE first_at >= :since")
KEY = ", ".join(f"f.{name}" for name in FailurePosition._fields)
NEWEST_FIRST = ", ".join(f"f.{name} DESC" for name in FailurePosition._fields)

COUNTED = {entry.code: MAX_RETRIES[entry.retry] for entry in catalogue() if entry.retry in MAX_RETRIES}
"""The number of retries advised after a failure with the code, for codes whose advice has a limit."""


def tries_sql(most: int, read: int = _MOST_TRIES) -> str:
    """The number of earlier tries of a failure `f`, at most so many, among the contact's first `read` of the day.

    A retry has a message id of its own, so they are counted by contact and series (number, template, campaign), and
    per day, so that tomorrow's campaign starts at zero. The inner LIMIT makes Postgres read them by contact: by time,
    series and code it may expect as few rows, and read all failures of a day for each.
    """
    return f"""
CASE WHEN f.contact <> '' AND f.error_code = ANY(:counted) THEN (
  SELECT count(*) FROM (
    SELECT FROM (
      SELECT t.series_id, t.error_code FROM failures t
      WHERE t.contact = f.contact
        AND t.occurred_at >= date_trunc('day', f.occurred_at, 'UTC') AND t.occurred_at <= f.occurred_at
        AND (t.occurred_at, t.message_id, t.phone_number_id) < (f.occurred_at, f.message_id, f.phone_number_id)
      LIMIT {read}) AS t
    WHERE t.series_id = f.series_id AND t.error_code = f.error_code LIMIT {most}) AS few
) ELSE 0 END
"""


ROWS = f"""
SELECT f.occurred_at, f.message_id, f.phone_number_id, f.participant, f.error_code, f.error_subcode, f.contact,
       f.title, f.details, f.errors, f.source, f.fbtrace_id, f.received_at, {OTHER_COLUMNS},
       {tries_sql(_MOST_TRIES)} AS tries,
       r.id AS retry_id, r.state AS retry_state, r.reason AS retry_reason, r.why AS retry_why,
       r.attempts AS retry_attempts, r.due_at AS retry_due_at, r.sent_message_id AS retry_sent_message_id
FROM page f JOIN series s ON s.id = f.series_id
LEFT JOIN retries r
  ON (r.message_id, r.phone_number_id, r.occurred_at, r.error_code)
   = (f.message_id, f.phone_number_id, f.occurred_at, f.error_code) AND f.participant = ''
ORDER BY {NEWEST_FIRST}
"""

_REPORTED_AS_OTHER = text("""
SELECT EXISTS (
  SELECT FROM failures f JOIN series s ON s.id = f.series_id
  WHERE f.occurred_at >= :earliest AND f.received_at >= :since AND f.source = 'send'
    AND (s.template = :other OR f.counted_code = :other_code))
""")
_ONE = text(f"""
WITH page AS MATERIALIZED (SELECT * FROM failures f WHERE ({KEY}) = (:{", :".join(FailurePosition._fields)})) {ROWS}
""")


def find(connection: Connection, place: FailurePosition) -> Failure | None:
    """The failure at this position; None if there is none."""
    row = connection.execute(_ONE, place._asdict() | {"counted": list(COUNTED)}).mappings().one_or_none()
    return None if row is None else Failure(**row)


def reported_as_other(connection: Connection, since: datetime) -> bool:
    """Whether a failed call reported since then counts under OTHER or OTHER_CODE. Reads a day of failures."""
    values = {"since": since, "earliest": since - timedelta(days=1), "other": OTHER, "other_code": OTHER_CODE}
    return bool(connection.execute(_REPORTED_AS_OTHER, values).scalar_one())


def is_at_ceiling(connection: Connection, since: datetime) -> bool:
    """Whether so many error texts are new since then that further ones share a row of `failure_errors`."""
    return bool(connection.execute(_NEW_ERRORS, {"since": since}).scalar_one() >= MAX_NEW_ERRORS)
