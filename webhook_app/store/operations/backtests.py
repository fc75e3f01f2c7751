"""Backtests that people asked for: rows from the wish to the result, run by the scheduler. Judges nothing.

A running one says every second that it still runs; one that falls silent is begun anew by whoever finds it.
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
_NOTE = text("""
UPDATE backtests SET progress = :progress, seen_at = :now WHERE id = :id AND state = 'running' AND tries = :tries
""")
_END = text("""
UPDATE backtests SET state = :state, ended_at = :now, progress = CASE WHEN :state = 'done' THEN 1 ELSE progress END,
       fault = :fault, result = :result
WHERE id = :id AND state = 'running' AND tries = :tries
""").bindparams(bindparam("result", type_=JSONB(none_as_null=True)))
_PEOPLE = text("""
INSERT INTO backtest_people (backtest_id, contact, phone_number_id, reason, scope, code, until, failures)
VALUES (:backtest_id, :contact, :phone_number_id, :reason, :scope, :code, :until, :failures)
ON CONFLICT DO NOTHING
""")


class Backtest(Struct, frozen=True, kw_only=True):
    """One backtest. `state`: waiting, running, done, failed or stopped. `chosen`: names of rules; empty for all."""

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
    """Somebody whom the rules would have suppressed."""

    contact: str
    phone_number_id: str
    reason: str
    scope: str
    code: int
    until: datetime | None
    failures: int


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
    """Ask for one; returns its id."""
    values = {"requested_at": now, "requested_by": requested_by, "rules": rules, "chosen": list(chosen)}
    values |= {"start_at": span[0], "end_at": span[1], "step_seconds": step_seconds}
    return int(connection.execute(_ADD, values).scalar_one())


def unfinished(connection: Connection) -> int:
    """How many wait or run."""
    statement = text("SELECT count(*) FROM backtests WHERE state IN ('waiting', 'running')")
    return int(connection.execute(statement).scalar_one())


def claim(connection: Connection, now: datetime, silent_since: datetime) -> Backtest | None:
    """Take the oldest that waits, or whose runner has fallen silent."""
    row = connection.execute(_CLAIM, {"now": now, "silent_since": silent_since}).mappings().one_or_none()
    return Backtest(**row) if row else None


def note_progress(connection: Connection, run: Backtest, progress: float, now: datetime) -> bool:
    """Say how far it is; False when it is not ours any more: somebody stopped it, or began it anew."""
    values = {"id": run.id, "tries": run.tries, "progress": progress, "now": now}
    return connection.execute(_NOTE, values).rowcount == 1


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
    """Keep what came of it, unless it is not ours any more."""
    values = {"id": run.id, "tries": run.tries, "state": state, "now": now, "fault": fault, "result": result}
    if connection.execute(_END, values).rowcount != 1:
        return False
    if people:
        rows = [
            {"backtest_id": run.id} | {name: getattr(p, name) for name in BacktestContact.__struct_fields__}
            for p in people
        ]
        connection.execute(_PEOPLE, rows)
    return True


def wait_again(connection: Connection, run: Backtest) -> None:
    """Give it back unfinished: the next runner begins anew, and this one does not count as a try."""
    statement = text(
        "UPDATE backtests SET state = 'waiting', progress = 0, tries = tries - 1"
        " WHERE id = :id AND state = 'running' AND tries = :tries"
    )
    connection.execute(statement, {"id": run.id, "tries": run.tries})


def stop(connection: Connection, backtest_id: int, by: str, now: datetime) -> bool:
    """Stop one that waits or runs; False when it is over."""
    statement = text(
        "UPDATE backtests SET state = 'stopped', ended_at = :now, fault = :fault"
        " WHERE id = :id AND state IN ('waiting', 'running')"
    )
    return (
        connection.execute(statement, {"id": backtest_id, "now": now, "fault": f"stopped by {by}"}).rowcount
        == 1
    )


def get(connection: Connection, backtest_id: int) -> Backtest | None:
    """The one with this id."""
    row = connection.execute(text(f"SELECT {_COLUMNS} FROM backtests WHERE id = :id"), {"id": backtest_id})
    found = row.mappings().one_or_none()
    return Backtest(**found) if found else None


def latest(connection: Connection, limit: int) -> list[Backtest]:
    """The latest, newest first."""
    rows = connection.execute(
        text(f"SELECT {_COLUMNS} FROM backtests ORDER BY id DESC LIMIT :limit"), {"limit": limit}
    )
    return [Backtest(**row) for row in rows.mappings()]


def people(connection: Connection, backtest_id: int, limit: int) -> list[BacktestContact]:
    """Whom it would have suppressed, up to `limit`."""
    statement = text(f"""
        SELECT {", ".join(BacktestContact.__struct_fields__)} FROM backtest_people WHERE backtest_id = :id
        ORDER BY contact, phone_number_id, scope, reason LIMIT :limit""")
    rows = connection.execute(statement, {"id": backtest_id, "limit": limit})
    return [BacktestContact(**row) for row in rows.mappings()]
