"""/v1/alerts: what single rules found, as evidence of incidents. The actions on an alert act on its incident."""

from typing import Annotated, Any

from msgspec import Meta, Struct, convert

from webhook_app.store.incidents import alerts
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.incidents.incidents import (
    AlertState,
    EndedHow,
    IncidentDetail,
    Severity,
    SnoozeBody,
    SuppressionsUndone,
    acknowledge_incident,
    snooze_incident,
    undo_incident_suppressions,
)
from webhook_app.web.api.values import Cursor, Limit, NextCursor, Time, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain

AlertId = Annotated[int, Meta(description="The alert's number.")]


class AlertsQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    state: AlertState | None = None
    severity: Severity | None = None
    kind: Annotated[Word, Meta(description="The rule's kind: rate, spike, health and so on.")] | None = None
    rule: Annotated[Word, Meta(description="The rule's name.")] | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class AlertEntry(Struct, kw_only=True):
    """One alert of one rule and group. The figures are those of the last evaluation; rates are between 0 and 1.

    Code -1 stands for failures without a code.
    """

    id: int
    incident_id: Annotated[
        int | None, Meta(description="The incident it belongs to since it fired; null before.")
    ]
    rule: str
    kind: str
    state: AlertState
    severity: str
    group: dict[str, str | int]
    codes: Annotated[
        list[int],
        Meta(
            description="Most failures first; at most 100. `more_codes` of the explanation counts the others of its"
            " last window."
        ),
    ]
    rate: float
    low: float
    high: float
    attempts: int
    failures: int
    threshold: float
    window_minutes: int
    explanation: dict[str, Any]
    covers_from: Time
    started_at: Time
    fired_at: Time | None
    resolved_at: Time | None
    ended_how: EndedHow
    evaluated_at: Time


class AlertDetail(AlertEntry, kw_only=True):
    """One alert with the meaning of its codes."""

    meanings: list[ErrorCode]


class AlertList(Struct):
    """Alerts, the newest first."""

    alerts: list[AlertEntry]
    next_cursor: NextCursor


def list_alerts(call: Call, query: AlertsQuery) -> AlertList:
    """List alerts, the newest first."""
    before = cursor.decode_id(query.cursor)
    found = alerts.list_alerts(
        call.connection,
        query.state,
        query.limit + 1,
        before,
        severity=query.severity,
        kind=query.kind,
        rule=query.rule,
    )
    page, following = cursor.cut(found, query.limit, lambda alert: alert.id)
    return AlertList([convert(alert, AlertEntry, from_attributes=True) for alert in page], following)


def get_alert(call: Call, alert_id: AlertId) -> AlertDetail:
    """Return one alert, with the meaning of its codes."""
    alert = _find_alert(call, alert_id)
    fields = {name: getattr(alert, name) for name in AlertEntry.__struct_fields__}
    return AlertDetail(**fields, meanings=[explain(code) for code in alert.codes])


def acknowledge_alert(call: Call, alert_id: AlertId) -> IncidentDetail:
    """Acknowledge the alert's incident. One that has ended, or an alert that has not fired, returns 409."""
    return acknowledge_incident(call, _incident_of(call, alert_id))


def snooze_alert(call: Call, alert_id: AlertId, body: SnoozeBody) -> IncidentDetail:
    """Snooze the alert's incident. One that has ended, or an alert that has not fired, returns 409."""
    return snooze_incident(call, _incident_of(call, alert_id), body)


def undo_alert_suppressions(call: Call, alert_id: AlertId) -> SuppressionsUndone:
    """Lift every automatic suppression based on failures of the alert's incident."""
    return undo_incident_suppressions(call, _incident_of(call, alert_id))


def _find_alert(call: Call, alert_id: int) -> alerts.Alert:
    alert = alerts.get_alert(call.connection, alert_id)
    if alert is None:
        raise ApiError(
            404, "not_found", f"There is no alert {alert_id}. Alerts that never fired are deleted."
        )
    return alert


def _incident_of(call: Call, alert_id: int) -> int:
    incident_id = _find_alert(call, alert_id).incident_id
    if incident_id is None:
        raise ApiError(409, "pending", f"Alert {alert_id} has not fired, so it belongs to no incident.")
    return incident_id


ENDPOINTS = (
    Endpoint("GET", "/v1/alerts", list_alerts, "viewer"),
    Endpoint("GET", "/v1/alerts/{alert_id}", get_alert, "sender"),
    Endpoint("POST", "/v1/alerts/{alert_id}/acknowledge", acknowledge_alert, "admin", (409,)),
    Endpoint("POST", "/v1/alerts/{alert_id}/snooze", snooze_alert, "admin", (409,)),
    Endpoint("POST", "/v1/alerts/{alert_id}/undo-suppressions", undo_alert_suppressions, "admin", (409,)),
)
