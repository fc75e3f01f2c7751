"""Finds the contact that a request names. Every stored key is found under its own digits.

A numbering plan may not know digits that Meta sent, or read them as another number. It never hides a stored key.
"""

from collections.abc import Sequence

from webhook_app.event_loop import paced
from webhook_app.store.people.stored_keys import stored_keys
from webhook_app.store.postgres.engine import Connection
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.people.contacts import Address, InvalidAddress, if_stored, parse_address


def find_address(connection: Connection, text: str, region: str = "") -> Address | InvalidAddress:
    """Return the contact that the text names, or why there is none."""
    return find_addresses(connection, [text], region)[0]


def find_addresses(
    connection: Connection, texts: Sequence[str], region: str = ""
) -> list[Address | InvalidAddress]:
    """Return the contact that each text names, with at most one query."""
    found = parse_addresses(texts, region)
    literals = {each.literal for each in found if each.literal}
    stored = stored_keys(connection, literals) if literals else set()
    return [if_stored(each, stored) for each in found]


def parse_addresses(texts: Sequence[str], region: str = "") -> list[Address | InvalidAddress]:
    """Parse contacts as people type them; other requests are answered in between."""
    return [parse_address(text, region) for text in paced(texts, every=50)]


def require_address(connection: Connection, text: str, region: str = "") -> Address:
    """Return the contact that the text names. Raises ApiError 400 with the reason if there is none."""
    address = find_address(connection, text, region)
    if isinstance(address, InvalidAddress):
        raise ApiError(400, "bad_contact", f"The contact is invalid: {address.reason}.")
    return address
