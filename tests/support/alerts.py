"""Alerts for tests, as evaluation would have stored them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from webhook_app.store.incidents import alerts

GROUP: dict[str, str | int] = {"code": 131026, "phone_number_id": "590238114470021"}


def make_alert(now: datetime, **more: Any) -> alerts.Alert:
    """Return a pending alert of a rate rule; `more` replaces fields."""
    values = {
        "rule": "r",
        "kind": "rate",
        "severity": "warning",
        "state": "pending",
        "group": GROUP,
        "codes": [131026],
    }
    times = {"covers_from": now, "started_at": now, "evaluated_at": now}
    return alerts.Alert(**(values | times | more))


def store_alert(engine: Engine, now: datetime, **more: Any) -> int:
    """Store an alert as `make_alert` returns it, and return its id."""
    with engine.begin() as connection:
        alert_id = alerts.insert_new(connection, make_alert(now, **more))
    assert alert_id is not None
    return alert_id
