"""Restores exported suppressions as they were, with evidence, times and actor."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.suppressions import Key, Suppression, apply, lock_changes, of_contacts


def restore_many(
    connection: Connection,
    rows: Sequence[Suppression],
    now: datetime,
    *,
    batch: str,
    actor: str,
    dry_run: bool = False,
) -> list[Literal["added", "changed", "unchanged"]]:
    """Store exported rows; returns each outcome in order, or with `dry_run` what it would be.

    The history names `actor`. A row that somebody has confirmed since stays as it is.
    """
    if not dry_run and rows:
        lock_changes(connection)
    known = {row.key: row for row in of_contacts(connection, [row.contact for row in rows])}
    outcomes: list[Literal["added", "changed", "unchanged"]] = []
    changed: dict[Key, Suppression] = {}
    for row in rows:
        before = known.get(row.key)
        if before == row or (before is not None and row.review and not before.review):
            outcomes.append("unchanged")
            continue
        outcomes.append("added" if before is None else "changed")
        known[row.key] = changed[row.key] = row
    if not dry_run:
        apply(connection, list(changed.values()), [], now, batch=batch, restoring=True, actor=actor)
    return outcomes
