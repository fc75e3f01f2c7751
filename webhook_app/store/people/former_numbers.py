"""Numbers that a person left: whether somebody else uses them now decides what an erasure may take."""

from collections.abc import Iterable

from sqlalchemy import text

from webhook_app.rules.people.holders import KeyHolder, Span
from webhook_app.rules.suppressions.blocking import BY_PEOPLE
from webhook_app.store.people.contacts import holders
from webhook_app.store.people.erased_messages import FROM_WEBHOOK, OF_OTHERS
from webhook_app.store.postgres.engine import Connection

# What senders report, and what does not arrive, shows nobody: anybody can send to a number that its holder left.
_ARRIVED = "contact = :key AND occurred_at >= :since AND status IN ('delivered', 'read', 'played')"
_USED = text(f"""
SELECT EXISTS (SELECT FROM status_events WHERE {_ARRIVED})
    OR EXISTS (SELECT FROM settled_events WHERE {_ARRIVED})
    OR EXISTS (SELECT FROM inbound_messages WHERE contact = :key AND occurred_at >= :since)
    OR EXISTS (SELECT FROM preferences WHERE contact = :key AND occurred_at >= :since)
    OR EXISTS (SELECT FROM handovers WHERE contact = :key AND occurred_at >= :since)
    OR EXISTS (SELECT FROM suppressions WHERE contact = :key AND reason IN {BY_PEOPLE})
""")
_MESSAGES = text(f"""
SELECT message_id FROM status_events e WHERE contact = :key AND occurred_at >= :since AND occurred_at < :until
  AND participant = '' AND {FROM_WEBHOOK}
UNION SELECT message_id FROM settled_events WHERE contact = :key AND occurred_at >= :since AND occurred_at < :until
UNION SELECT message_id FROM failures WHERE contact = :key AND occurred_at >= :since AND occurred_at < :until
  AND participant = '' AND source <> 'send'
UNION SELECT message_id FROM failures r WHERE contact = :key AND occurred_at >= :since AND occurred_at < :until
  AND participant = '' AND source = 'send' AND NOT {OF_OTHERS}
UNION SELECT message_id FROM inbound_messages WHERE contact = :key AND occurred_at >= :since AND occurred_at < :until
UNION SELECT message_id FROM sends r WHERE contact = :key AND sent_at >= :since AND sent_at < :until
  AND NOT {OF_OTHERS}
""")
_TIMES = {
    "inbound_messages": "occurred_at",
    "preferences": "occurred_at",
    "opt_ins": "opted_in_at",
    "successes": "occurred_at",
    "service_windows": "opened_at",
    "handovers": "occurred_at",
}
_TAKEN = {
    table: f"DELETE FROM {table} WHERE contact = :key AND {at} >= :since AND {at} < :until"
    for table, at in _TIMES.items()
} | {
    "suppression_changes": """DELETE FROM suppression_changes WHERE contact = :key
      AND tstzrange(:since, :until) @> coalesce(
        (SELECT max(CAST(e->>'occurred_at' AS timestamptz)) FROM jsonb_array_elements(evidence) e), since)
      AND NOT EXISTS (SELECT FROM jsonb_array_elements(evidence) e WHERE e->>'contact' <> :key)""",
    "audit": "UPDATE audit SET contact = '' WHERE contact = :key AND at >= :since AND at < :until",
}


def keys_to_erase(connection: Connection, contact: str) -> tuple[tuple[str, ...], tuple[Span, ...]]:
    """The keys of the person that nobody else uses, and when they held numbers that somebody else uses now.

    A number that nobody uses since its holder left means the person who left it.
    """
    known = holders(connection, [contact])
    *before, person = known.everybody(contact)
    if before and len(person.spans) == 1 and not _is_used(connection, person.spans[0]):
        person = before[-1]
    keys, shared = dict.fromkeys((contact, *person.keys)), list[Span]()
    for span in person.spans:
        if span.key not in keys:
            if _used_since(connection, known.present(span.key), span):
                shared.append(span)
            else:
                keys[span.key] = None
    return tuple(keys), tuple(shared)


def earlier_holder_stays(connection: Connection, contact: str, keys: Iterable[str]) -> bool:
    """Whether somebody had this number before, left it, and has none of the keys that are erased."""
    *before, _ = holders(connection, [contact]).everybody(contact)
    return any(person.main and person.main not in keys for person in before)


def message_ids(connection: Connection, spans: Iterable[Span]) -> list[str]:
    """The ids of the messages to or from these numbers while the person held them."""
    return [
        message_id
        for span in spans
        for message_id in connection.execute(_MESSAGES, _values(span) | {"keys": [span.key]}).scalars()
    ]


def take_out(connection: Connection, spans: Iterable[Span]) -> dict[str, int]:
    """Erase all but messages from these numbers' time with the person. Returns the number of rows by table."""
    values = [_values(span) for span in spans]
    return {
        table: sum(connection.execute(text(statement), each).rowcount for each in values)
        for table, statement in _TAKEN.items()
    }


def _used_since(connection: Connection, present: KeyHolder, span: Span) -> bool:
    return present.keys != (span.key,) or _is_used(connection, Span(span.key, span.until, span.until))


def _is_used(connection: Connection, span: Span) -> bool:
    return bool(connection.execute(_USED, {"key": span.key, "since": span.since}).scalar_one())


def _values(span: Span) -> dict[str, object]:
    return {"key": span.key, "since": span.since, "until": span.until}
