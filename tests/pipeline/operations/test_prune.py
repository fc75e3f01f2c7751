"""Old data is deleted and newer data kept, in batches, without waiting for locks."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, text

from tests.support.alerts import make_alert
from tests.support.factories import handed_over, handover, status
from tests.support.traffic import Traffic
from webhook_app.pipeline.operations.prune import PruneSummary, Retention, prune
from webhook_app.store.incidents import alerts, incidents, outbox
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.operations import retention
from webhook_app.store.postgres import partitions
from webhook_app.store.receiving import books

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
KEPT = Retention(events_days=20, failures_days=60, raw_days=5, counts_days=10)
UNREACHABLE = 131026


def rows(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def times(engine: Engine, table: str, column: str = "occurred_at") -> list[datetime]:
    with engine.connect() as connection:
        return list(connection.execute(text(f"SELECT {column} FROM {table} ORDER BY 1")).scalars())


def make_partitions(engine: Engine, now: datetime, days_back: int) -> None:
    with engine.begin() as connection:
        partitions.ensure(connection, now, days_back=days_back)


def later_deleted(engine, now, days, table):
    """Prune once a day for so many days: how many rows of the table that deleted."""
    return sum(prune(engine, now + day * DAY, KEPT).deleted[table] for day in range(1, days + 1))


@pytest.mark.parametrize("partitioned", [True, False], ids=["in partitions", "outside of them"])
def test_every_table_has_its_own_retention(engine, traffic, now, partitioned):
    if partitioned:
        make_partitions(engine, now, 70)
    for days in (0, 4, 7, 15, 25, 65):
        at = now - days * DAY
        traffic.store(status(f"wamid.{days}", "failed", at, code=UNREACHABLE), at=at)
        traffic.wrote(f"wamid.IN{days}", at)
        traffic.deliver(handed_over(handover(at=at)), at=at)
    summary = prune(engine, now, KEPT)
    ago = [now - days * DAY for days in (65, 25, 15, 7, 4, 0)]
    assert times(engine, "status_events") == ago[2:]
    assert times(engine, "inbound_messages") == ago[2:]
    assert times(engine, "handovers") == ago[2:]
    assert times(engine, "service_windows", "opened_at") == ago[5:]
    assert times(engine, "failures")[-5:] == ago[1:]
    assert times(engine, "deliveries", "received_at") == [at for at in ago[4:] for _ in range(3)]
    assert times(engine, "messages", "failed_at") == ago[2:]
    assert len(times(engine, "minute_counts", "minute")) == 3
    assert summary.finished
    assert summary.deleted["messages"] == 2
    assert bool(summary.dropped) is partitioned


def test_coming_partitions_are_made_and_a_second_run_finds_nothing_to_do(engine, now):
    summary = prune(engine, now + 3 * DAY, KEPT)
    coming = f"status_events_{now + 10 * DAY:%Y%m%d}"
    assert coming in summary.made
    again = prune(engine, now + 3 * DAY, KEPT)
    assert (again.made, again.dropped, dict(again.deleted)) == ([], [], {})


def test_a_clock_that_jumps_ahead_for_a_while_costs_no_more_than_the_oldest_days(engine, traffic, now):
    make_partitions(engine, now, 30)
    for days in (0, 5, 18, 19, 20):
        traffic.sent(1, now - days * DAY)
    prune(engine, now, KEPT)
    before = rows(engine, "status_events")
    wrong = now + 400 * DAY
    assert f"status_events_{wrong:%Y%m%d}" in prune(engine, wrong, KEPT).made
    assert before - rows(engine, "status_events") == 1
    prune(engine, now + MINUTE, KEPT)
    assert before - rows(engine, "status_events") == 1


def test_a_message_stays_as_long_as_one_of_its_events(engine, traffic, now):
    make_partitions(engine, now, 30)
    traffic.store(
        status("wamid.both", "sent", now - 25 * DAY),
        status("wamid.both", "failed", now - 15 * DAY, code=UNREACHABLE),
        status("wamid.old", "sent", now - 25 * DAY),
        at=now,
    )
    assert prune(engine, now, KEPT).deleted["messages"] == 1
    assert rows(engine, "messages") == 1
    assert later_deleted(engine, now, 7, "messages") == 1
    assert rows(engine, "messages") == 0


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages go a page of events at a time, some thirty."""
    monkeypatch.setattr(retention, "_PAGES", 1)


