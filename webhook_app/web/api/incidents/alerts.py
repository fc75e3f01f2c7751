"""/v1/alerts: open and resolved alerts, and the actions on them."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, convert

from webhook_app.pipeline.incidents import alert_actions
from webhook_app.store.incidents import alerts
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Cursor, Limit, NextCursor, Time, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain

AlertId = Annotated[int, Meta(description="The alert's number.")]
_State = Literal["pending", "firing", "resolved"]


class AlertsQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    state: _State | None = None
    severity: Literal["info", "warning", "error", "critical"] | None = None
    kind: Annotated[Word, Meta(description="The rule's kind: rate, spike, health and so on.")] | None = None
    rule: Annotated[Word, Meta(description="The rule's name.")] | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class SnoozeBody(Struct, forbid_unknown_fields=True):
    """The duration of the snooze."""

    minutes: Annotated[int, Meta(ge=1, le=7 * 24 * 60)]


class AlertEntry(Struct, kw_only=True):
    """One alert of one rule and group. The figures are those of the last evaluation; rates are between 0 and 1.

    Code -1 stands for failures without a code.
    """

    id: int
    rule: str
    kind: str
    state: _State
    severity: str
    group: dict[str, str | int]
    codes: list[int]
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
    evaluated_at: Time
    notified_at: Time | None
    acknowledged_at: Time | None
    acknowledged_by: str
    snoozed_until: Time | None
    snoozed_by: str
    muted_by: Annotated[
        int | None,
        Meta(description="The silence, or the alert of the same cause, that stops its notifications."),
    ]
    muted_why: Annotated[str, Meta(description="silence, incident, cause or empty.")]


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
    page = found[: query.limit]
    following = cursor.encode(page[-1].id) if len(found) > len(page) else None
    return AlertList([convert(alert, AlertEntry, from_attributes=True) for alert in page], following)


def get_alert(call: Call, alert_id: AlertId) -> AlertDetail:
    """Return one alert, with the meaning of its codes and the slice in which failures are concentrated."""
    return _detail(_find_alert(call, alert_id))


def acknowledge_alert(call: Call, alert_id: AlertId) -> AlertDetail:
    """Acknowledge an alert: no more reminders.

    `acknowledged_by` is the name of the key; a second call does not change it. A resolved alert returns 409.
    """
    _find_alert(call, alert_id)
    alert = alert_actions.acknowledge(call.connection, alert_id, actor=call.key.name, now=call.now)
    if alert is None:
        raise _already_resolved(alert_id)
    return _detail(alert)


def snooze_alert(call: Call, alert_id: AlertId, body: SnoozeBody) -> AlertDetail:
    """Stop an alert's reminders for some minutes, at most a week. A resolved alert returns 409."""
    _find_alert(call, alert_id)
    until = call.now + timedelta(minutes=body.minutes)
    alert = alert_actions.snooze(call.connection, alert_id, until=until, actor=call.key.name, now=call.now)
    if alert is None:
        raise _already_resolved(alert_id)
    return _detail(alert)


def _find_alert(call: Call, alert_id: int) -> alerts.Alert:
    alert = alerts.get_alert(call.connection, alert_id)
    if alert is None:
        raise ApiError(
            404, "not_found", f"There is no alert {alert_id}. Alerts that never fired are deleted."
        )
    return alert


def _already_resolved(alert_id: int) -> ApiError:
    return ApiError(409, "resolved", f"Alert {alert_id} is resolved.")


def _detail(alert: alerts.Alert) -> AlertDetail:
    fields = {name: getattr(alert, name) for name in AlertEntry.__struct_fields__}
    return AlertDetail(**fields, meanings=[explain(code) for code in alert.codes])


ENDPOINTS = (
    Endpoint("GET", "/v1/alerts", list_alerts, "viewer"),
    Endpoint("GET", "/v1/alerts/{alert_id}", get_alert, "sender"),
    Endpoint("POST", "/v1/alerts/{alert_id}/acknowledge", acknowledge_alert, "admin", (409,)),
    Endpoint("POST", "/v1/alerts/{alert_id}/snooze", snooze_alert, "admin", (409,)),
)
