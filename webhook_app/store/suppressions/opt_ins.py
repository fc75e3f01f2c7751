"""Opt-ins: when and through which channel a person agreed to messages, as senders and imports record it.

They lift no opt-out. With OPT_IN=required, a preflight refuses messages to people without one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct, json, structs
from sqlalchemy import text

from webhook_app.rules.people.holders import Span
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
ON CONFLICT (contact, opted_in_at, channel) DO UPDATE SET note = excluded.note
  WHERE excluded.note NOT IN ('', o.note) AND (:of_others OR o.actor = excluded.actor)
RETURNING contact, opted_in_at, channel, xmax = 0 AS is_new
""")
_SPANS = """
unnest(CAST(:people AS text[]), CAST(:keys AS text[]), CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[]))
  AS s(person, key, since, until)
"""
_IN_SPAN = "contact = s.key AND opted_in_at >= s.since AND opted_in_at < s.until"
_NEWEST_FIRST = "opted_in_at DESC, channel, contact"
# The newest of each key before the others: no key hides the records of another behind its own.
_OF = text(f"""
SELECT {_COLUMNS} FROM (
  SELECT {_COLUMNS} FROM (
    SELECT {_COLUMNS}, row_number() OVER (PARTITION BY actor ORDER BY {_NEWEST_FIRST}) AS of_actor
    FROM {_SPANS} JOIN opt_ins ON {_IN_SPAN}) ranked
  ORDER BY of_actor, {_NEWEST_FIRST} LIMIT :limit) chosen
ORDER BY {_NEWEST_FIRST}
""")
_DELETE = text(f"DELETE FROM opt_ins USING {_SPANS} WHERE {_IN_SPAN} RETURNING {_COLUMNS}")
_WITH = text(f"SELECT DISTINCT person FROM {_SPANS} WHERE EXISTS (SELECT FROM opt_ins WHERE {_IN_SPAN})")
_RECORDED = text("""
SELECT EXISTS (SELECT FROM opt_ins WHERE (contact, opted_in_at, channel) = (:contact, :at, :channel)) AS is_stored,
       (SELECT count(*) FROM (SELECT FROM opt_ins WHERE contact = :contact AND actor = :actor LIMIT :of_contact) AS c)
         AS of_contact,
       (SELECT count(*) FROM (SELECT FROM opt_ins WHERE actor = :actor AND recorded_at > :since LIMIT :in_all) AS a)
         AS in_all
""")
_PAGE = text(f"SELECT {_COLUMNS} FROM opt_ins ORDER BY contact, opted_in_at, channel LIMIT :limit")
_PAGE_AFTER = text(f"""
SELECT {_COLUMNS} FROM opt_ins WHERE (contact, opted_in_at, channel) > (:contact, :at, :channel)
ORDER BY contact, opted_in_at, channel LIMIT :limit
""")

MOST_OF_A_PERSON = 100


class Recorded(NamedTuple):
    """Whether an opt-in is stored, and how many opt-ins its actor recorded: of its contact, and since some time."""

    is_stored: bool
    of_contact: int
    in_all: int


def put(connection: Connection, rows: Sequence[OptIn], *, of_others: bool = False) -> list[str]:
    """Record opt-ins; returns for each whether it is added, changed (its note) or unchanged.

    Changes the notes of other actors' records only if `of_others`. A row without a note changes none.
    """
    encoded = json.encode([structs.asdict(row) for row in rows]).decode()
    stored = {
        (row.contact, row.opted_in_at, row.channel): "added" if row.is_new else "changed"
        for row in connection.execute(_PUT, {"rows": encoded, "of_others": of_others})
    }
    return [stored.pop(row.place, "unchanged") for row in rows]


def recorded(
    connection: Connection, row: OptIn, since: datetime, *, of_contact: int, in_all: int
) -> Recorded:
    """What is stored of this opt-in and its actor, counted up to `of_contact` and `in_all`."""
    values = dict(zip(("contact", "at", "channel"), row.place, strict=True))
    limits = {"of_contact": of_contact, "in_all": in_all}
    return Recorded(
        *connection.execute(_RECORDED, values | limits | {"actor": row.actor, "since": since}).one()
    )


def of_person(connection: Connection, spans: Iterable[Span]) -> list[OptIn]:
    """The opt-ins from these times, the newest first, at most MOST_OF_A_PERSON, of each key alike."""
    values = _values({"": spans}) | {"limit": MOST_OF_A_PERSON}
    return [OptIn(**row) for row in connection.execute(_OF, values).mappings()]


def delete(connection: Connection, spans: Iterable[Span]) -> list[OptIn]:
    """Delete the opt-ins from these times, and return them."""
    return [OptIn(**row) for row in connection.execute(_DELETE, _values({"": spans})).mappings()]


def with_opt_in(connection: Connection, people: Mapping[str, Iterable[Span]]) -> set[str]:
    """The people among these with an opt-in in the times in which they held their keys."""
    return set(connection.execute(_WITH, _values(people)).scalars())


def list_page(connection: Connection, limit: int, after: Place | None = None) -> list[OptIn]:
    """A page of all opt-ins, by contact."""
    if after is None:
        rows = connection.execute(_PAGE, {"limit": limit})
    else:
        values = dict(zip(("contact", "at", "channel"), after, strict=True))
        rows = connection.execute(_PAGE_AFTER, values | {"limit": limit})
    return [OptIn(**row) for row in rows.mappings()]


def _values(people: Mapping[str, Iterable[Span]]) -> dict[str, object]:
    rows = [(person, span) for person, spans in people.items() for span in spans]
    return {
        "people": [person for person, _ in rows],
        "keys": [span.key for _, span in rows],
        "since": [span.since for _, span in rows],
        "until": [span.until for _, span in rows],
    }
