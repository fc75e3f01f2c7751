"""/alerts: incidents, open and over, one by one; acknowledging and snoozing them. Figures come from the rows."""

from datetime import timedelta

from flask import Blueprint, Response, make_response, redirect, render_template, request
from msgspec import Struct
from msgspec.structs import asdict
from werkzeug.exceptions import NotFound

from webhook_app.store import alerts, overview
from webhook_app.web import cursor
from webhook_app.web.dashboard.alert_view import AlertView, Step, timeline, view, worst_first
from webhook_app.web.dashboard.charts import Chart, around
from webhook_app.web.dashboard.desk import Desk, Visit, add_page, live_answer, render

SNOOZE = timedelta(hours=1)

_PAGE = 50
_BIGINT = 2**63
_PARTS = ("state", "codes", "story", "readings")


class _Page(Struct, frozen=True):
    """What one alert's page shows."""

    shown: AlertView
    steps: list[Step]
    chart: Chart


def add_alert_pages(blueprint: Blueprint, desk: Desk) -> None:
    """The list, each alert, what its page exchanges, and the two buttons."""

    def alert_list(visit: Visit) -> Response:
        before = cursor.decode_id(request.args.get("cursor"))
        found = alerts.list_alerts(visit.connection, "resolved", _PAGE + 1, before)
        over = found[:_PAGE]
        still = worst_first(alerts.open_alerts(visit.connection)) if before is None else []
        return render(
            visit,
            "alerts.html",
            alerts=[view(alert, desk.rules, visit.now) for alert in (*still, *over)],
            following=cursor.encode(over[-1].id) if len(found) > _PAGE else None,
            is_first=before is None,
        )

    def alert_page(visit: Visit, alert_id: int) -> Response:
        return render(visit, "alert.html", **asdict(_gather(visit, desk, alert_id)), parts=_PARTS)

    def alert_data(visit: Visit, alert_id: int) -> Response:
        """What the page's script exchanges."""
        found = _gather(visit, desk, alert_id)
        context = {"visit": visit, "now": visit.now, **asdict(found)}
        parts = {name: render_template(f"alert_{name}.html", **context) for name in _PARTS}
        return live_answer(visit, found.shown.title, parts, found.chart, shape=found.shown.alert.state)

    def acknowledge_alert(visit: Visit, alert_id: int) -> Response:
        alerts.acknowledge(visit.connection, _known(visit, alert_id).id, visit.session.key.name, visit.now)
        return _back(alert_id)

    def snooze_alert(visit: Visit, alert_id: int) -> Response:
        alerts.snooze(visit.connection, _known(visit, alert_id).id, visit.now + SNOOZE)
        return _back(alert_id)

    add_page(blueprint, desk, "/alerts", alert_list)
    add_page(blueprint, desk, "/alerts/<int:alert_id>", alert_page)
    add_page(blueprint, desk, "/dashboard/alerts/<int:alert_id>", alert_data)
    add_page(blueprint, desk, "/alerts/<int:alert_id>/acknowledge", acknowledge_alert, method="POST")
    add_page(blueprint, desk, "/alerts/<int:alert_id>/snooze", snooze_alert, method="POST")


def _gather(visit: Visit, desk: Desk, alert_id: int) -> _Page:
    alert = _known(visit, alert_id)
    return _Page(
        view(alert, desk.rules, visit.now),
        timeline(alert, overview.told(visit.connection, alert.id)),
        around(visit.connection, alert, visit.now),
    )


def _known(visit: Visit, alert_id: int) -> alerts.Alert:
    alert = alerts.get_alert(visit.connection, alert_id) if alert_id < _BIGINT else None
    if alert is None:
        raise NotFound(f"There is no alert {alert_id}; one that went quiet before it fired is forgotten.")
    return alert


def _back(alert_id: int) -> Response:
    return make_response(redirect(f"/alerts/{alert_id}", code=303))
