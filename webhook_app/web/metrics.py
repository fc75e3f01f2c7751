"""The metrics that /metrics reads from the database at a scrape. Request counters are elsewhere.

They are equal on every host: ask Prometheus for the maximum, not the sum. Contacts, texts and hosts never become
labels; codes and business numbers do, up to a limit. Metrics of scheduler processes come from rows they leave.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from importlib.metadata import version

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from webhook_app.rules.accounts.doctor_check import ORDER
from webhook_app.rules.incidents.findings.finding import KINDS
from webhook_app.store.accounts import doctor
from webhook_app.store.counts import lateness, rates, traffic
from webhook_app.store.counts.window_counts import CLASSES
from webhook_app.store.incidents import alerts, findings, incidents, outbox
from webhook_app.store.operations import disk_usage, scheduler_state
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.store.postgres.errors import EngineError
from webhook_app.store.receiving import books, quarantine, webhook_activity
from webhook_app.store.sends import reports, retries
from webhook_app.store.suppressions import contact_failures, lists

WINDOW_MINUTES = 15
_MAX_LABELS = 100
_SIZES_EVERY = timedelta(seconds=60)
_SEVERITIES = ("info", "warning", "error", "critical")
_REASONS = ("opted_out", "manual", "hard", "unreachable")

_Values = Mapping[str, float]


class MetricsCollector(Collector):
    """Reads the database at each scrape. While it is unavailable only build_info and database_up 0 exist."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine, self._clock = engine, clock
        self._sizes: tuple[datetime, list[Metric]] | None = None

    def collect(self) -> Iterator[Metric]:
        yield _gauge(
            "build_info", "Always 1; the label is the running version", {version("webhook-app"): 1}, "version"
        )
        now = self._clock()
        try:
            with self._engine.connect() as connection:
                found = [metric for read in _READ for metric in read(connection, now)]
                found += self._read_sizes(connection, now)
        except EngineError:
            found = []
        yield _one("database_up", "1 if the database answered this scrape, else 0", float(bool(found)))
        yield from found

    def _read_sizes(self, connection: Connection, now: datetime) -> list[Metric]:
        """The metrics that are read at most once a minute, because they scan a large table."""
        if self._sizes is None or now - self._sizes[0] >= _SIZES_EVERY:
            self._sizes = now, list(_sizes(connection, now))
        return self._sizes[1]


def _sizes(connection: Connection, now: datetime) -> Iterator[Metric]:
    found = lists.count_by_reason(connection, now)
    held = dict.fromkeys(_REASONS, 0.0) | {reason: float(count) for reason, count in found.items()}
    yield _gauge("suppressions", "Suppressions in force, by reason; up to a minute old", held, "reason")
    counted = retries.count(connection, now)
    states = {name: float(getattr(counted, name)) for name in counted.__struct_fields__}
    yield _gauge(
        "retries",
        "Failed messages to send again, by what they wait for, and dead letters; up to a minute old",
        states,
        "state",
    )
    size = float(disk_usage.database_bytes(connection))
    yield _one("database_size_bytes", "Size of the database on disk; up to a minute old", size)


def _books(connection: Connection, _now: datetime) -> Iterator[Metric]:
    totals = books.totals(connection)
    items = {name: float(getattr(totals, name)) for name in totals.__struct_fields__}
    yield _gauge("books_items", "Items since the first delivery, by result", items, "became")
    yield _one(
        "books_balanced", "1 if received = applied + duplicate + ignored + quarantined", totals.balanced
    )
    waiting = quarantine.count_open(connection)
    yield _one("quarantine_open", "Items that were not understood and await a replay", waiting)


def _lateness_metrics(connection: Connection, now: datetime) -> Iterator[Metric]:
    received = webhook_activity.last_received_at(connection, now)
    yield _one(
        "last_delivery_timestamp_seconds",
        "When the latest delivery was received; 0 if the archive holds none",
        received.timestamp() if received else 0,
    )
    lately = lateness.last_hour(connection, now)
    lags = {"0.5": lately.lag_p50_seconds, "0.95": lately.lag_p95_seconds, "0.99": lately.lag_p99_seconds}
    known = {share: float(lag) for share, lag in lags.items() if lag is not None}
    yield _gauge(
        "arrival_lag_seconds",
        "How long after Meta's time events of the last hour arrived, at most",
        known,
        "quantile",
    )
    delivered = {"reached": float(lately.reached), "unsent": float(lately.unsent)}
    yield _gauge(
        "reached_messages",
        "Messages of one hour with a delivered status, and those of them without a sent",
        delivered,
        "what",
    )
    silent = {each.phone_number_id: float(each.silent) for each in reports.unreported(connection, now)}
    yield _gauge(
        "silent_sends", "Reported sends of a day without any webhook", _largest(silent), "phone_number_id"
    )


