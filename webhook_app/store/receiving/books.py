"""The books: what became of every item ever received. They balance at all times; nothing here makes them."""

from datetime import date

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

BEFORE = date(1970, 1, 1)
"""The day that stands for all whose own books are past their time."""

_SUMS = ", ".join(
    f"coalesce(sum({column}), 0)::bigint AS {column}"
    for column in ("received", "applied", "duplicate", "ignored", "quarantined")
)


class Totals(Struct, frozen=True, kw_only=True):
    """Items, each counted once in `received` and once in one of the others."""

    received: int
    applied: int
    duplicate: int
    ignored: int
    quarantined: int

    @property
    def balanced(self) -> bool:
        return self.received == self.applied + self.duplicate + self.ignored + self.quarantined


def totals(connection: Connection) -> Totals:
    """Everything since the first delivery."""
    row = connection.execute(text(f"SELECT {_SUMS} FROM books")).mappings().one()
    return Totals(**row)


def by_day(connection: Connection, limit: int) -> dict[date, Totals]:
    """The latest `limit` days (UTC, by receipt) on which something came, newest first."""
    statement = text(
        f"SELECT day, {_SUMS} FROM books WHERE day > :before GROUP BY day ORDER BY day DESC LIMIT :limit"
    )
    rows = connection.execute(statement, {"limit": limit, "before": BEFORE}).mappings()
    return {row["day"]: Totals(**{name: row[name] for name in Totals.__struct_fields__}) for row in rows}
