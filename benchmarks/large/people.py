"""The recipients, their suppressions and their user ids. People are numbers, from which all their values follow.

Every second person has a user id, every tenth is suppressed. The change feed contains the newest suppressions.
"""

from typing import Any

import psycopg

LINKS = 50_000_000
SUPPRESSIONS = 10_000_000
PAGE_SUPPRESSIONS = 1_000_000
"""Number of suppressions while pages are measured."""
CHANGES = 1_000_000

PREFIXES = (
    ("DE", "49"),
    ("US", "1"),
    ("IN", "91"),
    ("GB", "44"),
    ("TR", "90"),
    ("PK", "92"),
    ("NG", "234"),
    ("ID", "62"),
)
_PREFIXES = "ARRAY['" + "', '".join(prefix for _, prefix in PREFIXES) + "']"
_COUNTRIES = "ARRAY['" + "', '".join(country for country, _ in PREFIXES) + "']"

PERSON = f"({_PREFIXES})[1 + {{p}} / 10 %% {len(PREFIXES)}] || 5000000000 + {{p}}"
"""SQL for the phone number of person p, with doubled per cent signs. Ten people in a row live in one country."""

_SUPPRESSED = f"""
INSERT INTO suppressions (contact, phone_number_id, scope, reason, code, since, until, evidence, seen_as, actor, review)
SELECT contact, CASE WHEN i %% 10 = 0 THEN '' ELSE 'pn' || 1000 + i %% 12 END,
       CASE WHEN i %% 7 = 0 THEN 'marketing' ELSE 'all' END,
       CASE WHEN i %% 10 = 0 THEN 'opted_out' WHEN i %% 97 = 0 THEN 'manual' ELSE 'unreachable' END,
       CASE WHEN i %% 10 = 0 OR i %% 97 = 0 THEN -1 ELSE 131026 END, since,
       CASE WHEN i %% 10 = 0 OR i %% 97 = 0 THEN NULL
            ELSE %(now)s::timestamptz + interval '1 day' + i %% 90000 * interval '1 minute' END,
       CASE WHEN i %% 10 = 0 OR i %% 97 = 0 THEN '[]'::jsonb ELSE jsonb_build_array(jsonb_build_object(
         'message_id', 'wamid.E' || i,
         'occurred_at', to_char(since - interval '1 day', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'code', 131026)) END,
       contact, CASE WHEN i %% 97 = 0 THEN 'admin' ELSE 'system' END, i %% 10 <> 0 AND i %% 97 <> 0
FROM (SELECT i, {PERSON.format(p="(i * 10)")} AS contact,
             %(now)s::timestamptz - i %% 129000 * interval '1 minute' AS since
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) i) p
"""
# In order of time, as in the feed.
_CHANGED = """
INSERT INTO suppression_changes (seq, at, action, contact, phone_number_id, scope, reason, code, until, times, actor,
                                 evidence, since, seen_as, review)
SELECT row_number() OVER (ORDER BY since, contact, phone_number_id), since, 'suppress', contact, phone_number_id, scope,
       reason, code, until, times, actor, evidence, since, seen_as, review
FROM (SELECT * FROM suppressions ORDER BY since DESC LIMIT %(changes)s) newest
"""
_LINKED = f"""
INSERT INTO contact_links (user_id, contact)
SELECT ({_COUNTRIES})[1 + p / 10 %% {len(PREFIXES)}] || '.' || lpad(p::text, 16, '0'), {PERSON.format(p="p")}
FROM (SELECT i * 2 AS p FROM generate_series(0, %(links)s::bigint - 1) i) l
"""


def contact_of(person: int) -> str:
    """Return the phone number of this person, as PERSON does in SQL."""
    return f"{PREFIXES[person // 10 % len(PREFIXES)][1]}{5_000_000_000 + person}"


def suppress(connection: psycopg.Connection[Any], first: int, upto: int, now: object) -> None:
    """Suppress the people from `first` up to `upto`; the first call also writes the change feed."""
    cursor = psycopg.ClientCursor(connection)
    cursor.execute(_SUPPRESSED, {"first": first, "last": upto - 1, "now": now})
    if first == 0:
        cursor.execute(_CHANGED, {"changes": min(upto, CHANGES)})
    connection.commit()


def link(connection: psycopg.Connection[Any], links: int) -> None:
    """Give every second person a user id."""
    psycopg.ClientCursor(connection).execute(_LINKED, {"links": links})
    connection.commit()
