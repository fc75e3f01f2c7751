"""Lists of suppressions: pages, active ones, expired ones, those made by rules, and counts. Reads only."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from webhook_app.rules.suppressions.marketing_pauses import PAUSED_BY_META
from webhook_app.rules.suppressions.reach import numbers_reaching
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.suppressions import COLUMNS, ORDER, Key, Suppression, read

_ENDED = text(f"SELECT {COLUMNS} FROM suppressions WHERE until <= :now ORDER BY until LIMIT :limit")
_AUTOMATIC = text(f"""
SELECT {COLUMNS} FROM suppressions WHERE review AND since >= :since ORDER BY since DESC LIMIT :limit
""")
_COUNT_AUTOMATIC = text("""
SELECT count(*) FROM suppressions WHERE review AND since >= :since AND scope = 'all'
""")
_BASED_ON = text(f"""
SELECT {COLUMNS} FROM suppressions WHERE review AND since BETWEEN :first AND :last AND code = ANY(:codes)
  AND EXISTS (SELECT FROM jsonb_array_elements(evidence) AS e
              WHERE CAST(e ->> 'occurred_at' AS timestamptz) >= :since)
ORDER BY suppressions.since DESC LIMIT :limit
""")
_TO_REVIEW = f"review AND code NOT IN {PAUSED_BY_META}"
_BY_REASON = text("""
SELECT reason, count(*) FROM suppressions WHERE until IS NULL OR until > :now GROUP BY reason ORDER BY reason
""")


def active(
    connection: Connection, contacts: Sequence[str], phone_number_id: str | None, now: datetime
) -> list[Suppression]:
    """The active suppressions of these keys on this business number; None: on any number.

    A suppression that ends with a probe stays active after its end.
    """
    values: dict[str, Any] = {"contacts": list(contacts), "now": now}
    chosen = ""
    if phone_number_id is not None:
        chosen = " AND phone_number_id = ANY(:numbers)"
        values["numbers"] = list(numbers_reaching(phone_number_id))
    ends_with_a_probe = "(reason = 'unreachable' AND scope = 'all')"
    in_force = f"(until IS NULL OR until > :now OR {ends_with_a_probe})"
    statement = (
        f"SELECT {COLUMNS} FROM suppressions WHERE contact = ANY(:contacts) AND {in_force}{chosen}{ORDER}"
    )
    return read(connection.execute(text(statement), values))


def ended_by(connection: Connection, now: datetime, limit: int) -> list[Suppression]:
    """Up to `limit` expired rows, oldest first."""
    return read(connection.execute(_ENDED, {"now": now, "limit": limit}))


def automatic_since(connection: Connection, since: datetime, limit: int) -> list[Suppression]:
    """The newest unconfirmed rows that a rule made since then."""
    return read(connection.execute(_AUTOMATIC, {"since": since, "limit": limit}))


def count_automatic(connection: Connection, since: datetime) -> int:
    """The number of unconfirmed rows that a rule made since then and that block all messages."""
    return int(connection.execute(_COUNT_AUTOMATIC, {"since": since}).scalar_one())


def count_by_reason(connection: Connection, now: datetime) -> dict[str, int]:
    """Active suppressions by reason. Reads the whole table: not for every request."""
    return {row[0]: row[1] for row in connection.execute(_BY_REASON, {"now": now})}


def based_on(
    connection: Connection, codes: Iterable[int], since: datetime, span: tuple[datetime, datetime], limit: int
) -> list[Suppression]:
    """Unconfirmed rows made by a rule in `span`, with one of the codes and evidence since `since`, newest first."""
    values = {"codes": list(codes), "since": since, "first": span[0], "last": span[1], "limit": limit}
    return read(connection.execute(_BASED_ON, values))


def list_page(
    connection: Connection,
    limit: int,
    after: Key | None = None,
    *,
    scope: str | None = None,
    reason: str | None = None,
    phone_number_id: str | None = None,
    review: bool | None = None,
) -> list[Suppression]:
    """A page of matching rows after the key `after`, in the order of the primary key."""
    values: dict[str, Any] = {"scope": scope, "reason": reason, "phone_number_id": phone_number_id}
    values = {name: value for name, value in values.items() if value is not None}
    wanted = [f"{name} = :{name}" for name in values]
    if review is not None:
        wanted.append(_TO_REVIEW if review else f"NOT ({_TO_REVIEW})")
    if after is not None:
        wanted.append("(contact, phone_number_id, scope, reason) > (:after_0, :after_1, :after_2, :after_3)")
        values |= {f"after_{place}": value for place, value in enumerate(after)}
    where = " WHERE " + " AND ".join(wanted) if wanted else ""
    statement = text(f"SELECT {COLUMNS} FROM suppressions{where}{ORDER} LIMIT :limit")
    return read(connection.execute(statement, values | {"limit": limit}))
