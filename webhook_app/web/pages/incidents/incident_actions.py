"""Actions on one incident: acknowledge, snooze, undo the suppressions of its failures."""

from datetime import datetime, timedelta
from uuid import uuid4

from flask import Response
from werkzeug.exceptions import BadRequest, Forbidden, NotFound

from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.suppressions.undo import IncidentUndo, undo_incident
from webhook_app.store.incidents.incident_history import undo_batch_name
from webhook_app.web.pages.incidents.incidents import known_incident, read_incident
from webhook_app.web.pages.page import Page, PageRequest, redirect_with_message, render
from webhook_app.web.pages.wording import moment, number

MORNING_HOUR = 8
"""When "until tomorrow" ends, UTC."""

_SPANS = {"1h": timedelta(hours=1), "8h": timedelta(hours=8)}


def ask_undo_of_incident(request: PageRequest, incident_id: int) -> Response:
    """Ask for confirmation. The numbers come from undoing and rolling back."""
    if not request.session.is_admin:
        raise Forbidden("Undoing suppressions needs an admin key.")
    with request.connection.begin_nested() as rehearsal:
        planned = _undo(request, incident_id)
        rehearsal.rollback()
    return render(request, "incident_undo.html", shown=read_incident(request, incident_id), planned=planned)


def undo_incident_suppressions(request: PageRequest, incident_id: int) -> Response:
    """Undo the suppressions that rest on the incident's failures."""
    done = _undo(request, incident_id)
    words = f"Undone: {_people(done)}. {number(done.excused)} failures never count again."
    return redirect_with_message(request, f"/incidents/{incident_id}", words)


def acknowledge_incident(request: PageRequest, incident_id: int) -> Response:
    """Acknowledge: no more reminders."""
    known_incident(request, incident_id)
    page = f"/incidents/{incident_id}"
    if actions.acknowledge(request.connection, incident_id, actor=request.actor, now=request.now) is None:
        return redirect_with_message(request, page, "Already ended: nothing to acknowledge.", is_good=False)
    return redirect_with_message(request, page, "Acknowledged: no more reminders are sent.")


def snooze_incident(request: PageRequest, incident_id: int) -> Response:
    """Pause reminders for the time on the button."""
    known_incident(request, incident_id)
    page = f"/incidents/{incident_id}"
    until = snoozed_until(request.form.get("for", "1h"), request.now)
    if until is None:
        raise BadRequest("Snooze for 1 h, 8 h or until tomorrow.")
    snoozed = actions.snooze(
        request.connection, incident_id, until=until, actor=request.actor, now=request.now
    )
    if snoozed is None:
        return redirect_with_message(request, page, "Already ended: nothing to snooze.", is_good=False)
    return redirect_with_message(request, page, f"Snoozed: no reminders until {moment(until)}.")


def snoozed_until(span: str, now: datetime) -> datetime | None:
    """When the snooze of this button ends; None for an unknown button."""
    if span == "tomorrow":
        return (now + timedelta(days=1)).replace(hour=MORNING_HOUR, minute=0, second=0, microsecond=0)
    return now + _SPANS[span] if span in _SPANS else None


def _undo(request: PageRequest, incident_id: int) -> IncidentUndo:
    known_incident(request, incident_id)
    batch = undo_batch_name(incident_id, uuid4().hex)
    done = undo_incident(
        request.connection,
        incident_id,
        request.call.thresholds,
        actor=request.actor,
        now=request.now,
        batch=batch,
    )
    if done is None:
        raise NotFound(f"No alert of incident {incident_id} explains failures: no suppressions rest on it.")
    return done


def _people(done: IncidentUndo) -> str:
    lifted = f"{number(done.lifted)} suppression{'' if done.lifted == 1 else 's'} lifted"
    return f"{lifted}, {number(done.changed)} changed" if done.changed else lifted


PAGES = (
    Page("POST", "/incidents/<int:incident_id>/acknowledge", acknowledge_incident),
    Page("POST", "/incidents/<int:incident_id>/snooze", snooze_incident),
    Page("GET", "/incidents/<int:incident_id>/undo", ask_undo_of_incident),
    Page("POST", "/incidents/<int:incident_id>/undo", undo_incident_suppressions),
)
