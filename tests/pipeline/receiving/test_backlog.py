"""Ingest, rates and evaluation: a backlog after an outage is stored once, fires no live alert, and counts in its time.

`python -m benchmarks.redelivery` does the same with 200 000 events over a real server.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from benchmarks.backlog import Backlog
from benchmarks.redelivery import Evaluator
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.postgres.engine import connect


@pytest.fixture
def writers(database_url: str) -> Iterator[list[BatchWriter]]:
    made = [BatchWriter(lambda: connect(database_url, application="tests"), slot) for slot in range(2)]
    yield made
    for each in made:
        each.close()


def test_a_backlog_of_36_hours_is_counted_in_its_own_minutes_and_raises_no_live_alert(writers, engine):
    now = datetime.now(UTC)
    backlog = Backlog.make(now, events=6000, seed=3)
    bodies = list(backlog.bodies(seed=3, statuses=40))
    evaluator = Evaluator(engine)
    for first in range(0, len(bodies), 10):
        writers[first // 10 % 2].store([Delivery(body) for body in bodies[first : first + 10]], now)
        if first % 30 == 0:
            evaluator.evaluate(now + timedelta(seconds=first))
    assert evaluator.alerts() == []
    assert backlog.faults(engine, windows=40, seed=3) == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM notifications")).scalar_one() == 0
    for minute in range(3):  # asked in the worst hour, the same rules speak up
        evaluator.evaluate(backlog.worst_hour + timedelta(minutes=minute))
    assert evaluator.alerts() != []
