"""/incidents: the list of incidents, and one incident with its evidence and timeline. Read-only."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Response
from msgspec import Struct
from msgspec.structs import asdict, replace
from werkzeug.exceptions import NotFound

from webhook_app.pipeline.incidents.details.examination import counted
from webhook_app.rules.incidents.rules_file.rule_keys import SEVERITIES
from webhook_app.store.accounts.numbers import names
from webhook_app.store.incidents import alerts, incident_history, incidents, silences
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.incidents.silences import Silence
from webhook_app.web.api import cursor
from webhook_app.web.pages.charts import Chart, around_incident
from webhook_app.web.pages.incidents.incident_evidence import IncidentEvidence, gather_evidence
from webhook_app.web.pages.incidents.incident_timeline import IncidentEvent, timeline
from webhook_app.web.pages.incidents.incident_view import (
    IncidentView,
    view_incident,
    view_incidents,
    worst_first,
)
from webhook_app.web.pages.page import Page, PageRequest, live_response, render, render_part

STATES = {"": "All", "open": "Open", "ended": "Ended"}

_PAGE = 50
_PARTS = ("state", "codes", "slices", "messages", "alerts", "meta", "timeline", "chart_table")
_COUNTS_KEPT = timedelta(seconds=30)


class _IncidentFilters(Struct, frozen=True):
    """The filters of the list; empty: all."""

    state: str = ""
    severity: str = ""


class _IncidentPage(Struct, frozen=True):
    """The values of one incident's page."""

    shown: IncidentView
    timeline: list[IncidentEvent]
    chart: Chart | None
    evidence: IncidentEvidence
    silence: Silence | None
    """The one that covers it now."""


def incident_list(request: PageRequest) -> Response:
    """Open incidents, then ended ones, the latest first."""
    asked = _asked(request.args)
    ended, following = cursor.cut(_ended(request, asked), _PAGE, lambda incident: incident.id)
    opened = [] if request.before is not None or asked.state == "ended" else _open(request, asked)
    found = [*opened, *ended]
    members = alerts.of_incidents(request.connection, [incident.id for incident in found])
    found = [_counted(request, each, [a for a in members if a.incident_id == each.id]) for each in found]
    return render(
        request,
        "incidents.html",
        incidents=view_incidents(
            found, members, request.rules, request.now, names(request.connection, str((found, members)))
        ),
        following=following,
        is_first=request.before is None,
        asked=asked,
        is_narrow=any(asdict(asked).values()),
        states=STATES,
        severities=SEVERITIES,
    )


def incident_page(request: PageRequest, incident_id: int) -> Response:
    """One incident."""
    return render(request, "incident.html", **asdict(_gather(request, incident_id)))


def incident_data(request: PageRequest, incident_id: int) -> Response:
    """The parts of one incident's page that its script replaces."""
    found = _gather(request, incident_id)
    parts = {name: render_part(request, f"incident_{name}.html", **asdict(found)) for name in _PARTS}
    return live_response(request, found.shown.title, parts, found.chart, shape=found.shown.incident.state)


def known_incident(request: PageRequest, incident_id: int) -> Incident:
    """The incident with this id. Raises NotFound."""
    incident = incidents.get(request.connection, incident_id)
    if incident is None:
        raise NotFound(f"There is no incident {incident_id}, or it is older than the retention period.")
    return incident


def read_incident(request: PageRequest, incident_id: int) -> IncidentView:
    """The incident with its alerts. Raises NotFound."""
    incident = known_incident(request, incident_id)
    members = alerts.of_incidents(request.connection, [incident.id])
    counted_now = _counted(request, incident, members)
    known = names(request.connection, str((counted_now, members)))
    return view_incident(counted_now, members, request.rules, request.now, known)


def _counted(request: PageRequest, incident: Incident, members: list[Alert]) -> Incident:
    """An open incident with its current counts; the stored ones are those of its last notification."""
    if not incident.is_open:
        return incident
    figures = request.keep(  # every open browser asks for them every ten seconds
        ("incident", incident.id),
        _COUNTS_KEPT,
        lambda: counted(request.connection, incident, members, request.now),
    )
    names = ("began_at", "total_failures", "contacts", "details")
    return replace(incident, **{name: getattr(figures, name) for name in names})


def _asked(given: Mapping[str, str]) -> _IncidentFilters:
    """The filters of the query; unknown values are ignored."""
    known: dict[str, Any] = {"state": STATES, "severity": SEVERITIES}
    return _IncidentFilters(
        **{name: value for name, allowed in known.items() if (value := given.get(name, "")) in allowed}
    )


def _open(request: PageRequest, asked: _IncidentFilters) -> list[Incident]:
    found = incidents.open_incidents(request.connection)
    return worst_first(incident for incident in found if asked.severity in ("", incident.severity))


def _ended(request: PageRequest, asked: _IncidentFilters) -> list[Incident]:
    if asked.state == "open":
        return []
    severity = asked.severity or None
    return incidents.list_incidents(
        request.connection, _PAGE + 1, state="ended", severity=severity, before_id=request.before
    )


def _gather(request: PageRequest, incident_id: int) -> _IncidentPage:
    connection, shown = request.connection, read_incident(request, incident_id)
    silenced_by = shown.incident.silenced_by if shown.is_open else None
    silence = silences.get(connection, silenced_by) if silenced_by is not None else None
    entries = timeline(
        shown,
        incident_history.notifications_of(connection, incident_id),
        incident_history.undone_batches(connection, incident_id),
        silence,
    )
    chart = None
    if shown.alerts:
        leading, opened_at = (shown.measured or shown.alerts[0]).alert, shown.first_opened_at
        chart = around_incident(connection, shown.incident, opened_at, leading, request.now)
    return _IncidentPage(shown, entries, chart, gather_evidence(connection, shown, request.now), silence)


PAGES = (
    Page("GET", "/incidents", incident_list),
    Page("GET", "/incidents/<int:incident_id>", incident_page),
    Page("GET", "/dashboard/incidents/<int:incident_id>", incident_data),
)
