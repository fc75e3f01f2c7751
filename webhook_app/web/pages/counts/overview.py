"""/: the first page, and the parts that its script replaces every ten seconds."""

from datetime import timedelta
from typing import Any

from flask import Response

from webhook_app.store.incidents import incidents
from webhook_app.store.suppressions import lists
from webhook_app.web.pages.accounts.health_summary import read_health
from webhook_app.web.pages.charts import Chart, recent
from webhook_app.web.pages.counts.overview_data import Overview, read_overview
from webhook_app.web.pages.page import Page, PageRequest, live_response, render, render_part
from webhook_app.web.pages.wording import REASONS

_HOURS = (3, 24)
_KEPT = {3: timedelta(seconds=8), 24: timedelta(seconds=60)}
_COUNTS_KEPT = timedelta(seconds=30)
_MOST_SHADED = 200
_PARTS = ("state", "figures", "codes", "places", "activity", "health", "suppressed", "chart_table")


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
    connection, now = request.connection, request.now
    hours = 24 if request.args.get("hours") == "24" else 3
    found = read_overview(connection, request.rules, request.settings.evaluate_seconds, now)
    chart = request.keep(("chart", hours), _KEPT[hours], lambda: _chart(request, hours))
    address = request.settings.public_url or request.http.host_url
    values = {
        "overview": found,
        "chart": chart,
        "hours": hours,
        "all_hours": _HOURS,
        "suppressed": request.keep(
            "suppressed", _COUNTS_KEPT, lambda: lists.count_by_reason(connection, now)
        ),
        "reasons": REASONS,
        "health": request.keep("health", _COUNTS_KEPT, lambda: read_health(connection, now)),
        "webhook_url": f"{address.rstrip('/')}/webhook",
        "parts": _PARTS,
    }
    return found, chart, values


def _chart(request: PageRequest, hours: int) -> Chart:
    """The chart of the last hours, with the incidents of that time."""
    found = incidents.list_incidents(
        request.connection, _MOST_SHADED, since=request.now - timedelta(hours=hours)
    )
    thresholds = (rule.threshold for rule in request.rules.values() if rule.kind == "rate")
    return recent(request.connection, hours, found, min(thresholds, default=None), request.now)


PAGES = (
    Page("GET", "/", overview_page),
    Page("GET", "/dashboard/data", overview_data),
)
