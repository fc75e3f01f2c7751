"""Retries as rows: failed messages, when each is due, and who leases it. Decides nothing.

A lease is a token: only the sender with the latest one can report the outcome of the message.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import text

from webhook_app.rules.sends.retries import REPORTED_WITHIN, Reason, State
from webhook_app.store.counts.series import groups_sql
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.locks import CLAIM_LOCKS, CLAIM_SLOT_LOCKS, try_named_until_commit


class Retry(Struct, frozen=True, kw_only=True):
    """One retry, see the table's columns; `template` and `campaign` are those of its series."""

    id: int = 0
    message_id: str
    phone_number_id: str
    occurred_at: datetime
    error_code: int
    contact: str
    series_id: int
    category: str
    first_message_id: str
    first_failed_at: datetime
    state: State
    reason: Reason = ""
    why: str = ""
    attempts: int
    failed_at: datetime
    last_code: int
    last_subcode: int
    due_at: datetime
    lease: str = ""
    leased_by: str = ""
    leased_at: datetime | None = None
    leased_until: datetime | None = None
    claim: str = ""
    outcome: str = ""
    sent_message_id: str = ""
    reported_by: str = ""
    template: str = ""
    campaign: str = ""


class HeldFailures(NamedTuple):
    """Failures of an open incident: with one of the codes, in any of the groups."""

    codes: Sequence[int]
    groups: Sequence[Mapping[str, str | int]]


class RetryFilters(Struct, frozen=True, kw_only=True):
    """Which retries a sender wants; None matches all. Those that `held` holds match never.

    `key`: its API key; messages that another one reported never match.
    """

    key: str
    phone_number_id: str | None = None
    template: str | None = None
    campaign: str | None = None
    held: tuple[HeldFailures, ...] = ()


class RetryCounts(Struct, frozen=True):
    """How many retries are due now, wait for their time, are leased, and are dead letters."""

    due: int
    waiting: int
    leased: int
    dead: int


_STORED = [name for name in Retry.__struct_fields__ if name not in ("id", "template", "campaign")]
_COLUMNS = ", ".join(["r.id", *(f"r.{name}" for name in _STORED), "s.template", "s.campaign"])
_FROM = f"SELECT {_COLUMNS} FROM retries r JOIN series s ON s.id = r.series_id"
_INSERT = text(
    f"INSERT INTO retries ({', '.join(_STORED)}) SELECT {', '.join(_STORED)}"
    " FROM json_populate_recordset(CAST(NULL AS retries), CAST(:rows AS json)) ON CONFLICT DO NOTHING"
)
_CHANGED = {
    "state": "text",
    "reason": "text",
    "why": "text",
    "attempts": "int",
    "due_at": "timestamptz",
    "lease": "text",
    "leased_by": "text",
    "leased_at": "timestamptz",
    "leased_until": "timestamptz",
    "claim": "text",
    "outcome": "text",
}
_SAVE = text(f"""
UPDATE retries r SET {", ".join(f"{name} = i.{name}" for name in _CHANGED)}
FROM unnest(CAST(:id AS bigint[]), {", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _CHANGED.items())})
  AS i(id, {", ".join(_CHANGED)})
WHERE r.id = i.id
""")
_CLAIMS_AT_ONCE = 5  # of one key: each has a connection of the pool, which all senders share
_NO_KEY = ""  # of messages that no key reported
_RECENTLY = timedelta(days=1)
_LEASABLE = "r.state IN ('waiting', 'leased')"
_CLAIMED = text(f"""
{_FROM} WHERE r.state = 'leased' AND r.claim <> '' AND r.claim = :claim AND r.leased_by = :key AND r.leased_until > :now
ORDER BY r.id
""")
# While several keys claim, a message that none reported waits for a report: its sender's may be on its way.
_DUE_AT = f"""
CASE WHEN r.reported_by = '{_NO_KEY}' AND (
       SELECT EXISTS (SELECT FROM retry_progress p
                      WHERE p.reported_by NOT IN ('{_NO_KEY}', :own) AND p.searched_at > :now - :recently))
     THEN greatest(r.due_at, r.occurred_at + :reported_within) ELSE r.due_at END
"""
_MOST_WAITING = 100  # that are read for the time of the next one
_GET = text(f"{_FROM} WHERE r.id = :id")
# A retry that has failed before its sender said which one it was goes on with the attempts of this one.
_FINISH = text("""
WITH mine AS (
  UPDATE retries SET outcome = :outcome, state = :state, reason = :reason, due_at = :due_at, failed_at = :failed_at,
         last_code = :last_code, last_subcode = :last_subcode, sent_message_id = :sent_message_id
  WHERE id = :id AND lease = :lease AND outcome = ''
  RETURNING id, phone_number_id, contact, sent_message_id, attempts, first_message_id, first_failed_at, leased_by
), followed AS (
  UPDATE retries r SET attempts = greatest(r.attempts, m.attempts), first_message_id = m.first_message_id,
         first_failed_at = m.first_failed_at
  FROM mine m
  WHERE m.sent_message_id <> '' AND r.id <> m.id AND r.reported_by IN ('', m.leased_by)
    AND (r.message_id, r.phone_number_id, r.contact) = (m.sent_message_id, m.phone_number_id, m.contact)
)
SELECT count(*) FROM mine
""")
_EXPIRE = text("""
UPDATE retries SET state = 'dead', reason = 'expired' WHERE id = ANY(ARRAY(
  SELECT id FROM retries WHERE state IN ('waiting', 'leased') AND due_at <= :before ORDER BY due_at LIMIT :limit
  FOR UPDATE SKIP LOCKED))
""")
_COUNTS = text("""
SELECT count(*) FILTER (WHERE due_at <= :now) AS due,
       count(*) FILTER (WHERE due_at > :now AND (state = 'waiting' OR leased_until <= :now)) AS waiting,
       count(*) FILTER (WHERE state = 'leased' AND leased_until > :now) AS leased,
       (SELECT count(*) FROM retries WHERE state = 'dead') AS dead
FROM retries WHERE state IN ('waiting', 'leased')
""")


