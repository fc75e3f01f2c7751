"""Each evaluation that ended is reported to the monitor once, as a success or a failure."""

from datetime import datetime, timedelta

import httpx
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from tests.channels.fake_slack import Answer, FakeSlack
from webhook_app.channels import SendError
from webhook_app.channels.heartbeat import Heartbeat
from webhook_app.pipeline.operations.heartbeat import HeartbeatMonitor
from webhook_app.store.operations import scheduler_state

SECOND = timedelta(seconds=1)


@pytest.fixture
def watch(engine: Engine, slack: FakeSlack) -> HeartbeatMonitor:
    return HeartbeatMonitor(engine, Heartbeat(f"{slack.base}/check", httpx.Timeout(0.3)))


def evaluated(engine: Engine, at: datetime, error: str = "", *, ended: bool = True) -> None:
    with engine.begin() as connection:
        scheduler_state.record_start(connection, "evaluate", "us", at)
        if ended:
            scheduler_state.record_end(connection, "evaluate", "us", at + SECOND, 1.0, error)


def reported(slack: FakeSlack) -> list[str]:
    return [asked.path for asked in slack.asked]


def test_an_evaluation_is_reported_once_and_only_when_it_has_ended(engine, slack, watch, now):
    watch.report(now)
    evaluated(engine, now, ended=False)
    watch.report(now)
    assert reported(slack) == []
    evaluated(engine, now)
    watch.report(now)
    watch.report(now)
    assert reported(slack) == ["/check"]
    evaluated(engine, now + 15 * SECOND)
    watch.report(now)
    assert reported(slack) == ["/check", "/check"]


def test_a_failed_evaluation_is_reported_as_a_failure(engine, slack, watch, now):
    evaluated(engine, now, "RuntimeError: no")
    watch.report(now)
    assert reported(slack) == ["/check/fail"]
    assert slack.asked[0].body == b"RuntimeError: no"


def test_a_report_that_failed_is_repeated(engine, slack, watch, now):
    evaluated(engine, now)
    slack.answers.append(Answer(503, ""))
    with pytest.raises(SendError):
        watch.report(now)
    watch.report(now)
    assert reported(slack) == ["/check", "/check"]


def test_a_database_that_cannot_be_read_is_a_failure(engine, slack, watch, now):
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE scheduler_state RENAME TO hidden"))
    with pytest.raises(SQLAlchemyError):
        watch.report(now)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE hidden RENAME TO scheduler_state"))
    assert reported(slack) == ["/check/fail"]
