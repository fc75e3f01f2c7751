"""The timeline of a person, newest first and a page at a time, over each key for the time it was the person's."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.people.holders import Span
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.partitions import planned_once

_WINDOW = timedelta(hours=24)
_LIFETIME = timedelta(days=40)  # Meta drops a message after 30 days


class TimelinePosition(NamedTuple):
    """The position of an entry in the order of the timeline, the newest last."""

    at: datetime
    what: str
    message_id: str
    phone_number_id: str
    code: int


class ContactEvent(Struct, frozen=True, kw_only=True):
    """One entry. `what`: a status, accepted, wrote, stop, start, or a preference or a handover in Meta's words."""

    at: datetime
    what: str
    message_id: str
    phone_number_id: str
    code: int
    contact: str
    template: str
    campaign: str
    note: str
    """A failure's title, the kind of an inbound message, or the role of a conversation's owner."""

    @property
    def place(self) -> TimelinePosition:
        return TimelinePosition(self.at, self.what, self.message_id, self.phone_number_id, self.code)


class MessageOutcome(Struct, frozen=True, kw_only=True):
    """The first time a message reached each stage."""

    message_id: str
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    failed_at: datetime | None


_STATUSES = """
SELECT t.occurred_at AS at, t.status AS what, t.message_id, t.phone_number_id, t.error_code AS code, t.contact,
       s.template, s.campaign, '' AS note
FROM status_events t JOIN series s ON s.id = t.series_id WHERE t.contact = k.contact AND t.status <> 'failed'
"""
_SETTLED = _STATUSES.replace("status_events", "settled_events")
# Failures are kept longer than their events.
_FAILURES = """
SELECT t.occurred_at AS at, 'failed' AS what, t.message_id, t.phone_number_id, t.error_code AS code, t.contact,
       s.template, s.campaign, t.title AS note
FROM failures t JOIN series s ON s.id = t.series_id WHERE t.contact = k.contact
"""
_INBOUND = """
SELECT t.occurred_at AS at, coalesce(nullif(t.keyword, ''), 'wrote') AS what, t.message_id, t.phone_number_id,
       -1::bigint AS code, t.contact, '' AS template, '' AS campaign, t.kind AS note
FROM inbound_messages t WHERE t.contact = k.contact
"""
_SENDS = """
SELECT t.sent_at AS at, 'accepted' AS what, t.message_id, t.phone_number_id, -1::bigint AS code, t.contact,
       t.template, t.campaign, '' AS note
FROM sends t WHERE t.contact = k.contact AND NOT t.failed
"""
_PREFERENCES = """
SELECT t.occurred_at AS at, t.value AS what, '' AS message_id, t.phone_number_id, -1::bigint AS code, t.contact,
       '' AS template, '' AS campaign, t.category AS note
FROM preferences t WHERE t.contact = k.contact
"""
_HANDOVERS = """
SELECT t.occurred_at AS at, CASE WHEN t.is_ours THEN 'control_passed' ELSE 'control_taken' END AS what,
       '' AS message_id, t.phone_number_id, -1::bigint AS code, t.contact, '' AS template, '' AS campaign,
       t.owner AS note
FROM handovers t WHERE t.contact = k.contact
"""
_KEY = ", ".join(f"n.{name}" for name in TimelinePosition._fields)
_NEWEST = ", ".join(f"n.{name} DESC" for name in TimelinePosition._fields)
_BEFORE = f"AND n.at <= :at AND ({_KEY}) < (:at, :what, :message_id, :phone_number_id, :code)"
_SPANS = """
unnest(CAST(:keys AS text[]), CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[])) AS k(contact, since, until)
"""


def _timeline(condition: str) -> str:
    parts = [
        f"(SELECT * FROM ({source}) n WHERE n.at >= k.since AND n.at < k.until {condition}"
        f" ORDER BY {_NEWEST} LIMIT :limit)"
        for source in (_STATUSES, _SETTLED, _FAILURES, _INBOUND, _SENDS, _PREFERENCES, _HANDOVERS)
    ]
    return (
        f"SELECT n.* FROM {_SPANS}"
        f" CROSS JOIN LATERAL ({' UNION ALL '.join(parts)}) n ORDER BY {_NEWEST} LIMIT :limit"
    )


_FIRST_PAGE, _NEXT_PAGE = text(_timeline("")), text(_timeline(_BEFORE))

# Failures are looked up without a time: they have few partitions, and with a time Postgres would scan whole months.
_OUTCOMES = text("""
SELECT message_id, min(at) FILTER (WHERE status = 'sent') AS sent_at,
       min(at) FILTER (WHERE status IN ('delivered', 'read', 'played')) AS delivered_at,
       min(at) FILTER (WHERE status IN ('read', 'played')) AS read_at,
       min(at) FILTER (WHERE status = 'failed') AS failed_at
FROM (SELECT message_id, status, occurred_at AS at FROM status_events
      WHERE keyed_hash(message_id) = ANY(ARRAY(
              SELECT keyed_hash(i) FROM unnest(CAST(:ids AS text[])) i))
        AND message_id = ANY(:ids) AND occurred_at BETWEEN :first AND :last
      UNION ALL
      SELECT message_id, status, occurred_at FROM settled_events
      WHERE keyed_hash(message_id) = ANY(ARRAY(
              SELECT keyed_hash(i) FROM unnest(CAST(:ids AS text[])) i))
        AND message_id = ANY(:ids)
      UNION ALL
      SELECT message_id, 'failed', occurred_at FROM failures WHERE message_id = ANY(:ids)) AS events
GROUP BY message_id
""")

_WINDOWS = text(f"""
SELECT phone_number_id, max(occurred_at)
FROM {_SPANS} JOIN inbound_messages m ON m.contact = k.contact AND occurred_at >= k.since AND occurred_at < k.until
WHERE opens_window AND occurred_at > :opened GROUP BY phone_number_id ORDER BY phone_number_id
""")


def page(
    connection: Connection, spans: Sequence[Span], limit: int, before: TimelinePosition | None
) -> list[ContactEvent]:
    """A page of the entries of these keys and times before a position (None: before now), newest first."""
    values = _values(spans) | {"limit": limit} | (before._asdict() if before else {})
    with planned_once(connection):
        rows = connection.execute(_NEXT_PAGE if before else _FIRST_PAGE, values).mappings()
        return [ContactEvent(**row) for row in rows]


def outcomes(connection: Connection, entries: Iterable[ContactEvent]) -> list[MessageOutcome]:
    """The outcomes of the messages of these entries, as far as their statuses are stored."""
    ours = [entry for entry in entries if entry.message_id]
    if not ours:
        return []
    times = [entry.at for entry in ours]
    span = {"first": min(times) - _LIFETIME, "last": max(times) + _LIFETIME}
    values = {"ids": list({entry.message_id for entry in ours})} | span
    with planned_once(connection):
        rows = connection.execute(_OUTCOMES, values).mappings()
        found = {row["message_id"]: MessageOutcome(**row) for row in rows}
    return [found[name] for name in dict.fromkeys(e.message_id for e in ours) if name in found]


def open_windows(connection: Connection, spans: Sequence[Span], now: datetime) -> dict[str, datetime]:
    """The end of the open service window of each business number to which the person wrote within 24 hours."""
    rows = connection.execute(_WINDOWS, _values(spans) | {"opened": now - _WINDOW})
    return {row[0]: row[1] + _WINDOW for row in rows}


def _values(spans: Sequence[Span]) -> dict[str, object]:
    return {
        "keys": [span.key for span in spans],
        "since": [span.since for span in spans],
        "until": [span.until for span in spans],
    }
