"""Incidents for tests, as evaluation would have stored them."""

from datetime import datetime, timedelta
from typing import Any

from msgspec import convert
from sqlalchemy import Engine, text

from tests.support.alerts import store_alert
from webhook_app.channels.notification import Notification
from webhook_app.store.incidents import incidents
from webhook_app.store.incidents.incidents import Incident

HOUR = timedelta(hours=1)


def store_incident(engine: Engine, now: datetime, *members: dict[str, Any], **more: Any) -> int:
    """Store an incident that opened an hour ago and return its id. `members`: fields of its alerts, which fire."""
    plain: dict[str, Any] = {
        "kind": "rate",
        "title": "What fails",
        "severity": "warning",
        "domain": "platform",
    }
    plain |= {"began_at": now - HOUR, "opened_at": now - HOUR, "evaluated_at": now}
    with engine.begin() as connection:
        incident_id = incidents.insert(connection, Incident(**(plain | more)))
    for member in members:
        times = {"covers_from": now - HOUR, "started_at": now - HOUR, "fired_at": now - HOUR}
        firing = times | {"state": "firing", "evaluated_at": now, "incident_id": incident_id}
        store_alert(engine, now, **(firing | member))
    return incident_id


def sent(engine: Engine) -> list[Notification]:
    """All notifications, the first one first."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT payload FROM notifications ORDER BY id")).scalars()
        return [convert(row, Notification) for row in rows]


def known(engine: Engine) -> list[Incident]:
    """The incidents, the first one first."""
    with engine.connect() as connection:
        return incidents.list_incidents(connection, 100)[::-1]