@pytest.mark.usefixtures("small_pages")
def test_deleting_continues_over_any_number_of_batches(engine, traffic, now):
    make_partitions(engine, now, 30)
    traffic.sent(200, now - 25 * DAY)
    summary = prune(engine, now, KEPT)
    assert (summary.deleted["messages"], summary.finished) == (200, True)


@pytest.mark.usefixtures("small_pages")
def test_every_run_continues_as_far_as_its_budget_allows(engine, traffic, now):
    make_partitions(engine, now, 30)
    traffic.sent(200, now - 25 * DAY)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM minute_counts"))
    left = [200]
    while left[-1]:
        assert rows(engine, "status_events") == 200, "events stay until their messages are gone"
        prune(engine, now, KEPT, batches=1)
        left.append(rows(engine, "messages"))
    assert len(left) > 3
    assert left == sorted(left, reverse=True)
    assert prune(engine, now, KEPT).finished
    assert rows(engine, "status_events") == 0


def test_a_run_ends_when_it_has_to_stop(engine, traffic, now):
    traffic.sent(5, now - 25 * DAY)
    summary = prune(engine, now, KEPT, go_on=lambda: False)
    assert (dict(summary.deleted), summary.finished) == ({}, False)


def test_a_table_in_use_is_left_to_the_next_run_and_no_session_queues(engine, traffic, now):
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


def test_incidents_with_alerts_and_notifications_are_deleted_long_after_their_end(engine, now):
    ages = {"open": None, "new": 5, "middle": 30, "old": 70}
    began = now - 80 * DAY
    with engine.begin() as connection:
        for name, days in ages.items():
            ended_at = None if days is None else now - days * DAY
            incident = Incident(
                kind="rate",
                title=name,
                severity="warning",
                domain="platform",
                state="open" if days is None else "ended",
                ended_at=ended_at,
                began_at=began,
                opened_at=began,
                evaluated_at=began,
            )
            incident_id = incidents.insert(connection, incident)
            state = "firing" if days is None else "resolved"
            alert = make_alert(began, rule=name, state=state)
            alerts.insert_new(connection, replace(alert, resolved_at=ended_at, incident_id=incident_id))
            outbox.add(connection, incident_id, "log", "fired", {}, now)
            outbox.claim(connection, "log", now, now + DAY)
    summary = prune(engine, now, KEPT)
    assert [summary.deleted[name] for name in ("notifications", "incidents", "alerts")] == [2, 1, 1]
    with engine.connect() as connection:
        assert {alert.rule for alert in alerts.list_alerts(connection)} == {"open", "new", "middle"}
        assert {each.title for each in incidents.list_incidents(connection, 9)} == {"open", "new", "middle"}
    assert (rows(engine, "notifications"), rows(engine, "notification_tries")) == (2, 2)


