"""Whether the process lives, whether webhooks could be stored, and the figures for monitoring."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from tests.support.factories import body, status
from tests.support.findings import store_finding
from tests.support.incidents import store_incident
from webhook_app.store.incidents import alerts, outbox
from webhook_app.store.operations import scheduler_state
from webhook_app.web.probes import SharedResult, check_readiness, probes_blueprint

NOWHERE = "postgresql://127.0.0.1:1/nothing"


def gauges(response):
    """Samples by name and label values; each name must occur once in the text."""
    assert response.status_code == 200
    families = [family for family in text_string_to_metric_families(response.text) if family.samples]
    assert len({family.name for family in families}) == len(families)
    return {
        (sample.name.removeprefix("webhook_app_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def execute(engine, statement):
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_the_process_is_alive_even_without_a_database(client, make_app):
    for each in (client, make_app(database_url=NOWHERE).test_client()):
        assert each.get("/healthz").status_code == 200


def test_a_migrated_database_with_partitions_is_ready(client):
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json["ready"] is True
    assert set(response.json["checks"]) == {
        *("database", "sessions", "migrations", "partitions", "ingest", "queue")
    }
    assert all(check == {"ok": True, "detail": ""} for check in response.json["checks"].values())


def test_without_a_database_nothing_is_ready_and_no_host_is_named(make_app):
    response = make_app(database_url=NOWHERE).test_client().get("/readyz")
    assert response.status_code == 503
    assert not any(check["ok"] for name, check in response.json["checks"].items() if name != "queue")
    assert "127.0.0.1" not in response.text


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE alembic_version SET version_num = '0001'", "migrations"),
        ("DELETE FROM alembic_version", "migrations"),
        ("DROP TABLE alembic_version", "migrations"),
    ],
)
def test_a_schema_behind_the_code_is_not_ready(client, engine, statement, fault):
    execute(engine, statement)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json["checks"]["database"]["ok"] is True
    assert response.json["checks"][fault]["ok"] is False
    assert response.json["checks"][fault]["detail"]


def test_a_schema_ahead_of_the_code_is_ready(client, engine):
    execute(engine, "UPDATE alembic_version SET version_num = '9999'")
    assert client.get("/readyz").status_code == 200


def test_a_full_ingest_queue_is_not_ready_and_its_fullness_is_reported(engine):
    app = Flask("queue")
    filling = [0.3]
    app.register_blueprint(probes_blueprint(engine, lambda: datetime.now(UTC), None, lambda: filling[0]))
    assert app.test_client().get("/readyz").status_code == 200
    filling[0] = 0.95
    response = app.test_client().get("/readyz")
    assert response.status_code == 503
    assert response.json["ready"] is False
    assert response.json["checks"]["queue"] == {"ok": False, "detail": "95% full"}


def test_tomorrow_without_a_partition_is_not_ready(client, engine, now):
    found = check_readiness(engine, now + timedelta(days=60))
    assert (found.ready, found.checks["partitions"].ok) == (False, False)
    execute(engine, f'DROP TABLE "status_events_{now + timedelta(days=1):%Y%m%d}"')
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "status_events" in response.json["checks"]["partitions"]["detail"]


def test_a_database_that_takes_no_writes_is_not_ready(make_app, engine, database_url):
    with engine.connect() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
    execute(engine, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    response = make_app().test_client().get("/readyz")
    assert (response.status_code, response.json["checks"]["ingest"]["ok"]) == (503, False)


def get_at_once(app, path, count):
    """The statuses of parallel requests."""
    barrier = Barrier(count)

    def get(_):
        barrier.wait()
        return app.test_client().get(path).status_code

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(get, range(count)))


@pytest.mark.parametrize(("path", "connections"), [("/readyz", 2), ("/metrics", 1)])
def test_parallel_probes_share_one_run(app, checkouts, path, connections):
    assert get_at_once(app, path, 24) == [200] * 24
    assert checkouts.taken == connections


def test_probes_do_not_take_connections_from_the_other_requests(client, engine):
    assert client.get("/readyz").status_code == 200
    assert client.get("/metrics").status_code == 200
    with engine.connect() as connection:
        names = connection.exec_driver_sql(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
        ).scalars()
        counts = list(names)
    assert (counts.count("webhook_app probes"), counts.count("webhook_app web")) == (2, 0)


class TestSharedResult:
    def test_a_result_is_kept_for_its_time(self):
        seconds, runs = [0.0], []
        shared = SharedResult(lambda: runs.append(1) or len(runs), 1, lambda: seconds[0])
        assert [shared.get(), shared.get()] == [1, 1]
        seconds[0] = 1.0
        assert shared.get() == 2

    def test_a_failed_run_is_not_kept(self):
        outcomes = iter([ZeroDivisionError, 7])

        def run():
            outcome = next(outcomes)
            if isinstance(outcome, type):
                raise outcome
            return outcome

        shared = SharedResult(run, 1)
        with pytest.raises(ZeroDivisionError):
            shared.get()
        assert shared.get() == 7

    def test_callers_during_a_run_get_its_result(self):
        begun, go_on, runs = Event(), Event(), []

        def run():
            runs.append(1)
            begun.set()
            assert go_on.wait(10)
            return len(runs)

        shared = SharedResult(run, 1)
        with ThreadPoolExecutor(5) as threads:
            first = threads.submit(shared.get)
            assert begun.wait(10)
            others = [threads.submit(shared.get) for _ in range(4)]
            go_on.set()
            assert [each.result(10) for each in (first, *others)] == [1] * 5


def test_figures_of_the_database_are_read_at_the_scrape(client, make_app, deliver, engine, now):
    before = gauges(client.get("/metrics"))
    assert before["database_up",] == 1
    assert before["alerts_firing", "warning"] == 0
    assert before["incidents_open", "warning"] == 0
    deliver(body(status("wamid.A", "sent", now), status("wamid.A", "sent", now)))
    deliver(b"not json")
    for severity in ("warning", "critical", "critical"):
        store_incident(engine, now, severity=severity)
    store_incident(engine, now, severity="error", state="ended", ended_at=now, ended_how="recovered")
    with engine.begin() as connection:
        plain = {"rule": "r", "kind": "rate", "severity": "warning", "group": {}, "codes": [131026]}
        plain |= {"covers_from": now, "started_at": now, "evaluated_at": now}
        store_finding(engine, now)
        fired = alerts.insert_new(connection, alerts.Alert(state="firing", **plain))
        alerts.insert_new(connection, alerts.Alert(state="pending", **(plain | {"rule": "s"})))
        for _ in range(2):
            outbox.add(connection, fired, "slack", "fired", {}, now)
        began = now - timedelta(seconds=100)
        scheduler_state.record_start(connection, "evaluate", "host", began, 15)
        scheduler_state.record_end(connection, "evaluate", "host", now, 2.5, "OSError: gone")
        scheduler_state.record_start(connection, "evaluate", "other", began, 15)
        scheduler_state.record_end(connection, "evaluate", "other", now, 0.5, "")
    found = gauges(make_app().test_client().get("/metrics"))
    columns = ("received", "applied", "duplicate", "ignored", "quarantined")
    assert [found["books_items", column] for column in columns] == [3, 1, 1, 0, 1]
    assert found["books_balanced",] == 1
    assert found["alerts_firing", "warning"] == 1
    open_incidents = [
        found["incidents_open", severity] for severity in ("info", "warning", "error", "critical")
    ]
    assert open_incidents == [0, 1, 0, 2]
    assert [found["findings_open", kind] for kind in ("chronic", "recurring")] == [1, 0]
    assert found["notifications_undelivered", "slack"] == 2
    assert found["quarantine_open",] == 1
    assert found["scheduler_last_run_timestamp_seconds", "evaluate"] == began.timestamp()
    assert found["scheduler_interval_seconds", "evaluate"] == 15
    assert found["scheduler_failing", "evaluate"] == 0
    assert found["scheduler_runs_total", "evaluate"] == 2
    assert found["scheduler_failures_total", "evaluate"] == 1
    assert found["scheduler_run_seconds_total", "evaluate"] == 3
    assert 0 < now.timestamp() + 60 - found["last_delivery_timestamp_seconds",] < 120
    assert found["notifications_oldest_seconds", "slack"] >= 0
    assert found["database_size_bytes",] > 1_000_000
    assert found["suppressions", "opted_out"] == 0


def test_what_the_process_counted_is_there_too(make_app, deliver, now):
    def items():
        return gauges(make_app().test_client().get("/metrics"))["items_total",]

    before = items()
    deliver(body(status("wamid.A", "sent", now), status("wamid.A", "delivered", now)))
    assert items() == before + 2


def test_workers_of_one_host_are_added_up_from_their_shared_folder(make_app, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    found = gauges(make_app().test_client().get("/metrics"))
    assert found["database_up",] == 1
    assert ("items_total",) not in found


def test_while_the_database_is_away_metrics_say_so_and_go_on(make_app):
    found = gauges(make_app(database_url=NOWHERE).test_client().get("/metrics"))
    assert found["database_up",] == 0
    assert ("items_total",) in found
    assert not any(name.startswith("books") for name, *_ in found)