def _traffic(connection: Connection, now: datetime) -> Iterator[Metric]:
    end = now.replace(second=0, microsecond=0)
    start, span = end - timedelta(minutes=WINDOW_MINUTES), f"in the last {WINDOW_MINUTES} full minutes"
    by_minute = traffic.statuses_by_minute(connection, start, end).values()
    statuses = {name: float(sum(getattr(each, name) for each in by_minute)) for name in _STATUSES}
    yield _gauge("recent_statuses", f"Status events {span}, by Meta's clock", statuses, "status")
    found = rates.rates_by_code(connection, start, end)
    yield _one("recent_attempts", f"Messages attempted {span}", found.attempts)
    classes = {name: float(found.classes[name]) for name in CLASSES}
    yield _gauge("recent_failures", f"Messages failed {span}, by class", classes, "class")
    codes = {str(group["code"]): float(group["failures"]) for group in found.groups}
    yield _gauge(
        "recent_failures_by_code",
        f"Messages failed {span}, by code; -1: without one; other: all but the {_MAX_LABELS} most frequent",
        _largest(codes),
        "code",
    )


_STATUSES = ("sent", "delivered", "read", "failed")


def _alerts(connection: Connection, now: datetime) -> Iterator[Metric]:
    firing = dict.fromkeys(_SEVERITIES, 0.0)
    for alert in alerts.open_alerts(connection):
        if alert.state == "firing":
            firing[alert.severity] = firing.get(alert.severity, 0.0) + 1
    yield _gauge("alerts_firing", "Alerts that are firing", firing, "severity")
    opened = dict.fromkeys(_SEVERITIES, 0) | incidents.count_open(connection)
    yield _gauge("incidents_open", "Incidents that are open", opened, "severity")
    found = dict.fromkeys(KINDS, 0) | findings.count_open(connection)
    yield _gauge("findings_open", "Findings that are open", found, "kind")
    checked = dict.fromkeys(ORDER, 0) | doctor.count_by_status(connection)
    yield _gauge("doctor_checks", "Checks of the latest reading of Meta's Graph API", checked, "status")
    backlog = outbox.backlog(connection)
    waiting = {name: float(held.waiting) for name, held in backlog.items()}
    yield _gauge("notifications_undelivered", "Notifications still to be sent", waiting, "channel")
    ages = {name: _age(held.oldest_at, now) for name, held in backlog.items()}
    yield _gauge(
        "notifications_oldest_seconds", "Age of the oldest undelivered notification", ages, "channel"
    )
    given_up = {name: float(held.failed) for name, held in backlog.items()}
    yield _gauge("notifications_failed", "Notifications that failed for good", given_up, "channel")
    oldest = _age(contact_failures.oldest_waiting(connection), now)
    yield _one(
        "suppression_lag_seconds", "Age of the oldest failure that suppression has not considered yet", oldest
    )


def _scheduler(connection: Connection, _now: datetime) -> Iterator[Metric]:
    tasks = {each.job: each for each in scheduler_state.job_states(connection)}
    began = {name: each.started_at.timestamp() for name, each in tasks.items()}
    yield _gauge("scheduler_last_run_timestamp_seconds", "When the task last started", began, "task")
    due = {name: each.interval_seconds for name, each in tasks.items()}
    yield _gauge("scheduler_interval_seconds", "Interval between runs of the task", due, "task")
    failing = {name: float(bool(each.error)) for name, each in tasks.items()}
    yield _gauge("scheduler_failing", "1 if the task's last run ended with an error", failing, "task")
    ran = {name: float(each.runs) for name, each in tasks.items()}
    yield _counter("scheduler_runs", "Finished runs of the task, on any scheduler", ran, "task")
    failed = {name: float(each.failures) for name, each in tasks.items()}
    yield _counter("scheduler_failures", "Runs of the task that ended with an error", failed, "task")
    took = {name: each.total_seconds for name, each in tasks.items()}
    yield _counter("scheduler_run_seconds", "Total duration of the task's runs", took, "task")


_READ = (_books, _lateness_metrics, _traffic, _alerts, _scheduler)


def _largest(values: _Values) -> _Values:
    """The largest values and the sum of the others: senders and webhooks can make up any number of labels."""
    if len(values) <= _MAX_LABELS:
        return values
    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered[:_MAX_LABELS]) | {"other": sum(value for _, value in ordered[_MAX_LABELS:])}


def _age(since: datetime | None, now: datetime) -> float:
    return max((now - since).total_seconds(), 0) if since else 0


def _one(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"webhook_app_{name}", documentation, value=float(value))


def _gauge(name: str, documentation: str, values: _Values, label: str) -> Metric:
    family = GaugeMetricFamily(f"webhook_app_{name}", documentation, labels=[label])
    for each, number in values.items():
        family.add_metric([each], number)
    return family


def _counter(name: str, documentation: str, values: _Values, label: str) -> Metric:
    family = CounterMetricFamily(f"webhook_app_{name}", documentation, labels=[label])
    for each, number in values.items():
        family.add_metric([each], number)
    return family