def test_small_tables_are_kept_small(engine, now):
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
                    "INSERT INTO sends (message_id, failed, sent_at, registered_at) VALUES (:name, false, :at, :at)"
                ),
                values,
            )
            connection.execute(
                text(
                    "INSERT INTO retries (message_id, occurred_at, error_code, series_id, first_failed_at, attempts,"
                    " failed_at, last_code, due_at) VALUES (:name, :at, 4, 1, :at, 0, :at, 4, :at)"
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
            connection.execute(
                text("INSERT INTO sessions VALUES (convert_to(:name, 'UTF8'), 0, '', :at, :at)"), values
            )
            connection.execute(
                text("INSERT INTO wrong_keys VALUES (convert_to(:name, 'UTF8'), :at, 1)"), values
            )
    summary: PruneSummary = prune(engine, now, KEPT)
    assert dict(summary.deleted) == {
        "rejections": 1,
        "clock_repairs": 1,
        "sends": 1,
        "retries": 1,
        "quarantine": 1,
        "sessions": 1,
        "wrong_keys": 1,
    }
    assert rows(engine, "quarantine") == 3, "what was not replayed waits for the operator"
    assert later_deleted(engine, now, 35, "quarantine") == 2, "but not forever"


def test_old_days_of_the_books_become_one_and_the_totals_stay(engine, now):
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO books (day, slot, received, applied, duplicate, ignored, quarantined)"
                " SELECT CAST(:now AS timestamptz)::date - n, slot, 10, 4, 3, 2, 1"
                " FROM generate_series(0, 99) n, generate_series(0, 2) slot"
            ),
            {"now": now},
        )
        before = books.totals(connection)
    assert prune(engine, now, KEPT).deleted["books"] == 3 * 39
    prune(engine, now + DAY, KEPT)
    with engine.connect() as connection:
        assert books.totals(connection) == before
        days = books.by_day(connection, 400)
    assert len(days) == 60
    assert all(totals.balanced for totals in days.values())
    assert rows(engine, "books") == 60 * 3 + 1


def test_a_series_is_deleted_after_everything_that_may_belong_to_it(engine, traffic, now):
    for template, days in (("dead", 70), ("late", 65), ("alive", 0)):
        traffic.sent(1, now, template=template)
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE series SET seen_on = CAST(:day AS date) WHERE template = :template"),
                {"day": (now - days * DAY).date(), "template": template},
            )
    assert prune(engine, now, KEPT).deleted["series"] == 1
    assert times(engine, "series", "template") == ["alive", "late"]


def test_a_deleted_series_is_created_again_by_a_new_writer(engine, database_url, traffic, now):
    traffic.sent(1, now, template="t")
    with engine.begin() as connection:
        connection.execute(text("UPDATE series SET seen_on = '2020-01-01'"))
    other = Traffic(database_url)
    other.sent(2, now, template="t")
    other.close()
    assert times(engine, "series", "seen_on") == [datetime.now(UTC).date()]
    assert prune(engine, now, KEPT).deleted["series"] == 0


def test_the_latest_preference_and_the_latest_suppression_change_are_kept(engine, now):
    with engine.begin() as connection:
        for days, value in ((90, "stop"), (80, "stop"), (70, "resume"), (5, "stop")):
            connection.execute(
                text(
                    "INSERT INTO preferences (contact, value, occurred_at, received_at, considered_at)"
                    " VALUES ('1', :value, :at, :at, :at)"
                ),
                {"value": value, "at": now - days * DAY},
            )
        for seq, (days, contact, action) in enumerate(
            ((90, "1", "suppress"), (80, "1", "lift"), (70, "2", "suppress"), (5, "2", "extend"))
        ):
            connection.execute(
                text(
                    "INSERT INTO suppression_changes (seq, at, action, contact, scope, reason)"
                    " VALUES (:seq, :at, :action, :contact, 'all', 'manual')"
                ),
                {"seq": seq, "at": now - days * DAY, "action": action, "contact": contact},
            )
    summary = prune(engine, now, KEPT)
    assert dict(summary.deleted) == {"preferences": 2, "suppression_changes": 1}
    assert times(engine, "suppression_changes", "seq") == [1, 2, 3]
    assert times(engine, "preferences", "value") == ["resume", "stop"]


