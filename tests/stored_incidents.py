"""Incidents and alerts put straight into the tables, for tests that need no evaluation."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident

HOUR = timedelta(hours=1)


def store_alert(engine: Engine, now: datetime, **changed: Any) -> int:
    """Store an alert that has fired for an hour; returns its id."""
    plain: dict[str, Any] = {
        "rule": "r",
        "kind": "rate",
        "severity": "warning",
        "state": "firing",
        "group": {},
    }
    plain |= {
        "covers_from": now - HOUR,
        "started_at": now - HOUR,
        "fired_at": now - HOUR,
        "evaluated_at": now,
    }
    with engine.begin() as connection:
        alert_id = alerts.insert_new(connection, Alert(**(plain | {"codes": []} | changed)))
    assert alert_id is not None
    return alert_id


def store_incident(engine: Engine, now: datetime, *members: dict[str, Any], **changed: Any) -> int:
    """Store an incident that opened an hour ago, with these alerts; returns its id."""
    plain: dict[str, Any] = {
        "kind": "rate",
        "title": "What fails",
        "severity": "warning",
        "domain": "platform",
    }
    plain |= {"began_at": now - HOUR, "opened_at": now - HOUR, "evaluated_at": now}
    with engine.begin() as connection:
        incident_id = incidents.insert(connection, Incident(**(plain | changed)))
    for member in members:
        store_alert(engine, now, incident_id=incident_id, **member)
    return incident_id
