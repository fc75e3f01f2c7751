"""Which keys anything is stored about, so that a numbering plan never hides what Meta sent. Reads only."""

from collections.abc import Iterable

from sqlalchemy import text

from webhook_app.store.people.erased_opt_outs import MARK
from webhook_app.store.postgres.engine import Connection

_COLUMNS = (
    "suppressions.contact",
    "service_windows.contact",
    "contact_links.contact",
    "preferences.contact",
    "handovers.contact",
    "opt_ins.contact",
    "number_changes.old_contact",
    "number_changes.new_contact",
    "inbound_messages.contact",
    "failures.contact",
    "status_events.contact",
    "settled_messages.contact",
    "sends.contact",
)
_STORED = text(
    "SELECT k.key FROM unnest(CAST(:keys AS text[])) AS k(key) WHERE "
    + " OR ".join(
        f"EXISTS (SELECT FROM {column.split('.')[0]} WHERE {column} = k.key)" for column in _COLUMNS
    )
    + " OR EXISTS (SELECT FROM erased_opt_outs_secret s JOIN erased_opt_outs w"
    + f" ON w.mark = {MARK.format(key='k.key')})"
)


def stored_keys(connection: Connection, keys: Iterable[str]) -> set[str]:
    """The keys among these that anything is stored about. Slow for thousands: ask about odd keys only."""
    return set(connection.execute(_STORED, {"keys": sorted(keys)}).scalars())
