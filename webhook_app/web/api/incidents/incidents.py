"""/v1/incidents: what is wrong, for whom and since when; its failures, and the actions on it."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import uuid4

from msgspec import Meta, Struct, convert

from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.incidents.details.examination import counted
from webhook_app.pipeline.incidents.details.incident_details import stored
from webhook_app.pipeline.suppressions.undo import undo_incident
from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incident_history import undo_batch_name
from webhook_app.store.incidents.incidents import Incident
from webhook_app.web.api import cursor
from webhook_app.web.api.counts.failure_export import CSV, NDJSON, FailureExportQuery, export_failures
from webhook_app.web.api.counts.failures import (
    FailureCursor,
    FailureList,
    FailuresQuery,
    list_failures,
)
from webhook_app.web.api.endpoints import Call, Endpoint, Stream
from webhook_app.web.api.values import Cursor, Limit, NextCursor, Time
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain

IncidentId = Annotated[int, Meta(description="The incident's number.")]
Severity = Literal["info", "warning", "error", "critical"]
AlertState = Literal["pending", "firing", "resolved"]
EndedHow = Annotated[
    Literal["", "recovered", "quiet", "faded", "chronic", "rules", "split"],
    Meta(
        description="quiet: no messages any more; faded: no failure for 24 hours; chronic: it lasted seven days; rules:"
        " no rule covers it any more; split: webhooks or other API keys show it too, so it goes on as another incident."
        " Empty while it is open."
    ),
]
_State = Literal["open", "ended"]


class IncidentsQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    state: _State | None = None
    severity: Severity | None = None
    since: (
        Annotated[Time, Meta(description="Only incidents that are open, or ended at or after this time.")]
        | None
    ) = None
    limit: Limit = 100
    cursor: Cursor | None = None


class IncidentFailuresQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    limit: Limit = 100
    cursor: FailureCursor | None = None
    format: Annotated[
        Literal["json", "csv", "ndjson"],
        Meta(description="csv and ndjson: all failures as a file, without pages, as in /v1/failures/export."),
    ] = "json"


class SnoozeBody(Struct, forbid_unknown_fields=True):
    """The duration of the snooze."""

    minutes: Annotated[int, Meta(ge=1, le=7 * 24 * 60)]


class IncidentAlert(Struct, kw_only=True):
    """One alert of the incident. The figures are those of its last evaluation."""

    id: int
    rule: str
    kind: str
    state: AlertState
    severity: str
    group: dict[str, str | int]
    codes: list[int]
    attempts: int
    failures: int
    rate: float
    fired_at: Time | None
    resolved_at: Time | None
    ended_how: EndedHow


class IncidentEntry(Struct, kw_only=True):
    """One incident. `failures` and `contacts` are counted from its start to its end, or to this answer.

    `attempts`, `window_failures`, `rate`, `low` and `high` are those of its leading alert at the last evaluation; they
    are 0 for incidents that do not count messages. Rates are between 0 and 1. Code -1 stands for failures without a
    code.
    """

    id: int
    title: str
    kind: Annotated[
        str, Meta(description="The kind of the rule that opened it: rate, attention, health and so on.")
    ]
    severity: str
    state: _State
    codes: Annotated[list[int], Meta(description="Most failures first.")]
    slice: Annotated[
        dict[str, list[str]] | None,
        Meta(
            description="Where failures are concentrated: values by dimension. null: they are spread evenly."
        ),
    ]
    attempts: int
    window_failures: int
    window_minutes: int
    threshold: float
    failures: int
    contacts: int
    reported: Annotated[
        int, Meta(description="Failed messages that only senders report, besides those that webhooks show.")
    ]
    counted_at: Annotated[Time | None, Meta(description="When `failures` and `contacts` were counted.")]
    rate: float
    low: float
    high: float
    worst: Annotated[float, Meta(description="The highest rate so far.")]
    worst_at: Time | None
    advice: str
    began_at: Annotated[Time, Meta(description="The first failure.")]
    opened_at: Annotated[
        Time, Meta(description="When its first alert fired; after `again`, when it opened again.")
    ]
    told_at: Annotated[Time | None, Meta(description="The first notification.")]
    again: Annotated[int, Meta(description="How often it opened again after its end.")]
    ended_at: Time | None
    ended_how: EndedHow
    acknowledged_at: Time | None
    acknowledged_by: str
    snoozed_until: Time | None
    snoozed_by: str
    silenced_by: Annotated[int | None, Meta(description="The silence that covers all of its firing alerts.")]
    finding_id: Annotated[
        int | None, Meta(description="The finding it belongs to; it is not announced then.")
    ]
    alerts: list[IncidentAlert]


class IncidentDetail(IncidentEntry, kw_only=True):
    """One incident with whom it affects and the meaning of its codes."""

    failures_by_code: dict[int, int]
    numbers: Annotated[
        list[str], Meta(description="Business numbers with failures, most failures first; at most 100.")
    ]
    more_numbers: Annotated[int, Meta(description="How many there are beyond `numbers`.")]
    templates: Annotated[list[str], Meta(description="As `numbers`.")]
    more_templates: int
    samples: Annotated[list[str], Meta(description="Ids of the latest failed messages.")]
    suspected_outage: bool
    meanings: list[ErrorCode]


class IncidentList(Struct):
    """Incidents, the newest first."""

    incidents: list[IncidentEntry]
    next_cursor: NextCursor


class SuppressionsUndone(Struct, kw_only=True):
    """The number of failures excused, and of suppressions lifted or changed as a result."""

    incident_id: int
    batch: str
    excused_failures: int
    lifted: int
    changed: int


def list_incidents(call: Call, query: IncidentsQuery) -> IncidentList:
    """List incidents, the newest first."""
    found = incidents.list_incidents(
        call.connection,
        query.limit + 1,
        state=query.state,
        severity=query.severity,
        since=query.since,
        before_id=cursor.decode_id(query.cursor),
    )
    page, following = cursor.cut(found, query.limit, lambda incident: incident.id)
    members: dict[int | None, list[Alert]] = {incident.id: [] for incident in page}
    for alert in alerts.of_incidents(call.connection, [incident.id for incident in page]):
        members[alert.incident_id].append(alert)
    listed = [_counted(call, incident, members[incident.id]) for incident in page]
    return IncidentList(
        [IncidentEntry(**_fields(incident, members[incident.id])) for incident in listed], following
    )


def get_incident(call: Call, incident_id: IncidentId) -> IncidentDetail:
    """Return one incident, with the meaning of its codes and whom it affects."""
    return _detail(call, _find_incident(call, incident_id))


def list_incident_failures(
    call: Call, incident_id: IncidentId, query: IncidentFailuresQuery
) -> FailureList | Stream:
    """List all failures that the incident holds, from its start to its end, the newest first, as /v1/failures does.

    It holds failures with one of its codes in the groups of its alerts.
    """
    _find_incident(call, incident_id)
    if query.format == "json":
        asked = FailuresQuery(incident_id=incident_id, limit=query.limit, cursor=query.cursor)
        return list_failures(call, asked)
    return export_failures(call, FailureExportQuery(incident_id=incident_id, format=query.format))


def acknowledge_incident(call: Call, incident_id: IncidentId) -> IncidentDetail:
    """Acknowledge an incident: no more reminders.

    `acknowledged_by` is the name of the key; a second call does not change it. An ended incident returns 409.
    """
    _find_incident(call, incident_id)
    incident = actions.acknowledge(call.connection, incident_id, actor=call.key.name, now=call.now)
    return _detail(call, _still_open(incident, incident_id))


def snooze_incident(call: Call, incident_id: IncidentId, body: SnoozeBody) -> IncidentDetail:
    """Stop an incident's reminders for some minutes, at most a week. An ended incident returns 409."""
    _find_incident(call, incident_id)
    until = call.now + timedelta(minutes=body.minutes)
    incident = actions.snooze(call.connection, incident_id, until=until, actor=call.key.name, now=call.now)
    return _detail(call, _still_open(incident, incident_id))


