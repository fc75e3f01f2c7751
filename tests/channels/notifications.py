"""One plain notification for the tests of every channel, to be varied by keyword."""

from datetime import UTC, datetime
from typing import Any

from webhook_app.channels.notification import AffectedPart, CodeFacts, Figures, Notification

SINCE = datetime(2026, 11, 20, 3, 14, 20, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 3, 39, 50, tzinfo=UTC)
NUMBER = "590238114470021"

UNDELIVERABLE = CodeFacts(
    code=131026,
    title="Message undeliverable",
    meaning="The person cannot be reached on WhatsApp.",
    failure_class="unreachable",
    action="Clean the list.",
    advice="Do not send it again. Clean the list.",
    mistaken_for="It does not mean blocked.",
    failures=40,
)
FIGURES = Figures(
    attempts=1040, failures=40, rate=40 / 1040, low=0.0284, high=0.0520, threshold=0.02, window_minutes=15
)
SLICE = AffectedPart(values={"template": ("order_update",), "country": ("BR",)}, failures=33, share=33 / 40)


def notification(**more: Any) -> Notification:
    """An incident that has just opened."""
    plain = {
        "incident_id": 12,
        "title": f"131026 Message undeliverable, business number {NUMBER}",
        "reason": "fired",
        "at": NOW,
        "rule": "failure-rate-per-code",
        "severity": "warning",
        "group": {"code": 131026, "phone_number_id": NUMBER},
        "codes": (UNDELIVERABLE,),
        "figures": FIGURES,
        "peak_rate": 0.08,
        "failures": 44,
        "contacts": 38,
        "numbers": (NUMBER,),
        "advice": "Do not send it again. Clean the list.",
        "since": SINCE,
        "opened_at": SINCE,
        "resolved_at": None,
        "slice": SLICE,
        "samples": ("wamid.A", "wamid.B"),
        "why": "Above the threshold.",
        "runbook": "https://wiki.example/131026",
        "link": "https://alerts.example/incidents/12",
    }
    return Notification(**(plain | more))
