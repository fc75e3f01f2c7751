"""The state of the scheduler's jobs: last run, number of runs, leader. One row per job, for readiness and pages."""

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
# Losing the last of these rows in a crash does no harm, so the commit does not wait for the disk.
_ASYNCHRONOUS_COMMIT = text("SET LOCAL synchronous_commit = off")


class JobState(Struct, frozen=True):
    """The last run of a job, and sums over all finished runs. `ended_at` is None while it runs or if it was killed."""

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


_STATES = text(f"SELECT {', '.join(JobState.__struct_fields__)} FROM scheduler_state ORDER BY job")


def record_start(connection: Connection, job: str, leader: str, now: datetime, interval: float = 0) -> None:
    """Record that the leader started the job, which is due every `interval` seconds."""
    connection.execute(_ASYNCHRONOUS_COMMIT)
    connection.execute(_STARTED, {"job": job, "leader": leader, "now": now, "interval": interval})


def record_end(
    connection: Connection, job: str, leader: str, now: datetime, seconds: float, error: str
) -> None:
    """Record that the job ended, with this error or none; ignored if another leader has started it since."""
    connection.execute(_ASYNCHRONOUS_COMMIT)
    values = {"job": job, "leader": leader, "now": now, "seconds": seconds, "error": error}
    connection.execute(_ENDED, values)


def job_state(connection: Connection, job: str) -> JobState | None:
    """The state of this job; None before its first run."""
    return next((state for state in job_states(connection) if state.job == job), None)


def job_states(connection: Connection) -> list[JobState]:
    """The states of all jobs, by name."""
    return [JobState(*row) for row in connection.execute(_STATES)]
