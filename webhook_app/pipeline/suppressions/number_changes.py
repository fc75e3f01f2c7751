"""Lets suppressions go with people who changed their number or user id. Writes nothing itself.

Checks find a person under every key; the row moves so that copies made from the change feed do too.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from webhook_app.store.people.contacts import main_keys
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.changes import SYSTEM
from webhook_app.store.suppressions.suppressions import Removal, Suppression, of_contacts


def judge(connection: Connection, left: Sequence[str]) -> tuple[list[Suppression], list[Removal]]:
    """What stands under keys that these people have left, and where it belongs now."""
    main = main_keys(connection, left)
    rows = of_contacts(connection, list(main))
    known = {row.key for row in rows}
    wanted, removals = [], []
    for row in rows:
        if main[row.contact] == row.contact:
            continue
        moved = replace(row, contact=main[row.contact], note=row.note or "moved along with the person")
        if moved.key not in known:
            wanted.append(moved)
            known.add(moved.key)
        removals.append(Removal(row, "lift", SYSTEM, "the person goes on under another number or user id"))
    return wanted, removals
