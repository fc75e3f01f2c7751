"""/healthz, /readyz and /metrics, for load balancers and monitoring. Public: no contacts, no secrets, no hosts."""

from collections.abc import Callable
from datetime import datetime
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

import msgspec
from flask import Blueprint, Response
from msgspec import Struct
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from webhook_app.store.operations import readiness
from webhook_app.store.postgres.engine import Engine, driver
from webhook_app.store.postgres.errors import EngineError
from webhook_app.store.postgres.sessions import sessions_fault
from webhook_app.web import security_headers
from webhook_app.web.metrics import MetricsCollector

disable_created_metrics()  # type: ignore[no-untyped-call]  # several workers have no common creation time

_SHARED_SECONDS = 1
_BUSY = 0.9  # of the ingest queue: a balancer should send elsewhere before deliveries are refused


Result = TypeVar("Result")


class SharedResult(Generic[Result]):
    """The result of a call that runs at most once at a time. Callers share it, and those of the next `seconds` too.

    Anybody may ask the probes at any rate, so their cost must not depend on the number of requests.
    """

    def __init__(
        self, call: Callable[[], Result], seconds: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._call, self._seconds, self._clock = call, seconds, clock
        self._lock = Lock()  # in a gevent worker one of greenlets
        self._held: tuple[Result, float] | None = None

    def get(self) -> Result:
        """Return the current result; waits for the run that determines it."""
        with self._lock:
            if self._held is None or self._clock() >= self._held[1]:
                self._held = None
                self._held = self._call(), self._clock() + self._seconds
            return self._held[0]


class Check(Struct):
    """One condition of readiness; `detail` says what is wrong."""

    ok: bool
    detail: str = ""


class Readiness(Struct):
    ready: bool
    checks: dict[str, Check]


def probes_blueprint(
    engine: Engine, clock: Callable[[], datetime], metrics_folder: str | None, fullness: Callable[[], float]
) -> Blueprint:
    """The three routes. `metrics_folder`: where the workers of a host share their metrics; None for one process.

    `engine`: a pool that nothing else uses, because a check of sessions takes two connections at once.
    `fullness`: the share of this process' ingest queue in use; from 1 on it refuses.
    """
    blueprint = Blueprint("health", __name__)
    figures = CollectorRegistry()
    figures.register(MetricsCollector(engine, clock))
    readiness_now = SharedResult(lambda: check_readiness(engine, clock()), _SHARED_SECONDS)
    metrics_now = SharedResult(
        lambda: generate_latest(_process_metrics(metrics_folder)) + generate_latest(figures), _SHARED_SECONDS
    )
    security_headers.secure_api(blueprint)

    @blueprint.get("/healthz")
    def alive() -> Response:
        """The process answers. Does not check the database."""
        return Response("ok\n", content_type="text/plain; charset=utf-8")

    @blueprint.get("/readyz")
    def ready() -> Response:
        """Whether webhooks can be stored now, by condition."""
        full = fullness()
        queue = Check(ok=full < _BUSY, detail=f"{full:.0%} full" if full >= _BUSY else "")
        shared = readiness_now.get()
        found = Readiness(shared.ready and queue.ok, {**shared.checks, "queue": queue})
        status = 200 if found.ready else 503
        return Response(msgspec.json.encode(found), status=status, content_type="application/json")

    @blueprint.get("/metrics")
    def metrics() -> Response:
        """The counters of this host's workers, and the current figures of the database."""
        return Response(metrics_now.get(), content_type=CONTENT_TYPE_LATEST)

    return blueprint


def check_readiness(engine: Engine, now: datetime) -> Readiness:
    """Check every condition; those that depend on a failed one are unknown. Takes two connections at once."""
    names = ("database", "sessions", "migrations", "partitions", "ingest")
    checks = {name: Check(ok=False, detail="unknown while the database is unavailable") for name in names}
    try:
        with engine.connect() as connection:
            checks["database"] = Check(ok=True)
            with engine.connect() as other:
                checks["sessions"] = _check(sessions_fault(driver(connection), driver(other)))
            checks["migrations"] = _check(readiness.migrations_fault(connection))
            if checks["migrations"].ok:
                checks["partitions"] = _check(readiness.partitions_fault(connection, now))
                checks["ingest"] = _check(readiness.ingest_fault(connection))
            else:
                checks["partitions"] = checks["ingest"] = Check(
                    ok=False, detail="unknown until it is migrated"
                )
    except EngineError as fault:
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
