"""/v1/notifications: sent, waiting and failed notifications."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, convert

from webhook_app.store.incidents import notification_log
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Cursor, Limit, NextCursor, Time, Word
from webhook_app.web.errors import ApiError

State = Literal["waiting", "sent", "failed", "superseded"]

NotificationId = Annotated[int, Meta(description="The notification's number.")]


class NotificationsQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    state: State | None = None
    channel: Word | None = None
    incident_id: int | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class NotificationTryEntry(Struct):
    """One attempt. `outcome` is sent, retry or permanent; empty while it runs, or if the process was killed."""

    started_at: Time
    ended_at: Time | None
    outcome: str
    error: str


class NotificationEntry(Struct, kw_only=True):
    """One message about one incident on one channel.

    `superseded`: a newer notification made the reminder unnecessary. `rerouted_at`: when another channel took over.
    `latest_tries` are the last ten attempts, the newest first.
    """

    id: int
    incident_id: int
    channel: str
    reason: str
    state: State
    created_at: Time
    next_try_at: Time | None
    sent_at: Time | None
    failed_at: Time | None
    rerouted_at: Time | None
    tries: int
    last_error: str
    latest_tries: list[NotificationTryEntry]


class NotificationList(Struct):
    """Notifications, the newest first."""

    notifications: list[NotificationEntry]
    next_cursor: NextCursor


def list_notifications(call: Call, query: NotificationsQuery) -> NotificationList:
    """List sent, waiting and failed notifications, the newest first."""
    found = notification_log.entries(
        call.connection,
        state=query.state,
        channel=query.channel,
        incident_id=query.incident_id,
        before_id=cursor.decode_id(query.cursor),
        limit=query.limit + 1,
    )
    page, following = cursor.cut(found, query.limit, lambda entry: entry.id)
    return NotificationList([_entry(entry) for entry in page], following)


def retry_notification(call: Call, notification_id: NotificationId) -> NotificationEntry:
    """Retry a failed notification at once. One in any other state returns 409."""
    entry = notification_log.entry(call.connection, notification_id)
    if entry is None:
        raise ApiError(404, "not_found", f"There is no notification {notification_id}.")
    if not notification_log.retry(call.connection, notification_id, call.now):
        raise ApiError(409, "not_failed", f"Notification {notification_id} is {entry.state}, not failed.")
    entry = notification_log.entry(call.connection, notification_id)
    if entry is None:
        raise ApiError(404, "not_found", f"There is no notification {notification_id}.")
    return _entry(entry)


def _entry(entry: notification_log.NotificationLogEntry) -> NotificationEntry:
    return convert(entry, NotificationEntry, from_attributes=True)


ENDPOINTS = (
    Endpoint("GET", "/v1/notifications", list_notifications, "viewer"),
    Endpoint("POST", "/v1/notifications/{notification_id}/retry", retry_notification, "admin", (409,)),
)
