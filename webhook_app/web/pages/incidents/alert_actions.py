"""Actions on one alert: acknowledge, snooze, undo the suppressions of its failures."""

from datetime import datetime, timedelta
from uuid import uuid4

from flask import Response
from werkzeug.exceptions import BadRequest, Forbidden, NotFound

from webhook_app.pipeline.incidents import alert_actions
from webhook_app.pipeline.suppressions import undo
from webhook_app.pipeline.suppressions.undo import AlertUndo
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.web.pages.incidents.alert_view import view
from webhook_app.web.pages.incidents.alerts import known_alert
from webhook_app.web.pages.page import (
    Page,
    PageRequest,
    redirect_with_message,
    render,
)
from webhook_app.web.pages.wording import moment, number

MORNING_HOUR = 8
"""When "until tomorrow" ends, UTC."""

_SPANS = {"1h": timedelta(hours=1), "8h": timedelta(hours=8)}


def ask_undo_of_alert(request: PageRequest, alert_id: int) -> Response:
    """Ask for confirmation. The numbers come from undoing and rolling back."""
    if not request.session.is_admin:
        raise Forbidden("Undoing suppressions needs an admin key.")
    with request.connection.begin_nested() as rehearsal:
        planned = _undo(request, alert_id)
        rehearsal.rollback()
    shown = view(known_alert(request, alert_id), request.rules, request.now)
    return render(request, "alert_undo.html", shown=shown, planned=planned)


def undo_alert_suppressions(request: PageRequest, alert_id: int) -> Response:
    """Undo the suppressions that rest on the alert's failures."""
    done = _undo(request, alert_id)
    words = f"Undone: {_people(done)}. {number(done.excused)} failures never count again."
    return redirect_with_message(request, f"/alerts/{alert_id}", words)


def acknowledge_alert(request: PageRequest, alert_id: int) -> Response:
    """Acknowledge: no more reminders."""
    known_alert(request, alert_id)
    page = f"/alerts/{alert_id}"
    if alert_actions.acknowledge(request.connection, alert_id, actor=request.actor, now=request.now) is None:
        return redirect_with_message(
            request, page, "Already resolved: nothing to acknowledge.", is_good=False
        )
    return redirect_with_message(request, page, "Acknowledged: no more reminders are sent.")


def snooze_alert(request: PageRequest, alert_id: int) -> Response:
    """Pause reminders for the time on the button."""
    known_alert(request, alert_id)
    page = f"/alerts/{alert_id}"
    until = snoozed_until(request.form.get("for", "1h"), request.now)
    if until is None:
        raise BadRequest("Snooze for 1 h, 8 h or until tomorrow.")
    snoozed = alert_actions.snooze(
        request.connection, alert_id, until=until, actor=request.actor, now=request.now
    )
    if snoozed is None:
        return redirect_with_message(request, page, "Already resolved: nothing to snooze.", is_good=False)
    return redirect_with_message(request, page, f"Snoozed: no reminders until {moment(until)}.")


def snoozed_until(span: str, now: datetime) -> datetime | None:
    """When the snooze of this button ends; None for an unknown button."""
    if span == "tomorrow":
        return (now + timedelta(days=1)).replace(hour=MORNING_HOUR, minute=0, second=0, microsecond=0)
    return now + _SPANS[span] if span in _SPANS else None


def _undo(request: PageRequest, alert_id: int) -> AlertUndo:
    known_alert(request, alert_id)
    settings = request.settings
    thresholds = Thresholds(failures=settings.soft_failures, days=settings.soft_days)
    batch = f"alert:{alert_id}:{uuid4().hex}"
    done = undo.undo_alert(
        request.connection, alert_id, thresholds, actor=request.actor, now=request.now, batch=batch
    )
    if done is None:
        raise NotFound(f"Alert {alert_id} does not count failures: no suppressions rest on it.")
    return done


def _people(done: AlertUndo) -> str:
    lifted = f"{number(done.lifted)} suppression{'' if done.lifted == 1 else 's'} lifted"
    return f"{lifted}, {number(done.changed)} changed" if done.changed else lifted


PAGES = (
    Page("POST", "/alerts/<int:alert_id>/acknowledge", acknowledge_alert),
    Page("POST", "/alerts/<int:alert_id>/snooze", snooze_alert),
    Page("GET", "/alerts/<int:alert_id>/undo", ask_undo_of_alert),
    Page("POST", "/alerts/<int:alert_id>/undo", undo_alert_suppressions),
)
