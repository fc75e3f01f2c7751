"""The quarantine: items with a valid signature that the parser did not understand, stored whole for replay.

Large bodies are compressed. The replay uses the driver: it shares the transaction of the ingest statement.
"""

from datetime import datetime

from msgspec import Struct
from msgspec.structs import asdict, replace
from psycopg.rows import class_row
from sqlalchemy import text

from webhook_app.store.postgres.compression import BLOCK, beginning, unpack, unpacked_size
from webhook_app.store.postgres.engine import Connection, DriverConnection


class Quarantined(Struct, frozen=True, kw_only=True):
    """An item as Meta sent it, or `items` alike ones of a body as a list, and why they were not understood.

    `body` instead of `item`: the received body, or a webhook with a large item alone. `became`: the outcome after a
    replay, or ''.
    """

    id: int
    received_at: datetime
    reason: str
    field: str
    waba_id: str
    item: str | None
    body: bytes | None
    items: int
    replayed_at: datetime | None
    became: str


class QuarantineFilters(Struct, frozen=True, kw_only=True):
    """Which items to find; None and '' match all. `reason`: part of the reason. `since` is inclusive, `until` not."""

    reason: str = ""
    field: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class ReplayItem(Struct, frozen=True, kw_only=True):
    """An item to parse again, as a webhook with this item alone or as the body it was received in."""

    id: int
    received_at: datetime
    items: int
    stored: bytes | None
    """As stored. None if it is larger than asked for, or an earlier version stored the item without it."""

    @property
    def webhook(self) -> bytes | None:
        """The body to parse; None as `stored`."""
        return None if self.stored is None else unpack(self.stored)


ALL = QuarantineFilters()
_COLUMNS = ", ".join(Quarantined.__struct_fields__)
_MAX_LISTED = 65_536  # characters of an item in a list: entries of several megabytes would add up
_LISTED = _COLUMNS.replace(" item,", f" left(item, {_MAX_LISTED}) AS item,").replace(
    " body,", f" substr(body, 1, {BLOCK}) AS body,"
)
_WITHOUT_CONTENTS = _COLUMNS.replace(" item,", " NULL AS item,").replace(" body,", " NULL AS body,")
_GET = text(f"SELECT {_COLUMNS} FROM quarantine WHERE id = :id")
_OPEN_BY_FIELD = text("""
SELECT field, sum(items)::int FROM quarantine
WHERE received_at >= :start AND received_at < :end AND replayed_at IS NULL GROUP BY field
""")


def list_page(
    connection: Connection,
    limit: int,
    *,
    before_id: int | None = None,
    only_open: bool = False,
    chosen: QuarantineFilters = ALL,
    contents: bool = True,
) -> list[Quarantined]:
    """A page of matching items with an id below `before_id`, newest first. Long items are cut.

    Without `contents`, neither item nor body is read.
    """
    conditions = _conditions(chosen)
    conditions += ["id < :before_id"] if before_id is not None else []
    conditions += ["replayed_at IS NULL"] if only_open else []
    statement = text(
        f"SELECT {_LISTED if contents else _WITHOUT_CONTENTS} FROM quarantine WHERE {' AND '.join(conditions)}"
        " ORDER BY id DESC LIMIT :limit"
    )
    values = asdict(chosen) | {"before_id": before_id, "limit": limit}
    found = [Quarantined(**row) for row in connection.execute(statement, values).mappings()]
    return [replace(each, body=each.body and beginning(each.body, _MAX_LISTED)) for each in found]


def get(connection: Connection, item_id: int) -> Quarantined | None:
    """The item with this id, whole; None if there is none."""
    row = connection.execute(_GET, {"id": item_id}).mappings().one_or_none()
    if row is None:
        return None
    found = Quarantined(**row)
    return found if found.body is None else replace(found, body=unpack(found.body))


def count_open(connection: Connection, chosen: QuarantineFilters = ALL) -> int:
    """The number of matching items that are not replayed."""
    conditions = ["replayed_at IS NULL", *_conditions(chosen)]
    statement = text(f"SELECT coalesce(sum(items), 0) FROM quarantine WHERE {' AND '.join(conditions)}")
    return int(connection.execute(statement, asdict(chosen)).scalar_one())


def count_open_by_field(connection: Connection, start: datetime, end: datetime) -> dict[str, int]:
    """Items quarantined in the span and not replayed since, by field."""
    return {row[0]: row[1] for row in connection.execute(_OPEN_BY_FIELD, {"start": start, "end": end})}


def _conditions(chosen: QuarantineFilters) -> list[str]:
    """SQL for the filters that are set, so that the plan can use an index on them."""
    conditions = {
        "strpos(reason, :reason) > 0": chosen.reason != "",
        "field = :field": chosen.field is not None,
        "received_at >= :since": chosen.since is not None,
        "received_at < :until": chosen.until is not None,
    }
    return ["true", *(condition for condition, is_set in conditions.items() if is_set)]


_CHOSEN = """
FROM quarantine
WHERE replayed_at IS NULL AND id > %(after)s AND strpos(reason, %(reason)s) > 0
  AND (%(field)s::text IS NULL OR field = %(field)s)
  AND (%(since)s::timestamptz IS NULL OR received_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR received_at < %(until)s)
"""
_WAITING = f"""
SELECT id, received_at, items,
       CASE WHEN greatest(octet_length(document), octet_length(body)) > %(max_bytes)s THEN NULL
            WHEN document <> '' THEN convert_to(document, 'UTF8') ELSE body END AS stored
{_CHOSEN} ORDER BY id LIMIT %(limit)s
"""


def replay_items(
    connection: DriverConnection, chosen: QuarantineFilters, after: int, limit: int, max_bytes: int
) -> list[ReplayItem]:
    """Up to `limit` matching items that are not replayed, by id, after the id `after`; larger ones without webhook."""
    values = asdict(chosen) | {"after": after, "limit": limit, "max_bytes": max_bytes}
    with connection.cursor(row_factory=class_row(ReplayItem)) as cursor:
        found = cursor.execute(_WAITING, values).fetchall()
    return [
        replace(each, stored=None) if each.stored and unpacked_size(each.stored) > max_bytes else each
        for each in found
    ]


def count_replay_items(connection: DriverConnection, chosen: QuarantineFilters) -> int:
    """The number of items that `replay_items` returns in total."""
    row = connection.execute(f"SELECT sum(items) {_CHOSEN}", asdict(chosen) | {"after": 0}).fetchone()
    return int(row[0] or 0) if row else 0


def release(connection: DriverConnection, item_id: int, became: str, now: datetime) -> bool:
    """Mark an item as replayed with this outcome; False if it was replayed already."""
    done = connection.execute(
        "UPDATE quarantine SET replayed_at = %s, became = %s WHERE id = %s AND replayed_at IS NULL",
        [now, became, item_id],
    )
    return done.rowcount == 1


def reduce_items(connection: DriverConnection, item_id: int, items: int) -> None:
    """Take applied items out of an entry of several."""
    connection.execute("UPDATE quarantine SET items = items - %s WHERE id = %s", [items, item_id])


def set_reason(connection: DriverConnection, item_id: int, reason: str) -> None:
    """Store why a replay did not understand the item."""
    connection.execute("UPDATE quarantine SET reason = %s WHERE id = %s", [reason, item_id])
