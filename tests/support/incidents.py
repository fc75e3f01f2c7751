"""Incidents for tests, as evaluation would have stored them."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from tests.support.alerts import store_alert
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
