"""Reports that name another recipient of a message than Meta does: they describe nothing of the message.

A report without a contact contradicts nobody, nor does one of a number where Meta names a user id without a known one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from webhook_app.store.people.links import people
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.sends.reports import KnownSend

KnownSends = Mapping[tuple[str, str], KnownSend]
"""What was reported about messages, by message and business number ('': the report named none)."""


def without_contradictions(
    connection: DriverConnection, known_sends: KnownSends, named: Iterable[tuple[str, tuple[str, ...]]]
) -> KnownSends:
    """Return what was reported, without template, campaign and category of messages that Meta sent to somebody else.

    `named`: message id and keys of its recipient as Meta's webhooks name them: the contact, then others or ''. Reads
    the database only for a contact that is not the reported one.
    """
    reported: dict[str, set[str]] = defaultdict(set)
    for (message_id, _), known in known_sends.items():
        if known.contact:
            reported[message_id].add(known.contact)
    other = {
        (message_id, given, keys)
        for message_id, keys in named
        if message_id in reported and keys[0]
        for given in reported[message_id]
        if given not in keys
    }
    if not other:
        return known_sends
    linked = people(connection, sorted({keys[0] for _, _, keys in other}))
    contradicted = {
        message_id
        for message_id, given, keys in other
        if _is_somebody_else(given, {*filter(None, keys), *linked.get(keys[0], ())})
    }
    return {
        key: known._replace(template="", campaign="", category="") if key[0] in contradicted else known
        for key, known in known_sends.items()
    }


def _is_somebody_else(given: str, person: set[str]) -> bool:
    """Whether the reported key is somebody else's: keys of its kind are known of the person, and it is none of them."""
    return given not in person and any((key >= "A") == (given >= "A") for key in person)
