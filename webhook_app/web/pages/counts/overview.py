"""/: the first page, and the parts that its script replaces every ten seconds."""

from datetime import datetime, timedelta
from typing import Any

from flask import Response
from msgspec import Struct

from webhook_app.store.incidents import incidents
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import lists
from webhook_app.web.pages.accounts.health_summary import HealthSummary, read_health
from webhook_app.web.pages.charts import Chart, recent
from webhook_app.web.pages.counts.overview_data import Overview, read_overview
from webhook_app.web.pages.page import Page, PageRequest, live_response, render, render_part
from webhook_app.web.pages.wording import REASONS

_HOURS = (3, 24)
_KEPT = {3: timedelta(seconds=8), 24: timedelta(seconds=60)}
_COUNTS_KEPT = timedelta(seconds=30)
_MOST_SHADED = 200
_PARTS = ("state", "figures", "codes", "places", "activity", "health", "suppressed", "chart_table")


class _OverviewCache(Struct):
    """What is too slow to read for every request, shared by all browsers."""

    charts: dict[int, tuple[datetime, Chart]] = {}
    suppressed: tuple[datetime, dict[str, int]] | None = None
    health: tuple[datetime, HealthSummary] | None = None

    def chart(self, connection: Connection, hours: int, threshold: float | None, now: datetime) -> Chart:
        until, chart = self.charts.get(hours, (now, None))
        if chart is None or until <= now:
            since = now - timedelta(hours=hours)
            found = incidents.list_incidents(connection, _MOST_SHADED, since=since)
            chart = recent(connection, hours, found, threshold, now)
            self.charts[hours] = now + _KEPT[hours], chart
        return chart

    def suppressions(self, connection: Connection, now: datetime) -> dict[str, int]:
        if self.suppressed is None or self.suppressed[0] <= now:
            self.suppressed = now + _COUNTS_KEPT, lists.count_by_reason(connection, now)
        return self.suppressed[1]

    def health_of(self, connection: Connection, now: datetime) -> HealthSummary:
        if self.health is None or self.health[0] <= now:
            self.health = now + _COUNTS_KEPT, read_health(connection, now)
        return self.health[1]


def overview_page(request: PageRequest) -> Response:
    """The first page."""
    _, _, values = _gather(request)
    return render(request, "overview.html", **values)


def overview_data(request: PageRequest) -> Response:
    """The parts of the first page as HTML, its chart as figures."""
    found, chart, values = _gather(request)
    template = "overview_{}.html"
    parts = {name: render_part(request, template.format(name), **values) for name in _PARTS}
    return live_response(request, found.state.headline, parts, chart, shape="new" if found.is_new else "full")


def _gather(request: PageRequest) -> tuple[Overview, Chart, dict[str, Any]]:
    connection, now, cache = request.connection, request.now, request.context.cache(_OverviewCache)
    hours = 24 if request.args.get("hours") == "24" else 3
    found = read_overview(connection, request.rules, request.settings.evaluate_seconds, now)
    thresholds = (rule.threshold for rule in request.rules.values() if rule.kind == "rate")
    chart = cache.chart(connection, hours, min(thresholds, default=None), now)
    address = request.settings.public_url or request.http.host_url
    values = {
        "overview": found,
        "chart": chart,
        "hours": hours,
        "all_hours": _HOURS,
        "suppressed": cache.suppressions(connection, now),
        "reasons": REASONS,
        "health": cache.health_of(connection, now),
        "webhook_url": f"{address.rstrip('/')}/webhook",
        "parts": _PARTS,
    }
    return found, chart, values


PAGES = (
    Page("GET", "/", overview_page),
    Page("GET", "/dashboard/data", overview_data),
)
