"""Takes back what was suppressed because of one incident, when people know better than the rules.

Works in the caller's transaction; the run of pipeline/suppressions/suppress waits meanwhile, and does not do it again.
"""

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.pipeline.suppressions import streaks
from webhook_app.pipeline.suppressions.explanations import Explanations
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import alerts, explained_periods
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import contact_failures, suppressions

_AT_ONCE = 1_000


class AlertUndo(Struct):
    """What came of it."""

    excused: int = 0
    lifted: int = 0
    changed: int = 0


def undo_alert(
    connection: Connection, alert_id: int, thresholds: Thresholds, *, actor: str, now: datetime, batch: str
) -> AlertUndo | None:
    """Never count the failures of this incident, and judge everybody anew who had one. None: no such incident."""
    alert = alerts.get_alert(connection, alert_id)
    if alert is None or alert.kind not in explained_periods.ABOUT_FAILURES:
        return None
    locks.hold_until_commit(connection, locks.SUPPRESS_LOCK)
    excused, people = contact_failures.excuse_considered(connection, explained_periods.of_alert(alert))
    done = AlertUndo(excused=excused)
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
