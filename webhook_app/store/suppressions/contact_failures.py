"""The states of failures for pipeline/suppressions/suppress: new, considered, held for an incident, excused.

A failure is new while considered_at is null. `explained_by` says what explains it: null nothing, 0 the failure rate of
its time, negative an operator's undo, else an incident. A new and explained failure is held, and excused or released
when the incident ends.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.suppressions.explained_periods import BY_RATE, INCIDENT_UNDONE, ExplainedPeriod
from webhook_app.rules.suppressions.streaks import STOPPED_MARKETING
from webhook_app.store.counts.series import OTHER_COLUMNS
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.reported_failures import EVIDENCE_KEY


class ContactFailure(Struct, frozen=True, kw_only=True):
    """One failed message of one person, with the dimensions it is counted under."""

    message_id: str
    phone_number_id: str
    occurred_at: datetime
    error_code: int
    contact: str
    explained_by: int | None
    is_held: bool
    waba_id: str
    template: str
    campaign: str
    country: str
    reported_by: str | None
    """The key whose report it is, '' for a webhook; None: no evidence against the contact."""


# Failures of group messages have a participant; they never count against a contact.
_SELECT = f"""
SELECT f.message_id, f.phone_number_id, f.occurred_at, f.error_code, f.contact, f.explained_by,
       f.considered_at IS NULL AND f.explained_by IS NOT NULL AS is_held, {OTHER_COLUMNS},
       {EVIDENCE_KEY} AS reported_by
FROM failures f JOIN series s ON s.id = f.series_id
"""
_TAKE = _SELECT + (
    "WHERE f.considered_at IS NULL AND f.explained_by IS NULL AND f.error_code <> ALL(:left_out)"
    " AND NOT (f.source = 'send' AND EXISTS (SELECT FROM sends r WHERE r.message_id = f.message_id AND r.failed"
    " AND r.error_code = f.error_code AND r.reported_by = ANY(:left_out_keys)))"
    " ORDER BY f.explained_by, f.received_at LIMIT :limit FOR UPDATE OF f SKIP LOCKED"
)
_HELD_BY_RATE = _SELECT + (
    "WHERE f.considered_at IS NULL AND f.explained_by = :by_rate"
    " ORDER BY f.explained_by, f.received_at LIMIT :limit FOR UPDATE OF f SKIP LOCKED"
)
_OF_CONTACTS = _SELECT + (
    "WHERE f.contact = ANY(:contacts) AND f.occurred_at >= :since AND f.error_code = ANY(:codes)"
    " AND f.participant = '' ORDER BY f.occurred_at, f.message_id, f.error_code"
)
# What senders report is no evidence of an opt-out, see EVIDENCE_KEY.
_REFUSALS = f"""
SELECT f.message_id, f.phone_number_id, f.occurred_at, f.error_code, f.contact, f.explained_by,
       f.considered_at IS NULL AND f.explained_by IS NOT NULL AS is_held, {OTHER_COLUMNS}, '' AS reported_by
FROM unnest(CAST(:contacts AS text[]), CAST(:most AS int[])) AS c(contact, most)
CROSS JOIN LATERAL (
  SELECT * FROM failures f
  WHERE f.contact = c.contact AND f.occurred_at >= :since AND f.error_code = {STOPPED_MARKETING}
    AND f.participant = '' AND f.source <> 'send'
  ORDER BY f.occurred_at DESC LIMIT c.most) f
JOIN series s ON s.id = f.series_id
"""
_CONTACTS = text("""
SELECT contact FROM failures
WHERE occurred_at >= :start AND occurred_at <= :end AND error_code = ANY(:codes) AND contact > :after
  AND participant = ''
GROUP BY contact ORDER BY contact LIMIT :limit
""")
_OLDEST_WAITING = text("""
SELECT received_at FROM failures WHERE considered_at IS NULL AND explained_by IS NULL
ORDER BY explained_by, received_at LIMIT 1
""")
_MARK = text("""
UPDATE failures f SET considered_at = :considered_at, explained_by = m.explained_by
FROM unnest(CAST(:message_ids AS text[]), CAST(:numbers AS text[]), CAST(:times AS timestamptz[]),
            CAST(:codes AS bigint[]), CAST(:explained_by AS bigint[]))
  AS m(message_id, phone_number_id, occurred_at, error_code, explained_by)
