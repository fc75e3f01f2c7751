"""Takes back what was suppressed because of one incident, when people know better than the rules.

Works in the caller's transaction; the run of pipeline/suppress waits meanwhile, and does not do it again.
"""

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, text

from webhook_app.pipeline import streaks
from webhook_app.pipeline.explanations import Explanations
from webhook_app.rules.suppression import Thresholds
from webhook_app.store import alerts, incidents, strikes, suppressions
from webhook_app.store.engine import SUPPRESS_LOCK

_AT_ONCE = 1_000


class Undone(Struct):
    """What came of it."""

    excused: int = 0
    lifted: int = 0
    changed: int = 0


def undo_alert(
    connection: Connection, alert_id: int, thresholds: Thresholds, *, actor: str, now: datetime, batch: str
) -> Undone | None:
    """Never count the failures of this incident, and judge everybody anew who had one. None: no such incident."""
    alert = alerts.get_alert(connection, alert_id)
    if alert is None or alert.kind not in incidents.ABOUT_FAILURES:
        return None
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SUPPRESS_LOCK})
    excused, people = strikes.excuse_considered(connection, incidents.of_alert(alert))
    done = Undone(excused=excused)
    explanations = Explanations((), now)
    explanations.refresh(connection)
    ordered = sorted(people)
    for place in range(0, len(ordered), _AT_ONCE):
        some = set(ordered[place : place + _AT_ONCE])
        verdict = streaks.judge(connection, some, explanations, thresholds)
        removals = [replace(removal, actor=actor) for removal in verdict.removals]
        for change in suppressions.apply(connection, verdict.wanted, removals, now, batch=batch):
            done.lifted += change.action == "lift"
            done.changed += change.action != "lift"
    return done
