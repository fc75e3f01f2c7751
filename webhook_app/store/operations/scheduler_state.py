"""What every job of the scheduler ran last, how often, and who led: a row per job, for readiness, metrics and pages."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection

_STARTED = text("""
INSERT INTO scheduler_state (job, started_at, leader, interval_seconds) VALUES (:job, :now, :leader, :interval)
ON CONFLICT (job) DO UPDATE SET started_at = excluded.started_at, ended_at = NULL, leader = excluded.leader,
  interval_seconds = excluded.interval_seconds
""")
_ENDED = text("""
UPDATE scheduler_state SET ended_at = :now, seconds = :seconds, error = :error, runs = runs + 1,
  failures = failures + CASE WHEN :error = '' THEN 0 ELSE 1 END, total_seconds = total_seconds + :seconds
WHERE job = :job AND leader = :leader
""")
# Losing the last of these rows in a crash harms nobody, so they need not wait for the disk.
_UNHURRIED = text("SET LOCAL synchronous_commit = off")


class JobState(Struct, frozen=True):
    """The last run of a job, and all that ended. `ended_at` is None while it runs or when it was cut off."""

    job: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float
    error: str
    leader: str
    interval_seconds: float = 0
    runs: int = 0
    failures: int = 0
    total_seconds: float = 0


def record_start(connection: Connection, job: str, leader: str, now: datetime, interval: float = 0) -> None:
    """The job runs now, on this leader, and is due every `interval` seconds."""
    connection.execute(_UNHURRIED)
    connection.execute(_STARTED, {"job": job, "leader": leader, "now": now, "interval": interval})


def record_end(
    connection: Connection, job: str, leader: str, now: datetime, seconds: float, error: str
) -> None:
    """The job has ended, with this error or none; ignored when another leader has run it since."""
    connection.execute(_UNHURRIED)
    values = {"job": job, "leader": leader, "now": now, "seconds": seconds, "error": error}
    connection.execute(_ENDED, values)


def job_state(connection: Connection, job: str) -> JobState | None:
    """The last run of this job; None before there was any."""
    return next((state for state in job_states(connection) if state.job == job), None)


def job_states(connection: Connection) -> list[JobState]:
    """The last run of every job, by name."""
    statement = text(
        "SELECT job, started_at, ended_at, seconds, error, leader, interval_seconds, runs, failures, total_seconds"
        " FROM scheduler_state ORDER BY job"
    )
    return [JobState(*row) for row in connection.execute(statement)]
