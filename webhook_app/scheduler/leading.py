"""Runs the table of jobs (jobs.py): one leader at a time does, however many schedulers are started.

Leadership is a session advisory lock on its own connection, which standbys try to take every second; so the scheduler
must not connect through a pooler that shares connections. When the connection is lost no job starts, running ones
finish, and the lock is tried again. On SIGTERM or SIGINT running jobs finish and `run` returns.
"""

import logging
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress as ignore
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor  # type: ignore[import-untyped]  # version 3 has none
from apscheduler.schedulers.background import BackgroundScheduler  # type: ignore[import-untyped]

from webhook_app.logs import mask_private
from webhook_app.pipeline.incidents.notifications.clock_set_back import make_due
from webhook_app.rules.incidents.announcements import missing_channels
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.scheduler.jobs import Job, make_channels, make_jobs
from webhook_app.settings import Settings
from webhook_app.store.operations import scheduler_state
from webhook_app.store.postgres.engine import Engine, make_engine
from webhook_app.store.postgres.errors import EngineError
from webhook_app.store.postgres.leadership import Leadership

log = structlog.get_logger()

LEADER_SECONDS = 1.0
_SET_BACK_S = 5.0  # by less a clock is corrected often, and the jobs are at most so late
_ERROR_LENGTH = 500


def run(settings: Settings, rules: Sequence[Rule]) -> None:
    """Stand by or lead until SIGTERM or SIGINT. Call it in the main thread."""
    limit_logging()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = make_engine(settings.database_url, application="webhook_app scheduler")
    leadership = Leadership(settings.database_url)
    channels = make_channels(settings)
    jobs = make_jobs(engine, settings, rules, channels, lambda: leadership.held and not stop.is_set())
    log.info("scheduler started", leader=leadership.name, rules=len(rules), channels=sorted(channels))
    for fault in missing_channels(rules, channels):
        log.warning("notifications go to the log instead", fault=fault)
    try:
        while not stop.is_set():
            if leadership.acquire():
                log.info("leading", leader=leadership.name)
                _lead(engine, leadership, jobs, stop)
            stop.wait(LEADER_SECONDS)
    finally:
        leadership.release()
        engine.dispose()
        log.info("scheduler stopped", leader=leadership.name)


def _lead(engine: Engine, leadership: Leadership, jobs: Sequence[Job], stop: threading.Event) -> None:
    """Run the jobs until the lock is lost or `stop` is set; then wait for running jobs."""
    clock = BackgroundScheduler(
        timezone=UTC,
        executors={"default": ThreadPoolExecutor(len(jobs))},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    for job in jobs:
        clock.add_job(
            partial(_run_job, engine, leadership, job, stop),
            "interval",
            seconds=job.seconds,
            id=job.name,
            next_run_time=datetime.now(UTC),
        )
    clock.start()
    wall = _WallClock()
    while not stop.wait(LEADER_SECONDS) and leadership.check():
        if wall.was_set_back():
            log.warning("the clock was set back: all jobs start now")
            for scheduled in clock.get_jobs():
                scheduled.modify(next_run_time=datetime.now(UTC))
            with ignore(EngineError):
                make_due(engine, datetime.now(UTC))
    ending = threading.Thread(target=clock.shutdown, name="ending")
    ending.start()
    while ending.is_alive():  # keep the lock while a job runs
        ending.join(LEADER_SECONDS)
        leadership.check()


class _WallClock:
    """Notices that the clock was set back: APScheduler starts no job until the old time has come again."""

    def __init__(self) -> None:
        self._ahead_s = self._measure()

    def was_set_back(self) -> bool:
        """Whether it was, since the last call."""
        before, self._ahead_s = self._ahead_s, self._measure()
        return before - self._ahead_s > _SET_BACK_S

    def _measure(self) -> float:
        return datetime.now(UTC).timestamp() - monotonic()


def _run_job(engine: Engine, leadership: Leadership, job: Job, stop: threading.Event) -> None:
    """Run a job once and record it. A failure is logged and recorded, and does not stop later runs."""
    if stop.is_set() or not leadership.check():
        return
    began, now, error = monotonic(), datetime.now(UTC), ""
    try:
        with engine.begin() as connection:
            scheduler_state.record_start(connection, job.name, leadership.name, now, job.seconds)
        job.step(now)
    except Exception as fault:
        log.exception("job failed", job=job.name)
        first_line = str(fault).partition("\n")[0]  # SQLAlchemy's further lines hold the statement's values
        error = mask_private(f"{type(fault).__name__}: {first_line}")[:_ERROR_LENGTH]
    seconds = monotonic() - began
    try:
        with engine.begin() as connection:
            ended_at = now + timedelta(seconds=seconds)
            scheduler_state.record_end(connection, job.name, leadership.name, ended_at, seconds, error)
    except EngineError:
        log.warning("the end of a job was not recorded", job=job.name)


def limit_logging() -> None:
    """Reduce logging: httpx logs URLs, which may be secret; APScheduler warns when a slow job is due again."""
    for name, level in (("httpx", logging.WARNING), ("apscheduler", logging.ERROR)):
        logging.getLogger(name).setLevel(level)