def undo_incident_suppressions(call: Call, incident_id: IncidentId) -> SuppressionsUndone:
    """Lift every automatic suppression based on failures of this incident; those failures never count again.

    Needed when an incident lasts longer than it explains failures by itself (see docs/suppression.md). Confirmed
    suppressions and opt-outs stay. An incident whose alerts explain no failures returns 409.
    """
    _find_incident(call, incident_id)
    batch = undo_batch_name(incident_id, uuid4().hex)
    done = undo_incident(
        call.connection, incident_id, call.thresholds, actor=call.key.name, now=call.now, batch=batch
    )
    if done is None:
        raise ApiError(409, "nothing_to_undo", f"No alert of incident {incident_id} explains failures.")
    return SuppressionsUndone(
        incident_id=incident_id,
        batch=batch,
        excused_failures=done.excused,
        lifted=done.lifted,
        changed=done.changed,
    )


def _find_incident(call: Call, incident_id: int) -> Incident:
    """Return the incident with this id. Raises ApiError 404."""
    incident = incidents.get(call.connection, incident_id)
    if incident is None:
        raise ApiError(
            404, "not_found", f"There is no incident {incident_id}, or it is older than the retention period."
        )
    return incident


def _still_open(incident: Incident | None, incident_id: int) -> Incident:
    if incident is None:
        raise ApiError(409, "ended", f"Incident {incident_id} has ended.")
    return incident


