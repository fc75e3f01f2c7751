"""Opt-ins: when and through which channel a person agreed to messages, as senders and imports record it.

They lift no opt-out. With OPT_IN=required, a preflight refuses messages to people without one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct, json, structs
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

Place = tuple[str, datetime, str]
"""Contact, time and channel: the position of a page."""


class OptIn(Struct, frozen=True, kw_only=True):
    """One agreement. `actor`: the API key that recorded it."""

    contact: str
    opted_in_at: datetime
    channel: str
    note: str
    actor: str
    recorded_at: datetime

    @property
    def place(self) -> Place:
        return self.contact, self.opted_in_at, self.channel


_COLUMNS = ", ".join(OptIn.__struct_fields__)
_PUT = text(f"""
INSERT INTO opt_ins AS o ({_COLUMNS})
SELECT DISTINCT ON (contact, opted_in_at, channel) {_COLUMNS}
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS i(contact text, opted_in_at timestamptz, channel text, note text,
                                                   actor text, recorded_at timestamptz)
ORDER BY contact, opted_in_at, channel
ON CONFLICT (contact, opted_in_at, channel) DO UPDATE SET note = excluded.note, actor = excluded.actor
  WHERE o.note <> excluded.note
RETURNING contact, opted_in_at, channel, xmax = 0 AS is_new
""")
_OF = text(f"""
SELECT {_COLUMNS} FROM opt_ins WHERE contact = ANY(:keys) ORDER BY opted_in_at DESC, channel, contact LIMIT :limit
""")
_DELETE = text(f"DELETE FROM opt_ins WHERE contact = ANY(:keys) RETURNING {_COLUMNS}")
_WITH = text("SELECT DISTINCT contact FROM opt_ins WHERE contact = ANY(:keys)")
_PAGE = text(f"SELECT {_COLUMNS} FROM opt_ins ORDER BY contact, opted_in_at, channel LIMIT :limit")
_PAGE_AFTER = text(f"""
SELECT {_COLUMNS} FROM opt_ins WHERE (contact, opted_in_at, channel) > (:contact, :at, :channel)
ORDER BY contact, opted_in_at, channel LIMIT :limit
""")

MOST_OF_A_PERSON = 100


def put(connection: Connection, rows: Sequence[OptIn]) -> list[str]:
    """Record opt-ins; returns for each whether it is added, changed (its note) or unchanged."""
    encoded = json.encode([structs.asdict(row) for row in rows]).decode()
    stored = {
        (row.contact, row.opted_in_at, row.channel): "added" if row.is_new else "changed"
        for row in connection.execute(_PUT, {"rows": encoded})
    }
    return [stored.pop(row.place, "unchanged") for row in rows]


def of_person(connection: Connection, keys: Iterable[str]) -> list[OptIn]:
    """The opt-ins under these keys, the newest first, at most MOST_OF_A_PERSON."""
    rows = connection.execute(_OF, {"keys": list(keys), "limit": MOST_OF_A_PERSON}).mappings()
    return [OptIn(**row) for row in rows]


def delete(connection: Connection, keys: Iterable[str]) -> list[OptIn]:
    """Delete the opt-ins under these keys, and return them."""
    return [OptIn(**row) for row in connection.execute(_DELETE, {"keys": list(keys)}).mappings()]


def with_opt_in(connection: Connection, keys: Iterable[str]) -> set[str]:
    """The keys among these under which an opt-in is recorded."""
    return set(connection.execute(_WITH, {"keys": list(keys)}).scalars())


def list_page(connection: Connection, limit: int, after: Place | None = None) -> list[OptIn]:
    """A page of all opt-ins, by contact."""
    if after is None:
        rows = connection.execute(_PAGE, {"limit": limit})
    else:
        values = dict(zip(("contact", "at", "channel"), after, strict=True))
        rows = connection.execute(_PAGE_AFTER, values | {"limit": limit})
    return [OptIn(**row) for row in rows.mappings()]
