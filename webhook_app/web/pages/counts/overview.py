"""/: the first page, and what its script exchanges every ten seconds. Gathered in overview.py and health_view.py."""

from datetime import datetime, timedelta

from flask import Blueprint, Response, render_template, request
from msgspec import Struct

from webhook_app.settings import Settings
from webhook_app.store.counts import webhook_activity
from webhook_app.store.incidents import alerts
from webhook_app.store.postgres.engine import Connection
from webhook_app.web.pages.accounts.health_summary import HealthSummary, read_health
from webhook_app.web.pages.charts import Chart, recent
from webhook_app.web.pages.counts.overview_data import Overview, read_overview
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, live_answer, render

_HOURS = (3, 24)
_KEPT = {3: timedelta(seconds=8), 24: timedelta(seconds=60)}
_COUNTS_KEPT = timedelta(seconds=30)
_PARTS = ("state", "figures", "codes", "places", "pulse", "health", "suppressed", "readings")


class _Slow(Struct):
    """What is read less often than every page wants it: once for all who look."""

    charts: dict[int, tuple[datetime, Chart]]
    suppressed: tuple[datetime, dict[str, int]] | None = None
    health: tuple[datetime, HealthSummary] | None = None

    def chart(self, connection: Connection, hours: int, threshold: float | None, now: datetime) -> Chart:
        until, chart = self.charts.get(hours, (now, None))
        if chart is None or until <= now:
            fired = alerts.explaining(connection, now - timedelta(hours=hours))
            chart = recent(connection, hours, fired, threshold, now)
            self.charts[hours] = now + _KEPT[hours], chart
        return chart

    def suppressions(self, connection: Connection, now: datetime) -> dict[str, int]:
        if self.suppressed is None or self.suppressed[0] <= now:
            self.suppressed = now + _COUNTS_KEPT, webhook_activity.suppressed_by_reason(connection, now)
        return self.suppressed[1]

    def health_of(self, connection: Connection, now: datetime) -> HealthSummary:
        if self.health is None or self.health[0] <= now:
            self.health = now + _COUNTS_KEPT, read_health(connection, now)
        return self.health[1]


def add_overview(blueprint: Blueprint, desk: PageContext) -> None:
    """The page, and what its script exchanges."""
    slow = _Slow({})
    threshold = min((rule.threshold for rule in desk.rules.values() if rule.kind == "rate"), default=None)
    seconds = desk.room.settings.evaluate_seconds

    def gather(visit: PageRequest) -> tuple[Overview, Chart, dict[str, object]]:
        hours = 24 if request.args.get("hours") == "24" else 3
        found = read_overview(visit.connection, desk.rules, seconds, visit.now)
        chart = slow.chart(visit.connection, hours, threshold, visit.now)
        values = {
            "overview": found,
            "chart": chart,
            "hours": hours,
            "all_hours": _HOURS,
            "suppressed": slow.suppressions(visit.connection, visit.now),
            "health": slow.health_of(visit.connection, visit.now),
            "webhook_url": _webhook_url(desk.room.settings),
            "parts": _PARTS,
        }
        return found, chart, values

    def overview_page(visit: PageRequest) -> Response:
        _, _, values = gather(visit)
        return render(visit, "overview.html", **values)

    def overview_data(visit: PageRequest) -> Response:
        """What the page's script exchanges: the parts as HTML, the chart as figures."""
        found, chart, values = gather(visit)
        template = "overview_{}.html"
        parts = {
            name: render_template(template.format(name), visit=visit, now=visit.now, **values)
            for name in _PARTS
        }
        return live_answer(visit, found.state.headline, parts, chart, shape="new" if found.is_new else "full")

    add_page(blueprint, desk, "/", overview_page)
    add_page(blueprint, desk, "/dashboard/data", overview_data)


def _webhook_url(settings: Settings) -> str:
    return f"{(settings.public_url or request.host_url).rstrip('/')}/webhook"