WHERE f.message_id = m.message_id AND f.phone_number_id = m.phone_number_id AND f.occurred_at = m.occurred_at
  AND f.participant = '' AND f.error_code = m.error_code AND f.occurred_at BETWEEN :first AND :last
""")
# One index lookup per incident, however many failures it holds.
_HOLDING_INCIDENTS = text("""
WITH RECURSIVE holder (id) AS (
  SELECT min(explained_by) FROM failures WHERE considered_at IS NULL AND explained_by > :by_rate
  UNION ALL
  SELECT (SELECT min(explained_by) FROM failures WHERE considered_at IS NULL AND explained_by > holder.id)
  FROM holder WHERE holder.id IS NOT NULL
)
SELECT id FROM holder WHERE id IS NOT NULL
""")
# Limited by time of receipt, so that one range of the index is read. Failures of one delivery stay together.
_HELD = """
UPDATE failures SET {change} WHERE considered_at IS NULL AND explained_by = :incident_id AND received_at <= (
  SELECT max(received_at) FROM (
    SELECT received_at FROM failures WHERE considered_at IS NULL AND explained_by = :incident_id
    ORDER BY explained_by, received_at LIMIT :limit) AS oldest)
"""
_EXCUSE_HELD = text(_HELD.format(change="considered_at = :now") + " RETURNING contact")
_RELEASE_HELD = text(_HELD.format(change="explained_by = NULL"))
_EXCUSED_REPEATEDLY = text("""
SELECT contact, phone_number_id FROM failures
WHERE contact = ANY(:contacts) AND occurred_at >= :since AND explained_by >= :by_rate AND participant = ''
GROUP BY contact, phone_number_id HAVING max(occurred_at) - min(occurred_at) >= :apart
""")
_IN_PERIOD = (
    " AND occurred_at BETWEEN :start AND :end AND error_code = ANY(:codes) AND contact <> '' AND participant = ''"
    " AND series_id IN (SELECT id FROM series WHERE TRUE{same}) RETURNING contact, phone_number_id"
)
_EXCUSE_CONSIDERED = (
    "UPDATE failures SET explained_by = :incident_id"
    " WHERE considered_at IS NOT NULL AND explained_by IS NULL" + _IN_PERIOD
)
_UNDO = (
    "UPDATE failures SET explained_by = :undone, considered_at = coalesce(considered_at, :now)"
    " WHERE (explained_by IS NULL OR explained_by = :incident_id)" + _IN_PERIOD
)


_EVER = datetime.max.replace(tzinfo=UTC)


def take(
    connection: Connection, limit: int, left_out: Iterable[int] = (), left_out_keys: Iterable[str] = ()
) -> list[ContactFailure]:
    """Lock and return the oldest failures not yet considered, except of these codes and reports of these keys.

    Failures that others have locked are skipped.
    """
    values = {"limit": limit, "left_out": list(left_out), "left_out_keys": list(left_out_keys)}
    return _read(connection, _TAKE, values)


def oldest_waiting(connection: Connection) -> datetime | None:
    """The time of receipt of the oldest new failure that nothing explains; None if there is none."""
    found: datetime | None = connection.execute(_OLDEST_WAITING).scalar()
    return found


def held_by_rate(connection: Connection, limit: int) -> list[ContactFailure]:
    """Lock and return the oldest failures held for a high failure rate without an incident."""
    return _read(connection, _HELD_BY_RATE, {"limit": limit, "by_rate": BY_RATE})


def contacts_between(
    connection: Connection, start: datetime, end: datetime, codes: Sequence[int], *, after: str, limit: int
) -> list[str]:
    """A page of the contacts with a failure of these codes in the span, in order, after the contact `after`."""
    values = {"start": start, "end": end, "codes": list(codes), "after": after, "limit": limit}
    return list(connection.execute(_CONTACTS, values).scalars())


def of_contacts(
    connection: Connection, contacts: Sequence[str], codes: Iterable[int], since: datetime
) -> list[ContactFailure]:
    """Failures since then that are evidence against any of these keys, by these codes, oldest first."""
    values = {"contacts": list(contacts), "codes": list(codes), "since": since}
    return [each for each in _read(connection, _OF_CONTACTS, values) if each.reported_by is not None]


def refusals(connection: Connection, most: Mapping[str, int], since: datetime) -> list[ContactFailure]:
    """The newest messages since then that Meta refused because the person had stopped, at most `most` of each key."""
    return _read(connection, _REFUSALS, {"contacts": list(most), "most": list(most.values()), "since": since})


def consider(connection: Connection, failures: Sequence[ContactFailure], now: datetime) -> None:
    """Mark failures as considered, with nothing that explains them."""
    _mark(connection, [(failure, None) for failure in failures], now)


def excuse(connection: Connection, explained: Sequence[tuple[ContactFailure, int]], now: datetime) -> None:
    """Mark failures as considered and explained, so that they never count against a contact."""
    _mark(connection, explained, now)


def hold(connection: Connection, explained: Sequence[tuple[ContactFailure, int]]) -> None:
    """Hold failures until what explains them ends."""
    _mark(connection, explained, None)


def put_back(connection: Connection, failures: Sequence[ContactFailure]) -> None:
    """Put failures back into the queue."""
    _mark(connection, [(failure, None) for failure in failures], None)


def holding_incidents(connection: Connection) -> list[int]:
    """The ids of incidents that hold failures."""
    return list(connection.execute(_HOLDING_INCIDENTS, {"by_rate": BY_RATE}).scalars())


def excuse_held(connection: Connection, incident_id: int, limit: int, now: datetime) -> list[str]:
    """Excuse about `limit` of the failures that the incident holds and explained. Returns their contacts."""
    values = {"incident_id": incident_id, "limit": limit, "now": now}
    return list(connection.execute(_EXCUSE_HELD, values).scalars())


def excused_repeatedly(
    connection: Connection, contacts: Iterable[str], apart: timedelta, since: datetime
) -> set[tuple[str, str]]:
    """Of these contacts those with explained failures that far apart since then, each with its business number."""
    values = {
        "contacts": sorted({*contacts} - {""}),
        "since": since,
        "by_rate": BY_RATE,
        "apart": apart,
    }
    return {(row.contact, row.phone_number_id) for row in connection.execute(_EXCUSED_REPEATEDLY, values)}


def release_held(connection: Connection, incident_id: int, limit: int) -> int:
    """Release about `limit` of the failures that the incident holds, to be considered again. Returns how many."""
    return connection.execute(_RELEASE_HELD, {"incident_id": incident_id, "limit": limit}).rowcount


def excuse_considered(connection: Connection, period: ExplainedPeriod) -> tuple[int, set[tuple[str, str]]]:
    """Excuse counted failures that the period explains; returns how many, with their contacts and numbers."""
    return _update_in_period(connection, _EXCUSE_CONSIDERED, period, {})


def undo(connection: Connection, period: ExplainedPeriod, now: datetime) -> tuple[int, set[tuple[str, str]]]:
    """Let the failures that the incident holds never count again; returns how many, with their contacts and numbers."""
    return _update_in_period(connection, _UNDO, period, {"now": now, "undone": INCIDENT_UNDONE})


def _update_in_period(
    connection: Connection, statement: str, period: ExplainedPeriod, values: dict[str, Any]
) -> tuple[int, set[tuple[str, str]]]:
    same = "".join(f" AND {name} = :{name}" for name in period.slice)
    values |= {"incident_id": period.by, "start": period.start, "end": period.end or _EVER}
    values |= {"codes": list(period.codes)} | period.slice
    rows = connection.execute(text(statement.format(same=same)), values).all()
    return len(rows), {(row.contact, row.phone_number_id) for row in rows}


def _read(connection: Connection, statement: str, values: dict[str, Any]) -> list[ContactFailure]:
    return [ContactFailure(**row) for row in connection.execute(text(statement), values).mappings()]


def _mark(
    connection: Connection,
    marked: Sequence[tuple[ContactFailure, int | None]],
    considered_at: datetime | None,
) -> None:
    if not marked:
        return
    times = [failure.occurred_at for failure, _ in marked]
    values = {
        "message_ids": [failure.message_id for failure, _ in marked],
        "numbers": [failure.phone_number_id for failure, _ in marked],
        "times": times,
        "codes": [failure.error_code for failure, _ in marked],
        "explained_by": [by for _, by in marked],
        "considered_at": considered_at,
        "first": min(times),
        "last": max(times),
    }
    connection.execute(_MARK, values)
