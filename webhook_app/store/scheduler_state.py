"""What every job of the scheduler ran last, and who led: a row per job, for readiness and pages."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, text

_STARTED = text("""
INSERT INTO scheduler_state (job, started_at, leader) VALUES (:job, :now, :leader)
ON CONFLICT (job) DO UPDATE SET started_at = excluded.started_at, ended_at = NULL, leader = excluded.leader
""")
_ENDED = text("""
UPDATE scheduler_state SET ended_at = :now, seconds = :seconds, error = :error
WHERE job = :job AND leader = :leader
""")
# Losing the last of these rows in a crash harms nobody, so they need not wait for the disk.
_UNHURRIED = text("SET LOCAL synchronous_commit = off")


class JobState(Struct, frozen=True):
    """The last run of a job. `ended_at` is None while it runs or when it was cut off."""

    job: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float
    error: str
    leader: str


def record_start(connection: Connection, job: str, leader: str, now: datetime) -> None:
    """The job runs now, on this leader."""
    connection.execute(_UNHURRIED)
    connection.execute(_STARTED, {"job": job, "leader": leader, "now": now})


def record_end(
    connection: Connection, job: str, leader: str, now: datetime, seconds: float, error: str
) -> None:
    """The job has ended, with this error or none; ignored when another leader has run it since."""
    connection.execute(_UNHURRIED)
    values = {"job": job, "leader": leader, "now": now, "seconds": seconds, "error": error}
    connection.execute(_ENDED, values)


def job_states(connection: Connection) -> list[JobState]:
    """The last run of every job, by name."""
    statement = text(
        "SELECT job, started_at, ended_at, seconds, error, leader FROM scheduler_state ORDER BY job"
    )
    return [JobState(*row) for row in connection.execute(statement)]
