"""Who owns a conversation by Meta's last handover of it. Uses the driver, as checks do.

A conversation ends 24 hours after the person's last message. Meta then decides anew who answers, and sends no webhook.
So a handover holds while no 24 hours have passed without a message of the person since.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.store.people.contacts import holders
from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import DriverConnection

_LASTS = timedelta(hours=24)
_LATEST_FIRST = "h.occurred_at DESC, h.is_ours DESC, h.owner DESC"

ANY_HANDOVER = "EXISTS (SELECT FROM handovers)"
"""SQL: whether Meta has handed over any conversation."""
LAST_HANDOVER = f"""(
    SELECT h.is_ours, h.owner, h.occurred_at FROM handovers h
    WHERE h.contact = p.key AND h.phone_number_id = p.number ORDER BY {_LATEST_FIRST} LIMIT 1)"""
"""SQL: the last handover of the key and the business number of `p`."""
_OF_KEYS = f"""
SELECT DISTINCT ON (h.contact) h.contact, h.is_ours, h.owner, h.occurred_at FROM handovers h
WHERE h.contact = ANY(%s::text[]) AND h.phone_number_id = %s ORDER BY h.contact, {_LATEST_FIRST}
"""
# Goes from the handover to the last message within 24 hours, and from there on: two lookups a day at most, however many
# messages a conversation has.
_ENDED = f"""
WITH RECURSIVE active (contact, keys, since, until, at) AS (
  SELECT contact, array_agg(key), array_agg(since), array_agg(until), min(handed_at)
  FROM unnest(%(contacts)s::text[], %(keys)s::text[], %(since)s::timestamptz[], %(until)s::timestamptz[],
              %(handed)s::timestamptz[]) AS k(contact, key, since, until, handed_at)
  GROUP BY contact
  UNION ALL
  SELECT a.contact, a.keys, a.since, a.until, later.at
  FROM active a CROSS JOIN LATERAL (
    SELECT max(m.occurred_at) AS at
    FROM unnest(a.keys, a.since, a.until) AS k(key, since, until) CROSS JOIN LATERAL (
      SELECT occurred_at FROM inbound_messages
      WHERE contact = k.key AND phone_number_id = %(number)s AND opens_window AND occurred_at > a.at
        AND occurred_at < a.at + interval '{_LASTS.total_seconds():.0f} s'
        AND occurred_at >= k.since AND occurred_at < k.until
      ORDER BY occurred_at DESC LIMIT 1) AS m) AS later
  WHERE a.at <= %(ended)s AND later.at IS NOT NULL
)
SELECT contact FROM active GROUP BY contact HAVING max(at) <= %(ended)s
"""


class LastHandover(Struct, frozen=True):
    """To whom Meta last gave a conversation. `role`: that of the owner, empty if Meta does not name it."""

    is_ours: bool
    role: str
    at: datetime

    @property
    def order(self) -> tuple[datetime, bool, str]:
        return self.at, self.is_ours, self.role


def any_handover(connection: DriverConnection) -> bool:
    """Whether Meta has handed over any conversation."""
    ((found,),) = connection.execute(f"SELECT {ANY_HANDOVER}", prepare=True).fetchall()
    return bool(found)


def last_handovers(
    connection: DriverConnection, keys: Sequence[str], phone_number_id: str
) -> dict[str, LastHandover]:
    """The last handover of each of these keys at a business number."""
    rows = connection.execute(_OF_KEYS, [text_array(keys), phone_number_id], prepare=True)
    return {contact: LastHandover(is_ours, role, at) for contact, is_ours, role, at in rows.fetchall()}


def in_force(
    connection: DriverConnection,
    last: Mapping[str, LastHandover],
    wrote: Mapping[str, datetime],
    phone_number_id: str,
    now: datetime,
) -> dict[str, LastHandover]:
    """The handovers among the last ones of these contacts that hold. `wrote`: who wrote within 24 hours."""
    found = {contact: each for contact, each in last.items() if contact in wrote or each.at > now - _LASTS}
    if old := [contact for contact, each in found.items() if each.at <= now - _LASTS]:
        known = holders(connection, old)
        spans = [(contact, span) for contact in old for span in known.present(contact).spans]
        values = {
            "contacts": text_array([contact for contact, _ in spans]),
            "keys": text_array([span.key for _, span in spans]),
            "since": [span.since for _, span in spans],
            "until": [span.until for _, span in spans],
            "handed": [found[contact].at for contact, _ in spans],
            "number": phone_number_id,
            "ended": now - _LASTS,
        }
        for (contact,) in connection.execute(_ENDED, values, prepare=True).fetchall():
            del found[contact]
    return found
