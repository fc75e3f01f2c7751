"""/alerts: what single rules found, as evidence of incidents. Read-only."""

from collections.abc import Mapping
from typing import Any

from flask import Response
from msgspec import Struct
from msgspec.structs import asdict
from werkzeug.exceptions import NotFound

from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rule_keys import SEVERITIES
from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.incidents.alerts import OPEN, Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.web.api import cursor
from webhook_app.web.pages.charts import Chart, around
from webhook_app.web.pages.incidents.alert_names import KINDS
from webhook_app.web.pages.incidents.alert_view import AlertView, view, worst_first
from webhook_app.web.pages.page import Page, PageRequest, live_response, render, render_part

STATES = {"": "All", "open": "Open", "firing": "Firing", "pending": "Pending", "resolved": "Resolved"}

_PAGE = 50
_MOST_OPEN = 200
_PARTS = ("state", "chart_table")


class _AlertFilters(Struct, frozen=True):
    """The filters of the list; empty: all."""

    state: str = ""
    severity: str = ""
    kind: str = ""
    rule: str = ""

    @property
    def is_narrow(self) -> bool:
        return any(asdict(self).values())

    def matches(self, alert: Alert) -> bool:
        """Whether an open alert matches."""
        wanted = {"severity": self.severity, "kind": self.kind, "rule": self.rule}
        wanted["state"] = self.state if self.state in OPEN else ""
        return all(value in ("", getattr(alert, name)) for name, value in wanted.items())


class _AlertPage(Struct, frozen=True):
    """The values of one alert's page."""

    shown: AlertView
    incident: Incident | None
    chart: Chart | None


def alert_list(request: PageRequest) -> Response:
    """Open alerts, then resolved ones, the latest first."""
    filters = _read_filters(request.args, request.rules)
    resolved, following = cursor.cut(_resolved(request, filters), _PAGE, lambda alert: alert.id)
    opened = [] if request.before is not None or filters.state == "resolved" else _open(request, filters)
    return render(
        request,
        "alerts.html",
        alerts=[view(alert) for alert in (*opened[:_MOST_OPEN], *resolved)],
        more=max(0, len(opened) - _MOST_OPEN),
        following=following,
        is_first=request.before is None,
        filters=filters,
        states=STATES,
        severities=SEVERITIES,
        kinds=KINDS,
        rules=list(request.rules),
    )


def alert_page(request: PageRequest, alert_id: int) -> Response:
    """One alert."""
    return render(request, "alert.html", **asdict(_gather(request, alert_id)))


def alert_data(request: PageRequest, alert_id: int) -> Response:
    """The parts of one alert's page that its script replaces."""
    found = _gather(request, alert_id)
    parts = {name: render_part(request, f"alert_{name}.html", **asdict(found)) for name in _PARTS}
    return live_response(request, found.shown.title, parts, found.chart, shape=found.shown.alert.state)


def _known_alert(request: PageRequest, alert_id: int) -> Alert:
    alert = alerts.get_alert(request.connection, alert_id)
    if alert is None:
        raise NotFound(f"There is no alert {alert_id}. Alerts that end before they fire are deleted.")
    return alert


def _read_filters(given: Mapping[str, str], rules: Mapping[str, Rule]) -> _AlertFilters:
    """The filters of the query; unknown values are ignored."""
    known: dict[str, Any] = {"state": STATES, "severity": SEVERITIES, "kind": KINDS, "rule": rules}
    return _AlertFilters(
        **{name: value for name, allowed in known.items() if (value := given.get(name, "")) in allowed}
    )


def _open(request: PageRequest, filters: _AlertFilters) -> list[Alert]:
    return worst_first([alert for alert in alerts.open_alerts(request.connection) if filters.matches(alert)])


def _resolved(request: PageRequest, filters: _AlertFilters) -> list[Alert]:
    if filters.state not in ("", "resolved"):
        return []
    return alerts.list_alerts(
        request.connection,
        "resolved",
        _PAGE + 1,
        request.before,
        severity=filters.severity or None,
        kind=filters.kind or None,
        rule=filters.rule or None,
    )


def _gather(request: PageRequest, alert_id: int) -> _AlertPage:
    connection, alert = request.connection, _known_alert(request, alert_id)
    incident = None if alert.incident_id is None else incidents.get(connection, alert.incident_id)
    return _AlertPage(view(alert), incident, around(connection, alert, request.now))


PAGES = (
    Page("GET", "/alerts", alert_list),
    Page("GET", "/alerts/<int:alert_id>", alert_page),
    Page("GET", "/dashboard/alerts/<int:alert_id>", alert_data),
)
