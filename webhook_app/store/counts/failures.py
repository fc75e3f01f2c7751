"""Failures as rows to read: the whole error, what the message was, how often it was tried. Which rows: failure_search.

A failure's place is its unique key with the time first: the order of lists, what cursors hold and ids are made of.
"""

from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import catalogue
from webhook_app.whatsapp.errors.retry import MAX_RETRIES


class FailurePosition(NamedTuple):
    """Where a failure stands among all others, the newest last."""

    occurred_at: datetime
    message_id: str
    phone_number_id: str
    participant: str
    error_code: int


class Failure(Struct, frozen=True, kw_only=True):
    """One failed status or send call. Empty texts mean that nobody said."""

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
    """How often the same had failed with this code before on its day; only counted where advice limits the tries."""

    @property
    def place(self) -> FailurePosition:
        return FailurePosition(
            self.occurred_at, self.message_id, self.phone_number_id, self.participant, self.error_code
        )


KEY = ", ".join(f"f.{name}" for name in FailurePosition._fields)
NEWEST_FIRST = ", ".join(f"f.{name} DESC" for name in FailurePosition._fields)

COUNTED = {entry.code: MAX_RETRIES[entry.retry] for entry in catalogue() if entry.retry in MAX_RETRIES}
"""How many tries are advised after a failure with the code, of those where the advice ends with a number."""

# The same message sent again has an id of its own: it is known by its contact and its series (number, template,
# campaign). A day ends the count, so that tomorrow's campaign begins anew.
ROWS = f"""
SELECT f.occurred_at, f.message_id, f.phone_number_id, f.participant, f.error_code, f.error_subcode, f.contact,
       f.title, f.details, f.errors, f.source, f.fbtrace_id, f.received_at, s.waba_id, s.template, s.campaign,
       s.country,
       CASE WHEN f.contact <> '' AND f.error_code = ANY(:counted) THEN (
         SELECT count(*) FROM failures p
         WHERE p.contact = f.contact AND p.series_id = f.series_id AND p.error_code = f.error_code
           AND p.occurred_at >= date_trunc('day', f.occurred_at, 'UTC') AND p.occurred_at <= f.occurred_at
           AND (p.occurred_at, p.message_id, p.phone_number_id) < (f.occurred_at, f.message_id, f.phone_number_id)
       ) ELSE 0 END AS tries
FROM page f JOIN series s ON s.id = f.series_id
ORDER BY {NEWEST_FIRST}
"""

_ONE = text(f"""
WITH page AS MATERIALIZED (SELECT * FROM failures f WHERE ({KEY}) = (:{", :".join(FailurePosition._fields)})) {ROWS}
""")


def find(connection: Connection, place: FailurePosition) -> Failure | None:
    """The failure that stands exactly there."""
    row = connection.execute(_ONE, place._asdict() | {"counted": list(COUNTED)}).mappings().one_or_none()
    return None if row is None else Failure(**row)
