"""Findings for tests, as the job stores them."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from webhook_app.rules.incidents.findings.finding import FoundState
from webhook_app.store.incidents import findings
from webhook_app.store.incidents.findings import Finding


def store_finding(engine: Engine, now: datetime, **more: Any) -> int:
    """Store a chronic finding that is open since a week, and return its id; `more` replaces fields."""
    plain: dict[str, Any] = {
        "kind": "chronic",
        "key": "n0",
        "title": "131026 Message undeliverable: fails every day, business number n0",
        "severity": "warning",
        "waba_id": "A",
        "codes": (131026,),
        "slice": {"phone_number_id": ["n0"]},
        "impact": {"failures": 84, "share": 0.04},
        "evidence": {"incident_id": 3, "threshold": 0.02},
        "advice": "Clean the list.",
        "since": now - timedelta(days=7),
    }
    with engine.begin() as connection:
        return findings.add(connection, FoundState(**(plain | more)), now, now)[0]


def opened(engine: Engine) -> list[Finding]:
    """The open findings, oldest first."""
    with engine.connect() as connection:
        return findings.open_findings(connection)
