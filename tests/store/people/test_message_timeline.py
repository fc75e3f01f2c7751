"""A counted message is read from few days, and none of its events is missed."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.conftest import Database
from tests.support.factories import body, status
from webhook_app.pipeline.counts.count_funnels import count_stages
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.counts.messages import stages
from webhook_app.store.people import message_timeline
from webhook_app.store.postgres.engine import connect

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WAMID = "wamid.one"

Tell = Callable[..., None]


@pytest.fixture(scope="module")
def database(database_of_weeks: Database) -> Database:
    return database_of_weeks


@pytest.fixture
def tell(database_url: str) -> Iterator[Tell]:
    """Stores a status, received when it occurred or at the given time."""
    writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)

    def store(kind: str, at: datetime, received: datetime | None = None, **more: Any) -> None:
        writer.store([Delivery(body(status(WAMID, kind, at, **more)))], received or at)

    yield store
    writer.close()


@pytest.fixture
def found(engine: Engine) -> Callable[[datetime], list[str]]:
    def read(now: datetime) -> list[str]:
        with engine.connect() as connection:
            timeline = message_timeline.timeline(connection, WAMID, now)
            events, failures = timeline.events, timeline.failures
            assert events == message_timeline.events(connection, WAMID, now)
        assert len(failures) == [event.status for event in events].count("failed")
        return [event.status for event in events]

    return read


def span(engine: Engine, now: datetime) -> stages.MessageSpan | None:
    with engine.connect() as connection:
        return stages.message_span(connection, WAMID, now)


def test_a_counted_message_is_read_around_its_events_and_in_the_last_day(tell, found, engine, now):
    old = now - 40 * DAY
    tell("sent", old)
    tell("delivered", old + MINUTE)
    assert span(engine, now) is None, "nothing is counted yet"
    assert found(now) == ["sent", "delivered"]
    count_stages(engine, now)
    known = span(engine, now)
    assert known is not None
    assert (old - known.first, known.last - old) == (HOUR, HOUR + MINUTE)
    assert known.recent < now - DAY
    assert found(now) == ["sent", "delivered"]


@pytest.mark.parametrize("later", [MINUTE, 59 * MINUTE, 39 * DAY + HOUR, 40 * DAY])
def test_a_late_event_is_found_as_soon_as_it_is_stored(tell, found, engine, now, later):
    old = now - 40 * DAY
    tell("sent", old)
    count_stages(engine, now)
    tell("read", old + later, received=now)
    assert found(now) == ["sent", "read"]


def test_an_event_that_arrives_days_late_is_found_once_it_is_counted(tell, found, engine, now):
    old = now - 40 * DAY
    tell("sent", old)
    count_stages(engine, now)
    tell("delivered", old + 5 * DAY, received=now)
    count_stages(engine, now + 3 * MINUTE)
    assert found(now + 3 * MINUTE) == ["sent", "delivered"]


def test_a_repeated_status_counts_once_and_both_events_are_found(tell, found, engine, now):
    """Only the first `read` counts as a stage; the second one, a month later, belongs to the timeline too."""
    old = now - 40 * DAY
    for kind, at in (("sent", old), ("read", old + MINUTE), ("read", old + 30 * DAY)):
        tell(kind, at)
    count_stages(engine, now)
    assert span(engine, now).last == old + 30 * DAY + HOUR
    assert found(now) == ["sent", "read", "read"]
    with engine.connect() as connection:
        read = connection.execute(text("SELECT sum(read) FROM stage_counts WHERE unit = 1")).scalar_one()
    assert read == 1


def test_a_message_that_may_not_be_counted_is_read_from_all_days(tell, found, engine, now):
    old = now - 40 * DAY
    tell("sent", old)
    count_stages(engine, now)
    assert span(engine, now + 20 * MINUTE) is None, "no scheduler has counted for a while"
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO stage_recounts (message_id, phone_number_id) VALUES ('another', '1')")
        )
    assert span(engine, now) is None, "something is to be counted anew"
    tell("read", old + 20 * DAY, received=now)
    assert found(now) == ["sent", "read"]


def test_a_failure_is_found_with_its_event(tell, found, engine, now):
    tell("sent", now - 40 * DAY)
    tell("failed", now - 39 * DAY, code=131026)
    assert found(now) == ["sent", "failed"]
    count_stages(engine, now)
    assert span(engine, now) is not None
    assert found(now) == ["sent", "failed"]


def test_a_message_with_only_a_delivered_status_is_found(tell, found, engine, now):
    tell("delivered", now - 30 * DAY)
    count_stages(engine, now)
    assert span(engine, now) is None
    assert found(now) == ["delivered"]
