"""Lags and missing webhooks are counted by minute, once, whenever the scheduler gets to it."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.support.factories import status
from webhook_app.pipeline.counts.measure_lateness import MAX_MINUTES_PER_RUN, measure
from webhook_app.store.counts import lateness
from webhook_app.store.counts.lateness import BOUNDS_S, Lateness, percentile
from webhook_app.store.postgres.errors import EngineError

MINUTE = timedelta(minutes=1)


@pytest.fixture
def at(now: datetime) -> datetime:
    """The middle of a minute that is long over."""
    return now.replace(second=30) - 50 * MINUTE


def lately(engine: Engine, now: datetime) -> Lateness:
    with engine.connect() as connection:
        return lateness.last_hour(connection, now)


def test_a_lag_is_the_time_from_meta_s_clock_to_ours(engine, traffic, now, at):
    for serial, lag in enumerate([0] * 90 + [4] * 6 + [100] * 4):
        traffic.store(status(f"wamid.{serial}", "sent", at - timedelta(seconds=lag)), at=at)
    assert lately(engine, now).events == 0
    measure(engine, now)
    found = lately(engine, now)
    assert (found.events, found.lag_p50_seconds, found.lag_p95_seconds, found.lag_p99_seconds) == (
        100,
        1,
        5,
        120,
    )


def test_a_minute_that_takes_longer_than_a_statement_may_stops_no_other_minute(engine, traffic, now, at):
    traffic.store(status("wamid.1", "delivered", at), at=at)
    slow = at.replace(second=0) + 10 * MINUTE
    with engine.begin() as connection:
        connection.execute(
            text(f"""
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'statement timeout' USING ERRCODE = 'query_canceled';
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON lateness
FOR EACH ROW WHEN (NEW.minute = '{slow.isoformat()}') EXECUTE FUNCTION refuse()
""")
        )
    try:
        with pytest.raises(EngineError, match="statement timeout"):
            measure(engine, now)
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP TRIGGER refuse ON lateness; DROP FUNCTION refuse"))
    assert (lately(engine, now).events, lately(engine, now).reached) == (1, 1)


def test_a_duplicate_is_not_late(engine, traffic, now, at):
    traffic.store(status("wamid.1", "sent", at), at=at)
    traffic.store(status("wamid.1", "sent", at), at=at + 10 * MINUTE)
    measure(engine, now)
    assert (lately(engine, now).events, lately(engine, now).lag_p99_seconds) == (1, 1)


def test_counting_again_changes_nothing_and_every_minute_is_counted_once(engine, traffic, now, at):
    traffic.store(status("wamid.1", "sent", at), at=at)
    assert measure(engine, now) == 61
    first = lately(engine, now)
    assert measure(engine, now) == 0
    assert measure(engine, now + 2 * MINUTE) == 2
    with engine.begin() as connection:
        lateness.count_minute(connection, at.replace(second=0))
    assert lately(engine, now) == first


def test_after_a_run_whose_clock_was_ahead_every_minute_is_counted_and_checked(engine, traffic, now, at):
    measure(engine, at + 2 * MINUTE)
    traffic.store(status("wamid.1", "sent", at + 2 * MINUTE), at=at + 2 * MINUTE)
    measure(engine, at + 120 * MINUTE)
    traffic.store(status("wamid.1", "delivered", at + 3 * MINUTE), at=at + 3 * MINUTE)
    traffic.store(status("wamid.2", "delivered", at + 3 * MINUTE), at=at + 3 * MINUTE)
    assert lately(engine, now).events == 1
    measure(engine, at + 5 * MINUTE)
    measure(engine, now)
    found = lately(engine, now)
    assert (found.events, found.reached, found.unsent) == (3, 2, 1)


def test_delivered_without_sent_is_found_only_after_the_grace_period(engine, traffic, now, at):
    traffic.store(status("wamid.lost", "delivered", at), status("wamid.lost", "read", at), at=at)
    traffic.store(status("wamid.late", "delivered", at), at=at)
    traffic.store(status("wamid.late", "sent", at - MINUTE), at=at + 20 * MINUTE)
    traffic.store(
        status("wamid.broken", "failed", at, code=131026), status("wamid.broken", "read", at), at=at
    )
    measure(engine, at + 5 * MINUTE)
    assert lately(engine, at + 5 * MINUTE).reached == 0
    measure(engine, now)
    found = lately(engine, now)
    assert (found.reached, found.unsent) == (3, 2)


def test_minutes_without_a_scheduler_are_counted_later_newest_first_and_a_limited_number_per_run(
    engine, traffic, now
):
    before = now - 9 * 60 * MINUTE
    measure(engine, before)
    for hours in (1, 5, 8):
        traffic.store(
            status(f"wamid.{hours}", "sent", now - hours * 60 * MINUTE), at=now - hours * 60 * MINUTE
        )
    assert (measure(engine, now), counted(engine)) == (MAX_MINUTES_PER_RUN, 2)
    assert (measure(engine, now), counted(engine)) == (9 * 60 - MAX_MINUTES_PER_RUN, 3)
    assert measure(engine, now + MINUTE) == 1
    with engine.connect() as connection:
        open_ones = (
            "SELECT count(*)::int FROM lateness WHERE lags IS NULL OR (unsent IS NULL AND minute < :settled)"
        )
        settled = {"settled": now - 32 * MINUTE}
        assert connection.execute(text(open_ones), settled).scalar_one() == 0


def counted(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(text("SELECT coalesce(sum(events), 0)::int FROM lateness")).scalar_one()


def test_a_delivered_of_a_backlog_does_not_count_as_unsent(engine, traffic, now, at):
    traffic.store(status("wamid.backlog", "delivered", at - 5 * MINUTE), at=at)
    traffic.store(status("wamid.live", "delivered", at - MINUTE), at=at)
    measure(engine, now)
    found = lately(engine, now)
    assert (found.events, found.reached, found.unsent) == (2, 1, 1)


@given(st.lists(st.integers(0, 700_000), min_size=1), st.sampled_from((0.5, 0.95, 0.99)))
def test_a_percentile_is_the_smallest_bound_that_covers_its_share(lags, share):
    places = [sum(lag >= bound for bound in BOUNDS_S) for lag in lags]
    counted = [places.count(place) for place in range(len(BOUNDS_S) + 1)]
    found = percentile(counted, share)
    assert found is not None
    if found < BOUNDS_S[-1]:
        assert sum(lag < found for lag in lags) >= share * len(lags)
    smaller = [bound for bound in BOUNDS_S if bound < found]
    assert not smaller or sum(lag < smaller[-1] for lag in lags) < share * len(lags)


def test_without_events_there_is_no_percentile():
    assert percentile([], 0.5) is None
    assert percentile([0] * 5, 0.5) is None
