"""Records every change by page or API in the audit log before it is made. Bodies and texts are never stored.

A person is named by their key in a column of its own, from which erasing takes it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from webhook_app.store.operations import audit
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.store.operations.audit import AuditEntry
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.people.contacts import InvalidAddress, parse_address

DONE = "done"
REFUSED = "refused"


def record(
    connection: Connection,
    key: ApiKey,
    via: str,
    action: str,
    parts: Mapping[str, Any],
    now: datetime,
    outcome: str = "",
) -> int:
    """Note that the key's holder is about to do this. `parts` are those of the path and what names a contact."""
    entry = AuditEntry(
        at=now,
        actor=key.name,
        role=key.role,
        via=via,
        action=action.replace("_", " "),
        object=_object(parts),
        contact=_contact(str(parts.get("contact", ""))),
        outcome=outcome,
    )
    return audit.insert(connection, entry)


def _object(parts: Mapping[str, Any]) -> str:
    """The object by its number, such as alert 7. Texts are left out: even message ids contain phone numbers."""
    numbered = {name: value for name, value in parts.items() if isinstance(value, int)}
    return ", ".join(
        f"{name.removesuffix('_id').replace('_', ' ')} {value}" for name, value in numbered.items()
    )


def _contact(text: str) -> str:
    address = parse_address(text) if text else None
    if address is None:
        return ""
    return address.literal if isinstance(address, InvalidAddress) else address.key
