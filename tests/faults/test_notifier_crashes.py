"""kill -9 of a real scheduler between decide, record, send and mark: every incident and its end is sent once or twice.

The process is stalled from outside, by locks of the database and by a Slack that does not answer, and killed there.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.channels.fake_slack import Answer, FakeSlack
from tests.support.traffic import Traffic
from tests.support.waiting import wait_for
from tests.test_scheduler import Start, announced_at_once, environment, start  # noqa: F401  fixtures

RULES = """
[[rule]]
name = "too-many-failures"
kind = "rate"
threshold = 0.02
resolve_after_evaluations = 2
"""
CODE = 131026


@contextmanager
def while_locked(database_url: str, lock: str, waiting: str) -> Iterator[None]:
    """Hold the lock until such a statement waits for it, and during the block."""
    with psycopg.connect(database_url) as holder:
        holder.execute(lock)
        wait_for(lambda: _waits(database_url, waiting), 20)
        yield


def _waits(database_url: str, statement: str) -> bool:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ %s"
            " AND application_name = 'webhook_app scheduler' AND datname = current_database()",
            [statement],
        ).fetchone()
    return row is not None and row[0] > 0


@contextmanager
def decided(database_url: str, slack: FakeSlack) -> Iterator[None]:
    """The notification has been decided, and its rows are not committed."""
    lock = "LOCK TABLE notifications IN SHARE ROW EXCLUSIVE MODE"
    with while_locked(database_url, lock, r"INSERT INTO notifications \(|superseded_at"):
        yield


@contextmanager
def recorded(database_url: str, slack: FakeSlack) -> Iterator[None]:
    """The notification is a row and not claimed."""
    lock = "LOCK TABLE notification_tries IN SHARE ROW EXCLUSIVE MODE"
    with while_locked(database_url, lock, "WITH claimed AS"):
        yield


@contextmanager
def claimed(database_url: str, slack: FakeSlack) -> Iterator[None]:
    """The try is on record, and Slack has not read the message."""
    before = slack.unread
    slack.answers.append(Answer(unread=True))
    wait_for(lambda: slack.unread > before, 20)
    yield


@contextmanager
def sent(database_url: str, slack: FakeSlack) -> Iterator[None]:
    """Slack has read the message, and has not answered."""
    before = len(slack.posted)
    slack.answers.append(Answer(hang=True))
    wait_for(lambda: len(slack.posted) > before, 20)
    yield


@contextmanager
def answered(database_url: str, slack: FakeSlack) -> Iterator[None]:
    """Slack has said ok, and that is not on record."""
    before = len(slack.posted)
    slack.released.clear()
    slack.answers.append(Answer(slow=True))
    wait_for(lambda: len(slack.posted) > before, 20)
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM notifications FOR UPDATE")
        slack.released.set()
        wait_for(lambda: _waits(database_url, "UPDATE notifications SET sent_at"), 20)
        yield


def let_the_lease_end(database_url: str) -> None:
    """The database's only clock is in its rows."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE notifications SET leased_until = now() WHERE leased_until IS NOT NULL")
        connection.execute("UPDATE channel_states SET paused_until = now()")


@pytest.mark.parametrize(
    ("point", "times"), [(decided, 1), (recorded, 1), (claimed, 1), (sent, 2), (answered, 2)]
)
def test_killed_at_any_point_an_incident_and_its_end_are_notified_once_or_twice(
    announced_at_once,  # noqa: F811
    start,  # noqa: F811
    slack,
    database_url,
    tmp_path,
    now,
    point,
    times,
):
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES, encoding="utf-8")
    traffic = Traffic(database_url)
    traffic.sent(1000, now)
    traffic.failed(60, now, CODE)

    def lead() -> "subprocess.Popen[bytes]":
        return start(SLACK_WEBHOOK_URL=slack.url, RULES_FILE=str(rules))

    def count(beginning: str) -> int:
        return sum(posted["text"].startswith(beginning) for posted in slack.posted)

    def kill_at_the_point(process: "subprocess.Popen[bytes]") -> None:
        with point(database_url, slack):
            process.kill()
            process.wait()
        let_the_lease_end(database_url)

    kill_at_the_point(lead())
    second = lead()
    wait_for(lambda: _is_marked(database_url, "fired"), 20)
    assert count("WARNING") == times
    traffic.sent(5000, now)
    traffic.close()
    kill_at_the_point(second)
    lead()
    wait_for(lambda: _is_marked(database_url, "resolved"), 20)
    assert (count("WARNING"), count("Ended")) == (times, times)


def _is_marked(database_url: str, reason: str) -> bool:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT bool_and(sent_at IS NOT NULL) FROM notifications WHERE reason = %s", [reason]
        ).fetchone()
    return row is not None and bool(row[0])
