"""Undoes changes of suppressions: removes added rows, and restores changed or ended ones.

A change is undone only if it is still the latest of its suppression. Entries of the audit are never removed: an undo is
a change of its own and can be undone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.changes import ENDED, SuppressionChange, at_seqs, before_many, of_batch
from webhook_app.store.suppressions.suppressions import (
    Key,
    Removal,
    Suppression,
    apply,
    lock_changes,
    of_contacts,
)

_SAME = (
    *("contact", "phone_number_id", "scope", "reason", "code", "until", "times", "evidence"),
    *("half_open_at", "seen_as", "review"),
)

UNDO = "undo:"
"""The prefix that turns the name of a batch into the name of the batch that undoes it."""


class UndoneChange(Struct, frozen=True):
    """The outcome for one suppression. changed_since: a later change was made, so it stays as it is."""

    key: Key
    seq: int
    outcome: Literal["lifted", "restored", "unchanged", "changed_since"]


def undo_batch(
    connection: Connection,
    batch: str,
    before: int | None,
    limit: int,
    *,
    actor: str,
    note: str,
    now: datetime,
) -> tuple[list[UndoneChange], int | None]:
    """Undo up to `limit` changes of the batch, newest first; also returns the `before` of the next call, or None."""
    lock_changes(connection)
    changes = of_batch(connection, batch, before, limit)
    done = _undo(connection, changes, UNDO + batch, actor, note, now)
    return done, changes[-1].seq if len(changes) == limit else None


def undo_changes(
    connection: Connection, seqs: Sequence[int], batch: str, *, actor: str, note: str, now: datetime
) -> list[UndoneChange]:
    """Undo these changes where they are still the latest."""
    lock_changes(connection)
    changes = sorted(at_seqs(connection, seqs), key=lambda change: -change.seq)
    return _undo(connection, changes, batch, actor, note, now)


def _undo(
    connection: Connection,
    changes: Sequence[SuppressionChange],
    batch: str,
    actor: str,
    note: str,
    now: datetime,
) -> list[UndoneChange]:
    by_key: dict[Key, list[SuppressionChange]] = {}
    for change in changes:
        by_key.setdefault(change.key, []).append(change)
    latest = before_many(connection, dict.fromkeys(by_key))
    earlier = before_many(connection, {key: found[-1].seq for key, found in by_key.items()})
    current = {row.key: row for row in of_contacts(connection, list({key[0] for key in by_key}))}
    done, wanted, removals = [], [], []
    for key, found in by_key.items():
        known, was = current.get(key), _row_after(earlier.get(key), actor, note)
        if latest[key].seq != found[0].seq and latest[key].batch != batch:
            outcome: Literal["lifted", "restored", "unchanged", "changed_since"] = "changed_since"
        elif was is not None and was != known:
            wanted.append(was)
            outcome = "restored"
        elif was is None and known is not None:
            removals.append(Removal(known, "lift", actor, note))
            outcome = "lifted"
        else:
            outcome = "unchanged"
        done.append(UndoneChange(key, found[0].seq, outcome))
    apply(connection, wanted, removals, now, batch=batch, restoring=True)
    return done


def _row_after(change: SuppressionChange | None, actor: str, note: str) -> Suppression | None:
    """The row after this change, with the actor of the undo; None if there was no row."""
    if change is None or change.action in ENDED:
        return None
    same = {name: getattr(change, name) for name in _SAME}
    return Suppression(**same, since=change.since or change.at, actor=actor, note=note)
