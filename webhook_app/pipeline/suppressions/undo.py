"""Undoes the suppressions that the failures of an incident, or the reports of an API key, led to.

Works in the caller's transaction; pipeline/suppressions/suppress waits meanwhile. The failures never count again.
"""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.pipeline.suppressions import streaks
from webhook_app.pipeline.suppressions.explanations import Explanations
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import alerts, explained_periods, incidents
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions import contact_failures, reported_failures, suppressions
from webhook_app.store.suppressions.changes import SuppressionChange

_BATCH = 1_000


class IncidentUndo(Struct):
    """How many failures were excused, and how many suppressions lifted or changed."""

    excused: int = 0
    lifted: int = 0
    changed: int = 0


def undo_incident(
    connection: Connection, incident_id: int, thresholds: Thresholds, *, actor: str, now: datetime, batch: str
) -> IncidentUndo | None:
    """Excuse the failures that the incident holds and decide anew about every contact that had one.

    None: there is no such incident, or none of its alerts explains failures.
    """
    incident = incidents.get(connection, incident_id)
    members = alerts.of_incidents(connection, [incident_id])
    periods = explained_periods.of_incident(incident, members) if incident is not None else []
    if not any(alert.kind in explained_periods.ABOUT_FAILURES for alert in members):
        return None
    locks.hold_until_commit(connection, locks.SUPPRESS_LOCK)
    done, people = IncidentUndo(), set[tuple[str, str]]()
    for period in periods:
        excused, contacts = contact_failures.undo(connection, period, now)
        done.excused += excused
        people |= contacts
    note = f"explained by incident {incident_id}"
    for change in _decide_anew(connection, people, thresholds, actor=actor, now=now, batch=batch, note=note):
        done.lifted += change.action == "lift"
        done.changed += change.action != "lift"
    return done


def undo_reports(
    connection: Connection,
    key: str,
    span: tuple[datetime, datetime],
    thresholds: Thresholds,
    *,
    actor: str,
    note: str,
    now: datetime,
    batch: str,
) -> list[SuppressionChange]:
    """Excuse the failures that this key reported in the span, and decide anew about their contacts."""
    locks.hold_until_commit(connection, locks.SUPPRESS_LOCK)
    people = reported_failures.excuse_reports(connection, key, *span, now)
    return list(_decide_anew(connection, people, thresholds, actor=actor, now=now, batch=batch, note=note))


def _decide_anew(
    connection: Connection,
    people: set[tuple[str, str]],
    thresholds: Thresholds,
    *,
    actor: str,
    now: datetime,
    batch: str,
    note: str = "",
) -> Iterator[SuppressionChange]:
    explanations = Explanations((), now)
    explanations.refresh(connection)
    ordered = sorted(people)
    for start in range(0, len(ordered), _BATCH):
        some = set(ordered[start : start + _BATCH])
        decided = streaks.decide_streaks(connection, some, explanations, thresholds)
        removals = [replace(each, actor=actor, note=note or each.note) for each in decided.removals]
        yield from suppressions.apply(connection, decided.wanted, removals, now, batch=batch)
