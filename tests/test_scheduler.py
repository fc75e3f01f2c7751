"""Real schedulers as processes on one database: one leads, another takes over, a stopped one finishes its job."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import apscheduler.schedulers.base
import apscheduler.triggers.interval
import psycopg
import pytest
from msgspec import to_builtins
from sqlalchemy import Engine, text

from tests.channels.fake_slack import Answer, fake_slack
from tests.channels.notifications import notification
from tests.store.postgres.test_leadership import end_leaders_session
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.test_settings import CHANNELS
from webhook_app.rules.incidents.rules_file.rules_file import RulesFileError
from webhook_app.scheduler import leading
from webhook_app.scheduler.jobs import Job, load_rules, make_channels, make_jobs
from webhook_app.settings import read_settings
from webhook_app.store.incidents import channel_states, outbox
from webhook_app.store.operations import scheduler_state
from webhook_app.store.operations.scheduler_state import JobState
from webhook_app.store.postgres.leadership import Leadership

RUN = """
from webhook_app import logs
from webhook_app.scheduler.jobs import load_rules
from webhook_app.scheduler.leading import run
from webhook_app.settings import read_settings
logs.configure("text")
settings = read_settings()
run(settings, load_rules(settings.rules_file))
"""
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "META_APP_SECRET": "0123456789abcdef0123456789abcdef",
        "META_VERIFY_TOKEN": "a token of the test",
        "EVALUATE_SECONDS": "0.3",
    }


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Starts schedulers; those still alive at the end are killed."""
    started: list[subprocess.Popen[bytes]] = []

    def run(**more: str) -> "subprocess.Popen[bytes]":
        with (tmp_path / f"scheduler{len(started)}.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN],
                env=os.environ | environment | more,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


_BACKDATE = """
CREATE FUNCTION backdate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.opened_at := NEW.opened_at - interval '1 minute';
  RETURN NEW;
END $$;
CREATE TRIGGER backdate BEFORE INSERT OR UPDATE ON incidents
FOR EACH ROW WHEN (NEW.notified_at IS NULL) EXECUTE FUNCTION backdate();
"""


@pytest.fixture
def announced_at_once(database_url: str) -> Iterator[None]:
    """Lets no test wait for the seconds during which a new incident gathers alerts. Precedes `start`."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_BACKDATE)
        yield
        connection.execute("DROP TRIGGER backdate ON incidents")
        connection.execute("DROP FUNCTION backdate")


def always(condition: Callable[[], bool], seconds: float) -> None:
    """Assert that `condition` is true for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        time.sleep(0.05)


def states(engine: Engine) -> dict[str, JobState]:
    with engine.connect() as connection:
        return {state.job: state for state in scheduler_state.job_states(connection)}


def leader_pid(engine: Engine) -> int:
    """The process that ran the latest job, 0 before any did."""
    latest = max(states(engine).values(), key=lambda state: state.started_at, default=None)
    return int(latest.leader.rpartition(":")[2]) if latest else 0


def connected(database_url: str, number: int) -> bool:
    """Whether so many schedulers try to lead or do."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'webhook_app leader' AND datname = current_database()"
        ).fetchone()
    return row == (number,)


def test_every_job_runs_and_is_recorded(start, engine):
    start()
    names = {
        "evaluate",
        "judge past",
        "notify log",
        "tidy outbox",
        "suppress",
        "findings",
        "sum up",
        "backtests",
        "reconcile",
        "count steps",
        "erase",
        "sends",
        "prune",
        "settle",
    }
    ended = wait_for(
        lambda: states(engine).keys() == names and all(s.ended_at for s in states(engine).values()), 20
    )
    assert ended
    assert {state.error for state in states(engine).values()} == {""}


def test_one_of_two_leads_and_the_other_takes_over_within_five_seconds_of_its_death(
    start, engine, database_url
):
    pair = {process.pid: process for process in (start(), start())}
    wait_for(lambda: connected(database_url, 2))
    leader = wait_for(lambda: leader_pid(engine))
    [standby] = pair.keys() - {leader}
    always(lambda: leader_pid(engine) == leader, 2)
    pair[leader].send_signal(signal.SIGKILL)
    wait_for(lambda: leader_pid(engine) == standby, 5)


def test_a_leader_that_loses_its_lock_stops_until_it_has_it_again(start, engine, database_url):
    process = start()
    wait_for(lambda: leader_pid(engine) == process.pid)
    with psycopg.connect(database_url, autocommit=True) as rival:
        queueing = threading.Thread(target=rival.execute, args=["SELECT pg_advisory_lock(7410002)"])
        queueing.start()
        wait_for(lambda: _queued(database_url))
        end_leaders_session(database_url)
        queueing.join(20)
        wait_for(lambda: connected(database_url, 1))
        wait_for(lambda: all(state.ended_at for state in states(engine).values()))
        before = states(engine)
        always(lambda: states(engine) == before, 2)
    wait_for(lambda: states(engine)["evaluate"].started_at > before["evaluate"].started_at)
    assert process.poll() is None


def _queued(database_url: str) -> bool:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND NOT granted AND d.datname = current_database()"
        ).fetchone()
    return row == (1,)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_job_finish(start, engine, database_url, now, number):
    with fake_slack() as slack:
        slack.answers.append(Answer(slow=True))
        process = start(SLACK_WEBHOOK_URL=slack.url)
        _add(engine, now)
        wait_for(lambda: slack.posted)
        process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        slack.released.set()
        assert process.wait(10) == 0
        assert len(slack.posted) == 1
    with engine.connect() as connection:
        assert (
            connection.execute(text("SELECT count(*) FROM notifications WHERE sent_at IS NOT NULL")).scalar()
            == 1
        )
    assert connected(database_url, 0)
    assert states(engine)["notify slack"].error == ""


def test_a_standby_stops_at_once(start, engine, database_url):
    with psycopg.connect(database_url, autocommit=True) as rival:
        rival.execute("SELECT pg_advisory_lock(7410002)")
        process = start()
        wait_for(lambda: connected(database_url, 1))
        process.terminate()
        assert process.wait(5) == 0
    assert states(engine) == {}


def test_a_job_that_fails_is_recorded_and_the_others_and_its_next_run_go_on(start, engine):
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE minute_counts RENAME TO hidden"))
    start()
    wait_for(lambda: any("UndefinedTable" in state.error for state in states(engine).values()))
    wait_for(lambda: (state := states(engine).get("evaluate")) and state.failures)
    wait_for(lambda: (state := states(engine).get("notify log")) and state.runs and not state.error)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE hidden RENAME TO minute_counts"))
    wait_for(lambda: (state := states(engine)["evaluate"]).runs > state.failures)


def test_after_the_clock_was_set_back_the_jobs_go_on_and_what_waits_is_due(
    engine: Engine, database_url: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = [timedelta(hours=1)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + ahead[0]

    for module in (leading, apscheduler.schedulers.base, apscheduler.triggers.interval):
        monkeypatch.setattr(module, "datetime", Clock)
    runs: list[datetime] = []
    leadership, stop = Leadership(database_url), threading.Event()
    wait_for(leadership.acquire)
    thread = threading.Thread(
        target=leading._lead, args=(engine, leadership, [Job("evaluate", 0.3, runs.append)], stop)
    )
    thread.start()
    try:
        wait_for(lambda: len(runs) > 1)
        with engine.begin() as connection:
            outbox.add(connection, 1, "slack", "fired", {}, now + ahead[0])
            channel_states.pause(connection, "slack", now + ahead[0])
        ahead[0] = timedelta()
        before = len(runs)
        wait_for(lambda: len(runs) > before + 2 and runs[-1] < now + timedelta(minutes=5))
        with engine.connect() as connection:
            assert channel_states.paused_until(connection, "slack") < now + timedelta(minutes=5)
            assert outbox.claim(connection, "slack", now + timedelta(minutes=5), now + timedelta(minutes=6))
    finally:
        stop.set()
        thread.join()
        leadership.release()


def test_a_slow_channel_delays_no_other_and_no_evaluation(start, engine, now):
    with fake_slack() as slack:
        slack.answers.append(Answer(hang=True))
        _add(engine, now)
        start(SLACK_WEBHOOK_URL=slack.url)
        wait_for(lambda: slack.posted)
        with engine.begin() as connection:
            outbox.add(connection, 12, "log", "fired", to_builtins(notification()), now)
        wait_for(lambda: _sent(engine, "log"))
        before = states(engine)["evaluate"].started_at
        wait_for(lambda: states(engine)["evaluate"].started_at > before)
        assert not _sent(engine, "slack")


def test_failures_become_an_incident_in_slack(announced_at_once, start, engine, database_url, now):
    traffic = Traffic(database_url)
    traffic.sent(1000, now)
    traffic.failed(60, now, 131026)
    traffic.close()
    with fake_slack() as slack:
        start(SLACK_WEBHOOK_URL=slack.url, PUBLIC_URL="https://alerts.example")
        [posted] = wait_for(lambda: slack.posted)
    assert "60 of 1 060 messages failed" in posted["text"]
    assert "https://alerts.example/incidents/" in str(posted["blocks"])


def _add(engine: Engine, now: datetime) -> None:
    with engine.begin() as connection:
        outbox.add(connection, 12, "slack", "fired", to_builtins(notification()), now)


def _sent(engine: Engine, channel: str) -> bool:
    with engine.connect() as connection:
        statement = text(
            "SELECT count(*) FROM notifications WHERE channel = :channel AND sent_at IS NOT NULL"
        )
        return bool(connection.execute(statement, {"channel": channel}).scalar_one())


def test_rules_come_from_the_file_or_from_the_package(tmp_path):
    assert {rule.name for rule in load_rules(None)} >= {"failure-rate-per-code"}
    path = tmp_path / "mine.toml"
    path.write_text('[[rule]]\nname = "mine"\nkind = "rate"\nthreshold = 0.05\n', encoding="utf-8")
    assert [rule.name for rule in load_rules(path)] == ["mine"]
    path.write_text('[[rule]]\nname = "mine"\nkind = "rate"\nthreshold = 5\n', encoding="utf-8")
    with pytest.raises(RulesFileError, match=r"mine\.toml:4: threshold: "):
        load_rules(path)


def test_the_table_of_jobs_has_one_for_each_channel(environment, engine):
    settings = read_settings(environment | {"SLACK_WEBHOOK_URL": "http://127.0.0.1:1/x"})
    channels = make_channels(settings)
    jobs = make_jobs(engine, settings, (), channels, lambda: True)
    assert {job.name: job.seconds for job in jobs} == {
        "evaluate": 0.3,
        "judge past": 60.0,
        "notify log": 1.0,
        "notify slack": 1.0,
        "tidy outbox": 60.0,
        "suppress": 2.0,
        "reconcile": 60.0,
        "count steps": 60.0,
        "erase": 30.0,
        "sends": 10.0,
        "backtests": 2.0,
        "findings": 300.0,
        "sum up": 300.0,
        "prune": 3600.0,
        "settle": 3600.0,
    }
    assert list(make_channels(read_settings(environment))) == ["log"]


def test_every_channel_that_is_set_up_is_created_and_the_heartbeat_too(environment, engine):
    settings = read_settings(environment | CHANNELS)
    channels = make_channels(settings)
    assert list(channels) == ["slack", "pagerduty", "email", "webhook", "alertmanager", "log"]
    jobs = make_jobs(engine, settings, (), channels, lambda: True)
    assert {job.name: job.seconds for job in jobs}["heartbeat"] == pytest.approx(0.1)


def test_a_monitor_that_never_answers_delays_no_evaluation(start, engine):
    with fake_slack() as watchman:
        watchman.usual = lambda _: Answer(hang=True)
        start(HEARTBEAT_URL=watchman.base)
        wait_for(lambda: watchman.asked)
        for _ in range(3):
            before = states(engine)["evaluate"].started_at
            wait_for(lambda before=before: states(engine)["evaluate"].started_at > before)
        assert len(watchman.asked) == 1
