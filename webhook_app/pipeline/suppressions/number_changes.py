"""Moves suppressions to the new key of people who changed their number or user id. Reads, writes nothing.

Checks find a person under every key. The rows move for copies made from the change feed.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from webhook_app.store.people.contacts import main_keys
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.suppressions.changes import SYSTEM
from webhook_app.store.suppressions.suppressions import Removal, Suppression, of_contacts


def transfer_suppressions(
    connection: Connection, old_keys: Sequence[str]
) -> tuple[list[Suppression], list[Removal]]:
    """The suppressions under keys that these people left: as new rows under their main key, and as removals."""
    main = main_keys(connection, old_keys)
    rows = of_contacts(connection, list(main))
    known = {row.key for row in rows}
    wanted, removals = [], []
    for row in rows:
        if main[row.contact] == row.contact:
            continue
        transferred = replace(row, contact=main[row.contact], note=row.note or "moved along with the person")
        if transferred.key not in known:
            wanted.append(transferred)
            known.add(transferred.key)
        removals.append(Removal(row, "lift", SYSTEM, "the person goes on under another number or user id"))
    return wanted, removals
