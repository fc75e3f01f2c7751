"""/alerts: incidents, open and over, one by one. Figures come from the rows; what people do stands in alert_acts.py."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, render_template, request
from msgspec import Struct
from msgspec.structs import asdict
from werkzeug.exceptions import NotFound

from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.incidents.rule_keys import SEVERITIES
from webhook_app.store.incidents import alert_history, alerts, silences
from webhook_app.store.incidents.alerts import OPEN, Alert
from webhook_app.store.incidents.silences import Silence
from webhook_app.web.api import cursor
from webhook_app.web.pages.charts import Chart, around
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, live_answer, render
from webhook_app.web.pages.incidents.alert_evidence import AlertEvidence, gather_evidence
from webhook_app.web.pages.incidents.alert_names import KINDS
from webhook_app.web.pages.incidents.alert_timeline import AlertTimelineEntry, timeline
from webhook_app.web.pages.incidents.alert_view import AlertView, view, worst_first

STATES = {"": "All", "open": "Open", "firing": "Firing", "pending": "Pending", "resolved": "Over"}

_PAGE = 50
_BIGINT = 2**63
_PARTS = ("state", "codes", "slices", "messages", "meta", "story", "readings")


class _Asked(Struct, frozen=True):
    """What the list is narrowed to; empty for all."""

    state: str = ""
    severity: str = ""
    kind: str = ""
    rule: str = ""

    @property
    def is_narrow(self) -> bool:
        return any(asdict(self).values())

    def holds(self, alert: Alert) -> bool:
        """Whether an open alert is asked for."""
        wanted = {"severity": self.severity, "kind": self.kind, "rule": self.rule}
        wanted["state"] = self.state if self.state in OPEN else ""
        return all(value in ("", getattr(alert, name)) for name, value in wanted.items())


class _Page(Struct, frozen=True):
    """What one alert's page shows."""

    shown: AlertView
    steps: list[AlertTimelineEntry]
    chart: Chart | None
    evidence: AlertEvidence
    silence: Silence | None
    """The one that covers it now."""


def add_alert_pages(blueprint: Blueprint, desk: PageContext) -> None:
    """The list, each alert, and what its page exchanges."""

    def alert_list(visit: PageRequest) -> Response:
        asked = _asked(request.args, desk.rules)
        before = cursor.decode_id(request.args.get("cursor"))
        over = _over(visit, asked, before)
        still = [] if before is not None or asked.state == "resolved" else _open(visit, asked)
        return render(
            visit,
            "alerts.html",
            alerts=[view(alert, desk.rules, visit.now) for alert in (*still, *over[:_PAGE])],
            following=cursor.encode(over[_PAGE - 1].id) if len(over) > _PAGE else None,
            is_first=before is None,
            asked=asked,
            states=STATES,
            severities=SEVERITIES,
            kinds=KINDS,
            rules=list(desk.rules),
        )

    def alert_page(visit: PageRequest, alert_id: int) -> Response:
        return render(visit, "alert.html", **asdict(_gather(visit, desk, alert_id)))

    def alert_data(visit: PageRequest, alert_id: int) -> Response:
        """What the page's script exchanges."""
        found = _gather(visit, desk, alert_id)
        context = {"visit": visit, "now": visit.now, **asdict(found)}
        parts = {name: render_template(f"alert_{name}.html", **context) for name in _PARTS}
        return live_answer(visit, found.shown.title, parts, found.chart, shape=found.shown.alert.state)

    add_page(blueprint, desk, "/alerts", alert_list)
    add_page(blueprint, desk, "/alerts/<int:alert_id>", alert_page)
    add_page(blueprint, desk, "/dashboard/alerts/<int:alert_id>", alert_data)


def known_alert(visit: PageRequest, alert_id: int) -> Alert:
    """The alert with this id, or the page that says that there is none."""
    alert = alerts.get_alert(visit.connection, alert_id) if alert_id < _BIGINT else None
    if alert is None:
        raise NotFound(f"There is no alert {alert_id}; one that went quiet before it fired is forgotten.")
    return alert


def _asked(given: Mapping[str, str], rules: Mapping[str, Rule]) -> _Asked:
    """What is not known narrows nothing."""
    known: dict[str, Any] = {"state": STATES, "severity": SEVERITIES, "kind": KINDS, "rule": rules}
    return _Asked(
        **{name: value for name, allowed in known.items() if (value := given.get(name, "")) in allowed}
    )


def _open(visit: PageRequest, asked: _Asked) -> list[Alert]:
    return worst_first([alert for alert in alerts.open_alerts(visit.connection) if asked.holds(alert)])


def _over(visit: PageRequest, asked: _Asked, before: int | None) -> list[Alert]:
    if asked.state not in ("", "resolved"):
        return []
    return alerts.list_alerts(
        visit.connection,
        "resolved",
        _PAGE + 1,
        before,
        severity=asked.severity or None,
        kind=asked.kind or None,
        rule=asked.rule or None,
    )


def _gather(visit: PageRequest, desk: PageContext, alert_id: int) -> _Page:
    connection, alert = visit.connection, known_alert(visit, alert_id)
    shown = view(alert, desk.rules, visit.now)
    silence = (
        silences.get(connection, alert.muted_by) if alert.muted_why == "silence" and alert.muted_by else None
    )
    steps = timeline(
        alert,
        alert_history.told(connection, alert.id),
        alert_history.undone(connection, alert.id),
        [silence] if silence else [],
    )
    chart = around(connection, alert, visit.now)
    evidence = gather_evidence(connection, shown, desk.rules, visit.now)
    return _Page(shown, steps, chart, evidence, silence)
