"""Hourly sums: every hour from the first message on, and again when late events belong to it."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from webhook_app.pipeline.counts.measure_lateness import measure
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.store.counts import baselines

HOUR = timedelta(hours=1)
BROKEN = 131053


@pytest.fixture
def hour(now: datetime) -> datetime:
    """The start of the running hour."""
    return now.replace(minute=0, second=0, microsecond=0)


def sums(engine: Engine, start: datetime, end: datetime) -> tuple[int, int]:
    """Attempts and failures that the hourly sums hold."""
    with engine.connect() as connection:
        found = baselines.read(connection, start, end)
    return sum(found.attempts.values()), sum(each.messages for each in found.failed)


def summed(engine: Engine) -> list[datetime]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT hour FROM summed_hours ORDER BY hour")).scalars())


def test_hours_before_the_first_message_are_unknown_and_not_zero(engine, traffic, hour):
    assert sum_hours(engine, hour + HOUR / 2) == 0
    traffic.sent(3, hour - 5 * HOUR)
    sum_hours(engine, hour + HOUR / 2)
    assert summed(engine) == [hour - back * HOUR for back in range(5, 0, -1)]


@pytest.mark.parametrize("late", [4, 10, 30, 24 * 6])
def test_failures_that_come_hours_late_reach_the_sums_of_their_hour(engine, traffic, hour, late):
    then, now = hour - late * HOUR, hour + HOUR / 2
    traffic.sent(10, then)
    for _ in range(4):  # a run sums two days at most
        sum_hours(engine, now)
    assert sums(engine, then, then + HOUR) == (10, 0)
    ids = traffic.failed(5, then, BROKEN)
    with engine.begin() as connection:  # received now, as the ingest would have written it
        connection.execute(
            text("UPDATE status_events SET received_at = :now WHERE message_id = ANY(:ids)"),
            {"now": now, "ids": ids},
        )
    measure(engine, now + timedelta(minutes=2))
    assert sums(engine, then, then + HOUR) == (10, 0), "until they are summed again"
    for _ in range(4):
        sum_hours(engine, now + timedelta(minutes=5))
    assert sums(engine, then, then + HOUR) == (15, 5)


def test_events_in_time_mark_no_hour(engine, traffic, hour):
    traffic.sent(10, hour - 2 * HOUR)
    sum_hours(engine, hour)
    before = summed(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE status_events SET received_at = :at"), {"at": hour})
    measure(engine, hour + timedelta(minutes=2))
    assert summed(engine) == before