def _detail(call: Call, incident: Incident) -> IncidentDetail:
    members = alerts.of_incidents(call.connection, [incident.id])
    incident = _counted(call, incident, members)
    details = stored(incident)
    return IncidentDetail(
        **_fields(incident, members),
        failures_by_code={int(code): count for code, count in details.codes.items()},
        numbers=list(details.numbers),
        more_numbers=details.more_numbers,
        templates=list(details.templates),
        more_templates=details.more_templates,
        samples=list(details.samples),
        suspected_outage=details.suspected_outage,
        meanings=[explain(code) for code in incident.codes],
    )


def _counted(call: Call, incident: Incident, members: list[Alert]) -> Incident:
    """An open incident with its current counts; the stored ones are those of its last notification."""
    if not incident.is_open:
        return incident
    return call.slow.get(
        ("incident", incident.id), lambda: counted(call.connection, incident, members, call.now)
    )


def _fields(incident: Incident, members: Iterable[Alert]) -> dict[str, Any]:
    named = {
        "window_failures": incident.failures,
        "failures": incident.total_failures,
        "reported": stored(incident).reported,
        "worst": incident.worst_rate,
        "told_at": incident.notified_at,
        "alerts": [convert(alert, IncidentAlert, from_attributes=True) for alert in members],
    }
    return {name: getattr(incident, name, None) for name in IncidentEntry.__struct_fields__} | named


ENDPOINTS = (
    Endpoint("GET", "/v1/incidents", list_incidents, "viewer"),
    Endpoint("GET", "/v1/incidents/{incident_id}", get_incident, "sender"),
    Endpoint(
        "GET", "/v1/incidents/{incident_id}/failures", list_incident_failures, "viewer", streams=(CSV, NDJSON)
    ),
    Endpoint("POST", "/v1/incidents/{incident_id}/acknowledge", acknowledge_incident, "admin", (409,)),
    Endpoint("POST", "/v1/incidents/{incident_id}/snooze", snooze_incident, "admin", (409,)),
    Endpoint(
        "POST", "/v1/incidents/{incident_id}/undo-suppressions", undo_incident_suppressions, "admin", (409,)
    ),
)
