"""Requested backtests: rows from the request to the result. The scheduler runs them.

A running backtest updates `seen_at` every second; one that stops doing so is started again.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.postgres.engine import Connection

_COLUMNS = (
    "id, requested_at, requested_by, rules, chosen, start_at, end_at, step_seconds, state, progress, started_at,"
    " ended_at, tries, fault, result"
)
_ADD = text("""
INSERT INTO backtests (requested_at, requested_by, rules, chosen, start_at, end_at, step_seconds, state)
VALUES (:requested_at, :requested_by, :rules, :chosen, :start_at, :end_at, :step_seconds, 'waiting') RETURNING id
""")
_CLAIM = text(f"""
UPDATE backtests SET state = 'running', started_at = :now, seen_at = :now, progress = 0, tries = tries + 1
WHERE id = (SELECT id FROM backtests
            WHERE state = 'waiting' OR (state = 'running' AND seen_at < :silent_since)
            ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING {_COLUMNS}
""")
_SAVE_PROGRESS = text("""
UPDATE backtests SET progress = :progress, seen_at = :now WHERE id = :id AND state = 'running' AND tries = :tries
""")
_END = text("""
UPDATE backtests SET state = :state, ended_at = :now, progress = CASE WHEN :state = 'done' THEN 1 ELSE progress END,
       fault = :fault, result = :result
WHERE id = :id AND state = 'running' AND tries = :tries
""").bindparams(bindparam("result", type_=JSONB(none_as_null=True)))
# Erased people are left out: the run has read for minutes what was stored when it began.
_ADD_PEOPLE = text("""
INSERT INTO backtest_people (backtest_id, contact, phone_number_id, reason, scope, code, until, failures)
SELECT :backtest_id, :contact, :phone_number_id, :reason, :scope, :code, :until, :failures
WHERE EXISTS (SELECT FROM failures WHERE contact = :contact)
   OR EXISTS (SELECT FROM contact_links WHERE contact = :contact OR user_id = :contact)
   OR EXISTS (SELECT FROM number_changes WHERE old_contact = :contact OR new_contact = :contact)
ON CONFLICT DO NOTHING
""")
_UNFINISHED = text("SELECT count(*) FROM backtests WHERE state IN ('waiting', 'running')")
_WAIT_AGAIN = text("""
UPDATE backtests SET state = 'waiting', progress = 0, tries = tries - 1
WHERE id = :id AND state = 'running' AND tries = :tries
""")
_STOP = text("""
UPDATE backtests SET state = 'stopped', ended_at = :now, fault = :fault
WHERE id = :id AND state IN ('waiting', 'running')
""")
_GET = text(f"SELECT {_COLUMNS} FROM backtests WHERE id = :id")
_LATEST = text(f"SELECT {_COLUMNS} FROM backtests ORDER BY id DESC LIMIT :limit")


class Backtest(Struct, frozen=True, kw_only=True):
    """One backtest. `state`: waiting, running, done, failed or stopped. `chosen`: names of rules; empty means all."""

    id: int
    requested_at: datetime
    requested_by: str
    rules: str
    chosen: list[str]
    start_at: datetime
    end_at: datetime
    step_seconds: int
    state: str
    progress: float
    started_at: datetime | None
    ended_at: datetime | None
    tries: int
    fault: str
    result: dict[str, Any] | None

    @property
    def is_over(self) -> bool:
        return self.state not in ("waiting", "running")


class BacktestContact(Struct, frozen=True, kw_only=True):
    """A contact that the rules would have suppressed."""

    contact: str
    phone_number_id: str
    reason: str
    scope: str
    code: int
    until: datetime | None
    failures: int


_PEOPLE = text(f"""
SELECT {", ".join(BacktestContact.__struct_fields__)} FROM backtest_people WHERE backtest_id = :id
ORDER BY contact, phone_number_id, scope, reason LIMIT :limit
""")


def add(
    connection: Connection,
    *,
    requested_by: str,
    rules: str,
    chosen: Sequence[str],
    span: tuple[datetime, datetime],
    step_seconds: int,
    now: datetime,
) -> int:
    """Request a backtest; returns its id."""
    values = {"requested_at": now, "requested_by": requested_by, "rules": rules, "chosen": list(chosen)}
    values |= {"start_at": span[0], "end_at": span[1], "step_seconds": step_seconds}
    return int(connection.execute(_ADD, values).scalar_one())


def unfinished(connection: Connection) -> int:
    """The number of waiting and running backtests."""
    return int(connection.execute(_UNFINISHED).scalar_one())


def claim(connection: Connection, now: datetime, silent_since: datetime) -> Backtest | None:
    """Start the oldest backtest that waits, or that has not been seen running since `silent_since`."""
    row = connection.execute(_CLAIM, {"now": now, "silent_since": silent_since}).mappings().one_or_none()
    return Backtest(**row) if row else None


def note_progress(connection: Connection, run: Backtest, progress: float, now: datetime) -> bool:
    """Save the progress; False if the backtest was stopped, or started again by another runner."""
    values = {"id": run.id, "tries": run.tries, "progress": progress, "now": now}
    return connection.execute(_SAVE_PROGRESS, values).rowcount == 1


def end(
    connection: Connection,
    run: Backtest,
    state: str,
    now: datetime,
    *,
    fault: str = "",
    result: dict[str, Any] | None = None,
    people: Sequence[BacktestContact] = (),
) -> bool:
    """Save the result; False if the backtest was stopped, or started again by another runner."""
    values = {"id": run.id, "tries": run.tries, "state": state, "now": now, "fault": fault, "result": result}
    if connection.execute(_END, values).rowcount != 1:
        return False
    if people:
        rows = [
            {"backtest_id": run.id} | {name: getattr(p, name) for name in BacktestContact.__struct_fields__}
            for p in people
        ]
        connection.execute(_ADD_PEOPLE, rows)
    return True


def wait_again(connection: Connection, run: Backtest) -> None:
    """Return a running backtest to the queue; this run does not count as a try."""
    connection.execute(_WAIT_AGAIN, {"id": run.id, "tries": run.tries})


def stop(connection: Connection, backtest_id: int, by: str, now: datetime) -> bool:
    """Stop a waiting or running backtest; False if it has ended."""
    values = {"id": backtest_id, "now": now, "fault": f"stopped by {by}"}
    return connection.execute(_STOP, values).rowcount == 1


def get(connection: Connection, backtest_id: int) -> Backtest | None:
    """The backtest with this id; None if there is none."""
    found = connection.execute(_GET, {"id": backtest_id}).mappings().one_or_none()
    return Backtest(**found) if found else None


def latest(connection: Connection, limit: int) -> list[Backtest]:
    """The latest backtests, newest first."""
    return [Backtest(**row) for row in connection.execute(_LATEST, {"limit": limit}).mappings()]


def people(connection: Connection, backtest_id: int, limit: int) -> list[BacktestContact]:
    """Up to `limit` contacts that the rules would have suppressed."""
    rows = connection.execute(_PEOPLE, {"id": backtest_id, "limit": limit})
    return [BacktestContact(**row) for row in rows.mappings()]
