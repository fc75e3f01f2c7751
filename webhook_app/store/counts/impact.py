"""Whom the failures of a window hit: contacts as a number, the first moment, messages to look at."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.counts.rates import EVERYTHING, Filters, choose
from webhook_app.store.postgres.engine import Connection


class Impact(Struct, frozen=True):
    """Whom failures hit, and when the first of them was."""

    contacts: int
    first_at: datetime | None


def affected(
    connection: Connection,
    start: datetime,
    end: datetime,
    codes: Sequence[int],
    filters: Filters = EVERYTHING,
) -> Impact:
    """How many contacts have a failure with one of the codes in the window, and when the first one was."""
    chosen, values = choose(filters, codes)
    statement = (
        "SELECT count(DISTINCT contact) FILTER (WHERE contact <> '') AS contacts,"
        " min(occurred_at) AS first_at"
        f" FROM failures WHERE occurred_at >= :start AND occurred_at < :end {chosen}"
    )
    row = connection.execute(text(statement), values | {"start": start, "end": end}).one()
    return Impact(row.contacts, row.first_at)


def sample_messages(
    connection: Connection,
    start: datetime,
    end: datetime,
    codes: Sequence[int],
    filters: Filters = EVERYTHING,
    limit: int = 3,
) -> list[str]:
    """Ids of the latest messages that failed with one of the codes."""
    chosen, values = choose(filters, codes)
    statement = (
        f"SELECT message_id FROM failures WHERE occurred_at >= :start AND occurred_at < :end {chosen}"
        " GROUP BY message_id ORDER BY max(occurred_at) DESC, message_id LIMIT :limit"
    )
    values |= {"start": start, "end": end, "limit": limit}
    return list(connection.execute(text(statement), values).scalars())
