"""/healthz, /readyz and /metrics, for load balancers and monitoring. Open to all: no contacts, no secrets, no hosts."""

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec
from flask import Blueprint, Response
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from webhook_app.store import alerts, books, notifications, quarantine, readiness, scheduler_state
from webhook_app.web import security_headers


class Check(Struct):
    """One condition of being ready; `detail` says what is wrong."""

    ok: bool
    detail: str = ""


class Readiness(Struct):
    ready: bool
    checks: dict[str, Check]


def health_blueprint(engine: Engine, clock: Callable[[], datetime], metrics_folder: str | None) -> Blueprint:
    """The three routes. `metrics_folder`: where the workers of a host share their metrics; None for one process."""
    blueprint = Blueprint("health", __name__)
    security_headers.secure_api(blueprint)

    @blueprint.get("/healthz")
    def alive() -> Response:
        """The process answers; says nothing of the database."""
        return Response("ok\n", content_type="text/plain; charset=utf-8")

    @blueprint.get("/readyz")
    def ready() -> Response:
        """Whether webhooks can be stored now, with each condition."""
        found = check_readiness(engine, clock())
        status = 200 if found.ready else 503
        return Response(msgspec.json.encode(found), status=status, content_type="application/json")

    @blueprint.get("/metrics")
    def metrics() -> Response:
        """What this host's workers counted, and what the database holds at this moment."""
        held = CollectorRegistry()
        held.register(DatabaseCollector(engine, clock()))
        body = generate_latest(_process_metrics(metrics_folder)) + generate_latest(held)
        return Response(body, content_type=CONTENT_TYPE_LATEST)

    return blueprint


def check_readiness(engine: Engine, now: datetime) -> Readiness:
    """Every condition, the ones behind the first fault of the database included as unknown."""
    names = ("database", "migrations", "partitions", "ingest")
    checks = {name: Check(ok=False, detail="unknown while the database is away") for name in names}
    try:
        with engine.connect() as connection:
            checks["database"] = Check(ok=True)
            checks["migrations"] = _check(readiness.migrations_fault(connection))
            if checks["migrations"].ok:
                checks["partitions"] = _check(readiness.partitions_fault(connection, now))
                checks["ingest"] = _check(readiness.ingest_fault(connection))
            else:
                checks["partitions"] = checks["ingest"] = Check(
                    ok=False, detail="unknown until it is migrated"
                )
    except SQLAlchemyError as fault:
        checks["database"] = Check(ok=False, detail=type(fault).__name__)
    return Readiness(all(check.ok for check in checks.values()), checks)


def _check(fault: str) -> Check:
    return Check(ok=not fault, detail=fault)


def _process_metrics(folder: str | None) -> CollectorRegistry:
    if folder is None:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    return registry


class DatabaseCollector(Collector):
    """Gauges read at the scrape. While the database is away there is one: webhook_app_database_up 0."""

    def __init__(self, engine: Engine, now: datetime) -> None:
        self._engine = engine
        self._now = now

    def collect(self) -> Iterator[Metric]:
        try:
            with self._engine.connect() as connection:
                found = list(self._read(connection))
        except SQLAlchemyError:
            found = []
        yield _gauge(
            "database_up", "Whether the database answered this scrape", "", {"": 1.0 if found else 0.0}
        )
        yield from found

    def _read(self, connection: Connection) -> Iterator[Metric]:
        totals = books.totals(connection)
        items = {name: float(getattr(totals, name)) for name in totals.__struct_fields__}
        yield _gauge("books_items", "Items since the first delivery, by what became of them", "became", items)
        yield _gauge("books_balanced", "Whether the books balance", "", {"": float(totals.balanced)})

        firing = dict.fromkeys(("info", "warning", "error", "critical"), 0.0)
        for alert in alerts.open_alerts(connection):
            if alert.state == "firing":
                firing[alert.severity] = firing.get(alert.severity, 0.0) + 1
        yield _gauge("alerts_firing", "Alerts that are firing", "severity", firing)

        backlog = notifications.backlog(connection)
        waiting = {name: float(held.waiting) for name, held in backlog.items()}
        yield _gauge("notifications_undelivered", "Notifications still to be sent", "channel", waiting)
        given_up = {name: float(held.failed) for name, held in backlog.items()}
        yield _gauge("notifications_failed", "Notifications given up", "channel", given_up)

        open_items = float(quarantine.count_open(connection))
        yield _gauge(
            "quarantine_open", "Items that were not understood and not replayed", "", {"": open_items}
        )
        yield from self._scheduler(connection)

    def _scheduler(self, connection: Connection) -> Iterator[Metric]:
        jobs = scheduler_state.job_states(connection)
        lag = {job.job: (self._now - job.started_at).total_seconds() for job in jobs}
        failed = {job.job: float(bool(job.error)) for job in jobs}
        yield _gauge("scheduler_lag_seconds", "Time since the job last began", "job", lag)
        yield _gauge("scheduler_job_failed", "Whether the job's last run ended with an error", "job", failed)


def _gauge(name: str, documentation: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    """One gauge, with a sample for each value of its label; no label means one value."""
    family = GaugeMetricFamily(f"webhook_app_{name}", documentation, labels=[label] if label else [])
    for value, number in values.items():
        family.add_metric([value] if label else [], number)
    return family