def test_of_a_state_that_changed_very_often_the_latest_changes_are_kept(engine, now):
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, received_at)"
                " SELECT 'template', '7', aspect, :now - (2000 + n) * interval '1 minute', 'V', :now"
                " FROM generate_series(1, 1500) n, unnest(ARRAY['status', 'quality']) aspect"
                " WHERE aspect = 'status' OR n < 100"
            ),
            {"now": now},
        )
    assert dict(prune(engine, now, KEPT).deleted) == {"health_changes": 500}
    with engine.connect() as connection:
        left = connection.execute(
            text(
                "SELECT aspect, count(*), max(:now - occurred_at) FROM health_changes GROUP BY 1 ORDER BY 1"
            ),
            {"now": now},
        )
        assert [tuple(row) for row in left] == [
            ("quality", 99, 2099 * MINUTE),
            ("status", 1000, 3000 * MINUTE),
        ]


def test_states_of_a_template_that_is_heard_of_no_more_are_forgotten(engine, now):
    with engine.begin() as connection:
        for subject, name, days in [
            ("template", "lost", 90),
            ("template", "seen", 90),
            ("template", "seen", 5),
            ("account", "8001", 90),
        ]:
            connection.execute(
                text(
                    "INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, received_at)"
                    " VALUES (:subject, :name, :aspect, :at, 'REJECTED', :at)"
                ),
                {"subject": subject, "name": name, "aspect": f"a{days}", "at": now - days * DAY},
            )
    assert dict(prune(engine, now, KEPT).deleted) == {"health_changes": 1}
    with engine.connect() as connection:
        left = connection.execute(text("SELECT subject_id FROM health_changes ORDER BY 1")).scalars().all()
    assert left == ["8001", "seen", "seen"]


def test_old_health_history_is_deleted_but_the_current_state_is_kept(engine, now):
    reports = [
        ("quality", 90, "RED"),
        ("quality", 80, "YELLOW"),
        ("quality", 70, "GREEN"),
        ("quality", 5, "RED"),
    ]
    with engine.begin() as connection:
        for aspect, days, value in [*reports, ("status", 300, "APPROVED")]:
            connection.execute(
                text(
                    "INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, received_at)"
                    " VALUES ('template', '7', :aspect, :at, :value, :at)"
                ),
                {"aspect": aspect, "at": now - days * DAY, "value": value},
            )
    summary = prune(engine, now, KEPT)
    assert dict(summary.deleted) == {"health_changes": 2}
    with engine.connect() as connection:
        left = connection.execute(text("SELECT aspect, value FROM health_changes ORDER BY occurred_at"))
        assert [tuple(row) for row in left] == [
            ("status", "APPROVED"),
            ("quality", "GREEN"),
            ("quality", "RED"),
        ]


def test_an_error_is_kept_as_long_as_a_failure_refers_to_it(engine, traffic, now):
    make_partitions(engine, now, 70)
    for days, details in ((65, "gone"), (65, "still"), (1, "still")):
        at = now - days * DAY
        failed = status(f"wamid.{days}.{details}", "failed", at, code=UNREACHABLE, details=details)
        traffic.store(failed, at=at)
    assert times(engine, "failure_errors", "details") == ["gone", "still"]
    for _ in range(2):  # the errors' turn comes before that of the partitions
        prune(engine, now, KEPT)
    assert times(engine, "failure_errors", "details") == ["still"]


def test_a_code_outside_the_catalogue_is_kept_as_long_as_a_failure_has_it(engine, traffic, now):
    make_partitions(engine, now, 70)
    for days, code in ((65, 900_001), (65, 900_002), (1, 900_002)):
        at = now - days * DAY
        traffic.store(status(f"wamid.{days}.{code}", "failed", at, code=code), at=at)
    with engine.begin() as connection:
        connection.execute(text("UPDATE seen_codes SET first_at = :at"), {"at": now - 65 * DAY})
    assert times(engine, "seen_codes", "code") == [900_001, 900_002]
    for _ in range(3):  # the failures, then their errors, then the codes
        prune(engine, now, KEPT)
    assert times(engine, "seen_codes", "code") == [900_002]
