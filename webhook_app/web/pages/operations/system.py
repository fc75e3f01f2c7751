"""/system: the state of the service itself: books, jobs, outbox, disk usage, settings and audit."""

from datetime import timedelta

from flask import Response, make_response, redirect
from msgspec import Struct
from werkzeug.exceptions import NotFound

from webhook_app.settings import SHOWN, Settings
from webhook_app.store.incidents import notification_log, outbox
from webhook_app.store.operations import audit, disk_usage, scheduler_state, sessions
from webhook_app.store.receiving import books, quarantine
from webhook_app.web.api import cursor
from webhook_app.web.pages.page import Page, PageRequest, redirect_with_message, render

_DAYS = 14
_PAGE = 50
_LATE = timedelta(minutes=1)
STATES = {"waiting": "Waiting", "failed": "Failed", "sent": "Sent", "superseded": "Superseded"}


class SettingRow(Struct, frozen=True):
    """A setting by its variable. `value` is empty if it is not set, and masked if it may be, or contain, a secret."""

    name: str
    value: str
    is_masked: bool


def system_page(request: PageRequest) -> Response:
    """The system page."""
    jobs = scheduler_state.job_states(request.connection)
    latest = max(jobs, key=lambda job: job.started_at, default=None)
    days = books.by_day(request.connection, _DAYS)  # before the totals, so that those are never behind
    return render(
        request,
        "system.html",
        totals=books.totals(request.connection),
        days=days,
        quarantined=quarantine.count_open(request.connection),
        jobs=jobs,
        latest=latest,
        is_late=latest is not None and request.now - latest.started_at > _LATE,
        backlog=outbox.backlog(request.connection),
        failed=notification_log.entries(request.connection, state="failed", limit=5),
        tables=disk_usage.table_sizes(request.connection),
        settings=shown_settings(request.settings),
        did=audit.list_page(request.connection, 8),
        signed_in=sessions.count(request.connection, request.now),
    )


def end_all_sessions(request: PageRequest) -> Response:
    """Sign out every browser, this one too."""
    sessions.end_all(request.connection)
    return make_response(redirect("/login", code=303))


def outbox_page(request: PageRequest) -> Response:
    """Notifications, the latest first."""
    state = request.args.get("state", "")
    state = state if state in STATES else ""
    found = notification_log.entries(
        request.connection, state=state or None, before_id=request.before, limit=_PAGE + 1
    )
    page, following = cursor.cut(found, _PAGE, lambda entry: entry.id)
    return render(request, "outbox.html", entries=page, state=state, states=STATES, following=following)


def retry_notification(request: PageRequest, notification_id: int) -> Response:
    """Send a failed notification again."""
    entry = notification_log.entry(request.connection, notification_id)
    if entry is None:
        raise NotFound(f"There is no notification {notification_id}.")
    if notification_log.retry(request.connection, notification_id, request.now):
        return redirect_with_message(
            request, "/system/outbox", f"Notification {notification_id} will be sent again now."
        )
    words = f"Notification {notification_id} is {entry.state}: only failed notifications can be sent again."
    return redirect_with_message(request, "/system/outbox", words, is_good=False)


def audit_page(request: PageRequest) -> Response:
    """The audit, the latest first."""
    actor = request.args.get("actor", "").strip().replace("\0", "")
    found = audit.list_page(request.connection, _PAGE + 1, request.before, actor)
    page, following = cursor.cut(found, _PAGE, lambda entry: entry.id)
    return render(request, "audit.html", entries=page, actor=actor, following=following)


def shown_settings(settings: Settings) -> list[SettingRow]:
    """All settings by name. A setting that is not in SHOWN is masked."""
    return [_shown(name, getattr(settings, name)) for name in sorted(type(settings).model_fields)]


def _shown(name: str, value: object) -> SettingRow:
    if name not in SHOWN:
        return SettingRow(name.upper(), "set" if value else "", is_masked=bool(value))
    words = ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
    return SettingRow(name.upper(), words, is_masked=False)


PAGES = (
    Page("GET", "/system", system_page),
    Page("POST", "/system/sessions/end", end_all_sessions),
    Page("GET", "/system/outbox", outbox_page),
    Page("POST", "/system/outbox/<int:notification_id>/retry", retry_notification),
    Page("GET", "/system/audit", audit_page),
)
