"""What an admin does about one alert: acknowledge, snooze, take back what was suppressed because of it."""

from datetime import datetime, timedelta
from uuid import uuid4

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, Forbidden, NotFound

from webhook_app.pipeline.incidents import alert_actions
from webhook_app.pipeline.suppressions import undo_alert
from webhook_app.pipeline.suppressions.undo_alert import AlertUndo
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, render, said
from webhook_app.web.pages.incidents.alert_view import view
from webhook_app.web.pages.incidents.alerts import known_alert
from webhook_app.web.pages.wording import moment, number

MORNING_HOUR = 8
"""When "until tomorrow" ends, UTC."""

_SPANS = {"1h": timedelta(hours=1), "8h": timedelta(hours=8)}


def add_alert_acts(blueprint: Blueprint, desk: PageContext) -> None:
    """The buttons of an alert's page, and the page that asks before it undoes anything."""

    def ask_undo_of_alert(visit: PageRequest, alert_id: int) -> Response:
        """How many it would be is found out by doing it, and rolling it back."""
        if not visit.session.is_admin:
            raise Forbidden("Undoing suppressions needs an admin key.")
        with visit.connection.begin_nested() as rehearsal:
            would = _undo(visit, desk, alert_id)
            rehearsal.rollback()
        shown = view(known_alert(visit, alert_id), desk.rules, visit.now)
        return render(visit, "alert_undo.html", shown=shown, would=would)

    def undo_alert_suppressions(visit: PageRequest, alert_id: int) -> Response:
        done = _undo(visit, desk, alert_id)
        words = f"Undone: {_people(done)}. {number(done.excused)} failures never count again."
        return said(visit, f"/alerts/{alert_id}", words)

    add_page(blueprint, desk, "/alerts/<int:alert_id>/acknowledge", acknowledge_alert, method="POST")
    add_page(blueprint, desk, "/alerts/<int:alert_id>/snooze", snooze_alert, method="POST")
    add_page(blueprint, desk, "/alerts/<int:alert_id>/undo", ask_undo_of_alert)
    add_page(blueprint, desk, "/alerts/<int:alert_id>/undo", undo_alert_suppressions, method="POST")


def acknowledge_alert(visit: PageRequest, alert_id: int) -> Response:
    """Somebody takes care of it."""
    known_alert(visit, alert_id)
    actor, page = visit.session.key.name, f"/alerts/{alert_id}"
    if alert_actions.acknowledge(visit.connection, alert_id, actor=actor, now=visit.now) is None:
        return said(visit, page, "It is over: there was nothing left to acknowledge.", is_good=False)
    return said(visit, page, "Acknowledged: it is in your hands, nobody is reminded any more.")


def snooze_alert(visit: PageRequest, alert_id: int) -> Response:
    """No reminders for as long as the button says."""
    known_alert(visit, alert_id)
    actor, page = visit.session.key.name, f"/alerts/{alert_id}"
    until = snoozed_until(request.form.get("for", "1h"), visit.now)
    if until is None:
        raise BadRequest("Snooze for 1 h, 8 h or until tomorrow.")
    if alert_actions.snooze(visit.connection, alert_id, until=until, actor=actor, now=visit.now) is None:
        return said(visit, page, "It is over: there was nothing left to snooze.", is_good=False)
    return said(visit, page, f"Snoozed: no reminders until {moment(until)}.")


def snoozed_until(span: str, now: datetime) -> datetime | None:
    """When the snooze ends that a button asks for; None for one we do not have."""
    if span == "tomorrow":
        return (now + timedelta(days=1)).replace(hour=MORNING_HOUR, minute=0, second=0, microsecond=0)
    return now + _SPANS[span] if span in _SPANS else None


def _undo(visit: PageRequest, desk: PageContext, alert_id: int) -> AlertUndo:
    known_alert(visit, alert_id)
    settings, actor = desk.room.settings, visit.session.key.name
    thresholds = Thresholds(strikes=settings.soft_failures, days=settings.soft_days)
    batch = f"alert:{alert_id}:{uuid4().hex}"
    done = undo_alert.undo_alert(
        visit.connection, alert_id, thresholds, actor=actor, now=visit.now, batch=batch
    )
    if done is None:
        raise NotFound(f"Alert {alert_id} explains no failures: nobody is suppressed because of it.")
    return done


def _people(done: AlertUndo) -> str:
    lifted = f"{number(done.lifted)} suppression{'' if done.lifted == 1 else 's'} lifted"
    return f"{lifted}, {number(done.changed)} changed" if done.changed else lifted
