"""/system: is the service itself well? Books, jobs, outbox, room on the disk, settings, and who did what."""

from datetime import timedelta

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from webhook_app.store.incidents import notification_log, outbox
from webhook_app.store.operations import audit, disk_usage, scheduler_state
from webhook_app.store.receiving import books, quarantine
from webhook_app.web.api import cursor
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, render, said
from webhook_app.web.pages.operations.settings_list import shown_settings

_DAYS = 14
_PAGE = 50
_LATE = timedelta(minutes=1)
STATES = {"waiting": "Waiting", "failed": "Failed", "sent": "Sent", "superseded": "Overtaken"}


def add_system_pages(blueprint: Blueprint, desk: PageContext) -> None:
    """The page, the outbox and the audit."""
    settings = desk.room.settings

    def system_page(visit: PageRequest) -> Response:
        jobs = scheduler_state.job_states(visit.connection)
        latest = max(jobs, key=lambda job: job.started_at, default=None)
        days = books.by_day(visit.connection, _DAYS)  # before the totals: those may then only be further
        return render(
            visit,
            "system.html",
            totals=books.totals(visit.connection),
            days=days,
            quarantined=quarantine.count_open(visit.connection),
            jobs=jobs,
            latest=latest,
            is_late=latest is not None and visit.now - latest.started_at > _LATE,
            backlog=outbox.backlog(visit.connection),
            failed=notification_log.entries(visit.connection, state="failed", limit=5),
            tables=disk_usage.table_sizes(visit.connection),
            settings=shown_settings(settings),
            did=audit.list_page(visit.connection, 8),
        )

    def outbox_page(visit: PageRequest) -> Response:
        state = request.args.get("state", "")
        state = state if state in STATES else ""
        before = cursor.decode_id(request.args.get("cursor"))
        found = notification_log.entries(
            visit.connection, state=state or None, before_id=before, limit=_PAGE + 1
        )
        following = cursor.encode(found[_PAGE - 1].id) if len(found) > _PAGE else None
        return render(
            visit, "outbox.html", entries=found[:_PAGE], state=state, states=STATES, following=following
        )

    def retry_notification(visit: PageRequest, notification_id: int) -> Response:
        entry = notification_log.entry(visit.connection, notification_id)
        if entry is None:
            raise NotFound(f"There is no notification {notification_id}.")
        if notification_log.retry(visit.connection, notification_id, visit.now):
            return said(visit, "/system/outbox", f"Notification {notification_id} is tried again at once.")
        words = f"Notification {notification_id} is {entry.state}: only failed ones can be tried again."
        return said(visit, "/system/outbox", words, is_good=False)

    def audit_page(visit: PageRequest) -> Response:
        actor = request.args.get("actor", "").strip().replace("\0", "")
        found = audit.list_page(
            visit.connection, _PAGE + 1, cursor.decode_id(request.args.get("cursor")), actor
        )
        following = cursor.encode(found[_PAGE - 1].id) if len(found) > _PAGE else None
        return render(visit, "audit.html", entries=found[:_PAGE], actor=actor, following=following)

    add_page(blueprint, desk, "/system", system_page)
    add_page(blueprint, desk, "/system/outbox", outbox_page)
    add_page(blueprint, desk, "/system/outbox/<int:notification_id>/retry", retry_notification, method="POST")
    add_page(blueprint, desk, "/system/audit", audit_page)
