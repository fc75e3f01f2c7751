"""What is too old goes, what is not stays, in batches, without queueing for locks."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, text

from tests.factories import status
from tests.store.test_alerts import make
from tests.traffic import Traffic
from webhook_app.pipeline.prune import Retention, Summary, prune
from webhook_app.store import alerts, notifications, partitions, retention

DAY = timedelta(days=1)
KEPT = Retention(events_days=20, failures_days=60, raw_days=5, counts_days=10)
UNREACHABLE = 131026


@pytest.fixture
def traffic(database_url: str) -> Iterator[Traffic]:
    made = Traffic(database_url)
    yield made
    made.close()


def rows(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def times(engine: Engine, table: str, column: str = "occurred_at") -> list[datetime]:
    with engine.connect() as connection:
        return list(connection.execute(text(f"SELECT {column} FROM {table} ORDER BY 1")).scalars())


def make_partitions(engine: Engine, now: datetime, days_back: int) -> None:
    with engine.begin() as connection:
        partitions.ensure(connection, now, days_back=days_back)


@pytest.mark.parametrize("partitioned", [True, False], ids=["in partitions", "outside of them"])
def test_every_table_keeps_its_own_time(
    engine: Engine, traffic: Traffic, now: datetime, partitioned: bool
) -> None:
    if partitioned:
        make_partitions(engine, now, 70)
    for days in (0, 4, 7, 15, 25, 65):
        at = now - days * DAY
        traffic.store(status(f"wamid.{days}", "failed", at, code=UNREACHABLE), at=at)
        traffic.wrote(f"wamid.IN{days}", at)
    summary = prune(engine, now, KEPT)
    ago = [now - days * DAY for days in (65, 25, 15, 7, 4, 0)]
    assert times(engine, "status_events") == ago[2:]
    assert times(engine, "inbound_messages") == ago[2:]
    assert times(engine, "failures")[-5:] == ago[1:]
    assert times(engine, "deliveries", "received_at") == [at for at in ago[4:] for _ in range(2)]
    assert times(engine, "messages", "failed_at") == ago[2:]
    assert len(times(engine, "minute_counts", "minute")) == 3
    assert summary.finished
    assert summary.deleted["messages"] == 2
    assert bool(summary.dropped) is partitioned


def test_coming_partitions_are_made_and_a_second_run_finds_nothing_to_do(
    engine: Engine, now: datetime
) -> None:
    summary = prune(engine, now + 3 * DAY, KEPT)
    coming = f"status_events_{now + 10 * DAY:%Y%m%d}"
    assert coming in summary.made
    again = prune(engine, now + 3 * DAY, KEPT)
    assert (again.made, again.dropped, dict(again.deleted)) == ([], [], {})


def test_a_message_stays_as_long_as_one_of_its_events(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    make_partitions(engine, now, 30)
    traffic.store(
        status("wamid.both", "sent", now - 25 * DAY),
        status("wamid.both", "failed", now - 15 * DAY, code=UNREACHABLE),
        status("wamid.old", "sent", now - 25 * DAY),
        at=now,
    )
    assert prune(engine, now, KEPT).deleted["messages"] == 1
    assert rows(engine, "messages") == 1
    assert prune(engine, now + 7 * DAY, KEPT).deleted["messages"] == 1
    assert rows(engine, "messages") == 0


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages go three at a time."""
    small = retention._MESSAGES.replace(f"LIMIT {retention.BATCH}", "LIMIT 3")
    monkeypatch.setattr(retention, "_MESSAGES", small)


@pytest.mark.usefixtures("small_pages")
def test_deleting_goes_on_over_any_number_of_batches(engine: Engine, traffic: Traffic, now: datetime) -> None:
    make_partitions(engine, now, 30)
    traffic.sent(20, now - 25 * DAY)
    summary = prune(engine, now, KEPT)
    assert (summary.deleted["messages"], summary.finished) == (20, True)


@pytest.mark.usefixtures("small_pages")
def test_every_run_gets_on_as_far_as_its_budget_goes(engine: Engine, traffic: Traffic, now: datetime) -> None:
    make_partitions(engine, now, 30)
    traffic.sent(10, now - 25 * DAY)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM minute_counts"))
    left = []
    for _ in range(3):
        assert rows(engine, "status_events") == 10, "events stay until their messages are gone"
        summary = prune(engine, now, KEPT, batches=2)
        left.append((rows(engine, "messages"), summary.finished))
    assert left == [(4, False), (0, False), (0, True)]
    assert rows(engine, "status_events") == 0


def test_a_run_ends_when_it_is_told_to(engine: Engine, traffic: Traffic, now: datetime) -> None:
    traffic.sent(5, now - 25 * DAY)
    summary = prune(engine, now, KEPT, go_on=lambda: False)
    assert (dict(summary.deleted), summary.finished) == ({}, False)


def test_a_table_in_use_is_left_to_the_next_run_and_nobody_queues(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    make_partitions(engine, now, 30)
    traffic.sent(5, now - 25 * DAY)
    with engine.begin() as reader:
        reader.execute(text("SELECT count(*) FROM status_events"))
        busy = prune(engine, now, KEPT)
        assert not busy.finished
        assert not any(name.startswith("status_events") for name in busy.dropped)
    after = prune(engine, now, KEPT)
    assert after.finished
    assert any(name.startswith("status_events") for name in after.dropped)


def test_alerts_and_what_was_told_of_them_go_when_they_have_been_over_for_long(
    engine: Engine, now: datetime
) -> None:
    ages = {"open": None, "new": 5, "middle": 30, "old": 70}
    with engine.begin() as connection:
        for name, days in ages.items():
            resolved_at = None if days is None else now - days * DAY
            alert = replace(make(now - 80 * DAY, rule=name, state="firing"), resolved_at=resolved_at)
            if days is not None:
                alert = replace(alert, state="resolved")
            alert_id = alerts.insert_new(connection, alert)
            assert alert_id is not None
            notifications.add(connection, alert_id, "log", "fired", {}, now)
            notifications.claim(connection, "log", now, now + DAY)
    summary = prune(engine, now, KEPT)
    assert (summary.deleted["notifications"], summary.deleted["alerts"]) == (2, 1)
    with engine.connect() as connection:
        assert {alert.rule for alert in alerts.list_alerts(connection)} == {"open", "new", "middle"}
    assert (rows(engine, "notifications"), rows(engine, "notification_tries")) == (2, 2)


def test_small_tables_are_kept_small(engine: Engine, now: datetime) -> None:
    old = now - 30 * DAY
    with engine.begin() as connection:
        for at, name in ((old, "old"), (now, "new")):
            values = {"at": at, "name": name}
            connection.execute(text("INSERT INTO rejections VALUES (:at, :name, 1)"), values)
            connection.execute(
                text(
                    "INSERT INTO clock_repairs (message_id, error_code, occurred_at) VALUES (:name, -1, :at)"
                ),
                values,
            )
            connection.execute(
                text(
                    "INSERT INTO quarantine (identity, received_at, reason, replayed_at)"
                    " VALUES (convert_to(:name, 'UTF8'), :at, 'x', :at),"
                    " (convert_to(:name || ' waiting', 'UTF8'), :at, 'x', NULL)"
                ),
                values,
            )
    summary: Summary = prune(engine, now, KEPT)
    assert dict(summary.deleted) == {"rejections": 1, "clock_repairs": 1, "quarantine": 1}
    assert rows(engine, "quarantine") == 3, "what was not replayed waits for the operator"
