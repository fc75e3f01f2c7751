"""/v1/alerts: incidents, open and over, and what people do about them."""

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
    kind: Annotated[Word, Meta(description="Of the rule: rate, spike, health and so on.")] | None = None
    rule: Annotated[Word, Meta(description="The rule's name.")] | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class SnoozeBody(Struct, forbid_unknown_fields=True):
    """For how long there are to be no reminders."""

    minutes: Annotated[int, Meta(ge=1, le=7 * 24 * 60)]


class AlertEntry(Struct, kw_only=True):
    """One incident of one rule and group. The figures are those of the last evaluation; shares between 0 and 1.

    Code -1 stands for failures that came without a code.
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
        Meta(description="The silence, or the alert on the same cause, because of which nobody is told."),
    ]
    muted_why: Annotated[str, Meta(description="silence, incident, cause, or empty.")]


class AlertDetail(AlertEntry, kw_only=True):
    """One incident with the meaning of its codes."""

    meanings: list[ErrorCode]


class AlertList(Struct):
    """Alerts, the newest first."""

    alerts: list[AlertEntry]
    next_cursor: NextCursor


def list_alerts(call: Call, query: AlertsQuery) -> AlertList:
    """Alerts, the newest first."""
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
    """One alert, with the meaning of its codes and the slice that carries the excess."""
    return _detail(_known(call, alert_id))


def acknowledge_alert(call: Call, alert_id: AlertId) -> AlertDetail:
    """Say that somebody takes care of it: no more reminders.

    The name is that of the key; the first one stays. An alert that is over answers 409.
    """
    _known(call, alert_id)
    alert = alert_actions.acknowledge(call.connection, alert_id, actor=call.key.name, now=call.now)
    if alert is None:
        raise _over(alert_id)
    return _detail(alert)


def snooze_alert(call: Call, alert_id: AlertId, body: SnoozeBody) -> AlertDetail:
    """No reminders for some minutes, at most a week. An alert that is over answers 409."""
    _known(call, alert_id)
    until = call.now + timedelta(minutes=body.minutes)
    alert = alert_actions.snooze(call.connection, alert_id, until=until, actor=call.key.name, now=call.now)
    if alert is None:
        raise _over(alert_id)
    return _detail(alert)


def _known(call: Call, alert_id: int) -> alerts.Alert:
    alert = alerts.get_alert(call.connection, alert_id)
    if alert is None:
        raise ApiError(404, "not_found", f"There is no alert {alert_id}; one that never fired is forgotten.")
    return alert


def _over(alert_id: int) -> ApiError:
    return ApiError(409, "resolved", f"Alert {alert_id} is over.")


def _detail(alert: alerts.Alert) -> AlertDetail:
    held = {name: getattr(alert, name) for name in AlertEntry.__struct_fields__}
    return AlertDetail(**held, meanings=[explain(code) for code in alert.codes])


ENDPOINTS = (
    Endpoint("GET", "/v1/alerts", list_alerts, "viewer"),
    Endpoint("GET", "/v1/alerts/{alert_id}", get_alert, "sender"),
    Endpoint("POST", "/v1/alerts/{alert_id}/acknowledge", acknowledge_alert, "admin", (409,)),
    Endpoint("POST", "/v1/alerts/{alert_id}/snooze", snooze_alert, "admin", (409,)),
)