def insert(connection: Connection, retries: Sequence[Retry]) -> None:
    """Store new retries; those of failures that have one are left as they are."""
    if retries:
        connection.execute(_INSERT, {"rows": msgspec.json.encode(retries).decode()})


def take_due(connection: Connection, wanted: RetryFilters, now: datetime, limit: int) -> list[Retry]:
    """Lock the retries that may be leased, the longest due first, without those that another session has locked."""
    chosen, values = _choose(wanted)
    statement = text(
        f"{_FROM} WHERE {_LEASABLE} AND r.due_at <= :now AND {_DUE_AT} <= :now{chosen}"
        " ORDER BY r.due_at, r.id LIMIT :limit FOR UPDATE OF r SKIP LOCKED"
    )
    found = [
        each
        for key in (_NO_KEY, wanted.key)
        for each in _read(connection, statement, values | {"key": key, "now": now, "limit": limit})
    ]
    return sorted(found, key=lambda each: (each.due_at, each.id))[:limit]


def expire(connection: Connection, before: datetime, limit: int) -> None:
    """End retries that were due then already and that nobody has claimed."""
    connection.execute(_EXPIRE, {"before": before, "limit": limit})


def next_due_at(connection: Connection, wanted: RetryFilters, now: datetime) -> datetime | None:
    """When the next retry can be leased; None if there is none."""
    chosen, values = _choose(wanted)
    statement = text(
        f"SELECT min(due_at) FROM (SELECT {_DUE_AT} AS due_at FROM retries r JOIN series s ON s.id = r.series_id"
        f" WHERE {_LEASABLE}{chosen} ORDER BY r.due_at LIMIT {_MOST_WAITING}) AS first"
    )
    found = (
        connection.execute(statement, values | {"key": key, "now": now}).scalar_one()
        for key in (_NO_KEY, wanted.key)
    )
    return min((each for each in found if each is not None), default=None)


def save(connection: Connection, retries: Sequence[Retry]) -> None:
    """Write what a claim has changed."""
    if retries:
        values = {name: [getattr(each, name) for each in retries] for name in ("id", *_CHANGED)}
        connection.execute(_SAVE, values)


def try_lock_claim(connection: Connection, key: str, claim: str) -> bool:
    """Whether the API key may claim now: until the transaction ends it runs few claims, and one with this id."""
    slots = [f"{key}\x1f{place}" for place in range(_CLAIMS_AT_ONCE)]
    return try_named_until_commit(connection, CLAIM_SLOT_LOCKS, *slots) and (
        not claim or try_named_until_commit(connection, CLAIM_LOCKS, f"{key}\x1f{claim}")
    )


def claimed(connection: Connection, key: str, claim: str, now: datetime) -> list[Retry]:
    """What the API key leased by the claim with this id, and still has."""
    return _read(connection, _CLAIMED, {"key": key, "claim": claim, "now": now})


def get(connection: Connection, retry_id: int) -> Retry | None:
    """The retry with this id."""
    return next(iter(_read(connection, _GET, {"id": retry_id})), None)


def finish(connection: Connection, retry: Retry) -> bool:
    """Write the outcome of a lease. False if the lease has been given to somebody else or has an outcome."""
    return bool(connection.execute(_FINISH, asdict(retry)).scalar_one())


def count(connection: Connection, now: datetime) -> RetryCounts:
    """The number of retries by what they wait for."""
    return RetryCounts(*connection.execute(_COUNTS, {"now": now}).one())


def _choose(wanted: RetryFilters) -> tuple[str, dict[str, Any]]:
    """Conditions with their values, except `key`: an index gives what one key reported in the order of its time."""
    given = {
        "r.phone_number_id": wanted.phone_number_id,
        "s.template": wanted.template,
        "s.campaign": wanted.campaign,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    chosen = " AND r.reported_by = :key" + "".join(f" AND {name} = :{name[2:]}" for name in asked)
    values: dict[str, Any] = {name[2:]: value for name, value in asked.items()}
    values |= {"own": wanted.key, "recently": _RECENTLY, "reported_within": REPORTED_WITHIN}
    for place, held in enumerate(wanted.held):
        codes = f"held_{place}_codes"
        values[codes] = list(held.codes)
        condition, of_groups = groups_sql(held.groups)
        inside = condition.replace(":group_", f":held_{place}_group_")
        values |= {f"held_{place}_{name}": value for name, value in of_groups.items()}
        series = f" AND EXISTS (SELECT FROM series WHERE id = r.series_id AND ({inside}))" if inside else ""
        chosen += f" AND NOT (r.last_code = ANY(:{codes}){series})"
    return chosen, values


def _read(connection: Connection, statement: Any, values: dict[str, Any]) -> list[Retry]:
    return [Retry(**row) for row in connection.execute(statement, values).mappings()]
