"""Links between keys of one person: two keys are linked when one webhook held both, and a person is all linked keys.

All reads and writes of contact_links are here. A user id nearly always has one contact: the first is stored apart from
further ones, so that a contact's user ids need no second lookup, in an index as large as the table, to know that no
other contact has them. Uses the driver for checks and the ingest statement, which are the hot path.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import text

from webhook_app.rules.people.holders import KeyLink
from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import Connection, DriverConnection

KEYS_AT_MOST = 100
"""The most keys of one person, who has a few. If more are linked with each other, each counts as unlinked."""
KEYS_TOGETHER = 1_000
"""The most keys whose statements one transaction reads: those of ten people with KEYS_AT_MOST."""
_NUMBERS_AT_MOST = 16  # that one user id had, one after the other
_USUAL_ROWS = 20  # of a key; a read that finds more for each takes at most KEYS_AT_MOST of each

_FURTHER = "SELECT FROM contact_links f WHERE f.user_id = {user_id} AND f.is_further"

OTHER_KEYS = f"""(
    SELECT l.user_id AS key, NOT EXISTS ({_FURTHER.format(user_id="l.user_id")}) AS is_leaf
    FROM contact_links l WHERE l.contact = p.key
    UNION ALL
    SELECT l.contact, FALSE FROM contact_links l WHERE l.user_id = p.key AND NOT l.is_further AND NOT p.is_leaf
    UNION ALL
    SELECT l.contact, FALSE FROM contact_links l WHERE l.user_id = p.key AND l.is_further AND NOT p.is_leaf
  )"""
"""SQL: the keys linked with p.key. `is_leaf`: a user id with no contact but the one it was found by.

For a recursive CTE `person (…, key, is_leaf)` that starts with FALSE; a key may occur both as a leaf and not.
"""
BY_CONTACT = f"(SELECT user_id AS key FROM contact_links WHERE contact = {{key}} LIMIT {KEYS_AT_MOST})"
"""SQL: the user ids of a contact, `{key}`."""
BY_USER = f"""(
    SELECT contact AS key FROM contact_links WHERE user_id = {{key}} AND NOT is_further
    UNION ALL
    SELECT contact FROM contact_links WHERE user_id = {{key}} AND is_further
    LIMIT {_NUMBERS_AT_MOST}
  )"""
"""SQL: the contacts of a user id."""
NUMBERS_CHANGED = "(SELECT min(user_id) FROM contact_links WHERE NOT is_further) < 'A'"
"""SQL: whether anybody changed their number. User ids begin with a letter; only a change puts a number in user_id."""

LinkRow = tuple[str, str, int]
"""user_id, contact, and the time (Unix seconds) of the webhook that showed both."""


def link_ctes(pairs: str) -> str:
    """SQL: CTEs that store these pairs `l (user_id, contact, at)` with their earliest time, in any order of arrival.

    `linked` has the new pairs, and known ones whose time became earlier (not `is_new`). A unique index decides whether
    a contact is the first of its user id, also between transactions.
    """
    return f"""shown_links AS (  -- by index lookups, so that the table's size does not matter
  SELECT l.user_id, l.contact, to_timestamp(l.at) AS at, k.linked_at
  FROM {pairs} LEFT JOIN LATERAL (
    SELECT linked_at FROM contact_links WHERE contact = l.contact AND user_id = l.user_id OFFSET 0) AS k ON TRUE
), first_links AS (
  INSERT INTO contact_links (user_id, contact, linked_at)
  SELECT user_id, contact, at FROM shown_links WHERE linked_at IS NULL ORDER BY user_id, contact
  ON CONFLICT DO NOTHING
  RETURNING user_id, contact
), further_links AS (  -- or known ones, also those that another transaction is storing
  INSERT INTO contact_links AS k (user_id, contact, is_further, linked_at)
  SELECT user_id, contact, TRUE, at FROM shown_links s
  WHERE (linked_at IS NULL OR linked_at > at)
    AND NOT EXISTS (SELECT FROM first_links f WHERE f.user_id = s.user_id AND f.contact = s.contact)
  ORDER BY user_id, contact
  ON CONFLICT (contact, user_id) DO UPDATE SET linked_at = excluded.linked_at WHERE k.linked_at > excluded.linked_at
  RETURNING user_id, contact, xmax = 0 AS is_new
), linked AS (
  SELECT user_id, contact, TRUE AS is_new FROM first_links UNION ALL SELECT user_id, contact, is_new FROM further_links
)"""


def queue_ctes(contacts: str) -> str:
    """SQL: CTEs that leave it to the job `suppress` to apply what the new links of `contacts (contact)` change.

    What is in the queue stays there until the commit: the job waits for it. A contact that somebody is taking is left
    again. Nothing waits here.
    """
    return f"""waiting AS (
  SELECT contact FROM unapplied_links WHERE contact = ANY(ARRAY(SELECT contact FROM {contacts}))
  FOR KEY SHARE SKIP LOCKED
), left_to_job AS (
  INSERT INTO unapplied_links (contact)
  SELECT DISTINCT contact FROM {contacts} WHERE contact NOT IN (SELECT contact FROM waiting)
)"""


_ENDS = f"""
SELECT coalesce({NUMBERS_CHANGED}, FALSE), coalesce((SELECT max(contact) FROM contact_links) >= 'A', FALSE)
"""
_BY_CONTACT = (
    f"SELECT l.contact, l.user_id, NOT EXISTS ({_FURTHER.format(user_id='l.user_id')})"
    " FROM contact_links l WHERE l.contact {of_keys}"
)
_BY_USER = tuple(
    f"SELECT l.contact, l.user_id FROM contact_links l WHERE l.user_id {{of_keys}} AND {kind}"
    for kind in ("NOT is_further", "is_further")
)
_TIMED = "SELECT user_id, contact, linked_at FROM contact_links WHERE contact = ANY(%s::text[])"
_COUNT = text(f"""
WITH RECURSIVE person (key, is_leaf) AS (
  SELECT DISTINCT contact COLLATE "C", FALSE FROM unnest(CAST(:contacts AS text[])) AS c(contact)
  UNION
  SELECT other.key, other.is_leaf FROM person p CROSS JOIN LATERAL {OTHER_KEYS} AS other
)
SELECT count(*) FROM (SELECT FROM person LIMIT :most) AS few
""")
_UNAPPLIED = text(
    "SELECT contact FROM unapplied_links WHERE contact <> ALL(:left_out) ORDER BY id LIMIT :limit"
)
_TAKE = text("DELETE FROM unapplied_links WHERE contact = ANY(:contacts)")
_TAKE_FREE = text("""
DELETE FROM unapplied_links
WHERE id IN (SELECT id FROM unapplied_links WHERE contact = ANY(:contacts) FOR UPDATE SKIP LOCKED)
""")
_DELETE = tuple(
    text(f"DELETE FROM contact_links WHERE {condition}")
    for condition in (
        "contact = ANY(:keys)",
        "user_id = ANY(:keys) AND NOT is_further",
        "user_id = ANY(:keys) AND is_further",
    )
)


class _Kinds(NamedTuple):
    """Which kinds of keys occur in which column at all; saves thousands of index lookups."""

    numbers_as_users: bool
    """True once anybody changed their number."""
    users_as_contacts: bool
    """True once a user id is linked to another."""


def people(
    connection: DriverConnection, keys: Sequence[str], left: set[str] | None = None
) -> dict[str, set[str]]:
    """All keys of the person, for each linked one of these keys and of the keys found. Few statements for thousands.

    Somebody else who got a number of the person counts as the same person, see `contacts.holders`. `left` gets the
    numbers found that their holder left.
    """
    found: dict[str, set[str]] = {}
    follow(connection, keys, found, left)
    return without_crowds(found)


def follow(
    connection: DriverConnection,
    keys: Sequence[str],
    found: dict[str, set[str]],
    left: set[str] | None = None,
) -> None:
    """Add to `found` all keys linked with these, up to more than KEYS_AT_MOST of a person."""
    kinds = _Kinds(*connection.execute(_ENDS, prepare=True).fetchall()[0])
    contacts = users = keys
    seen_as_contacts, seen_as_users = set(keys), set(keys)
    while True:
        contacts = of_kinds(contacts, numbers=True, users=kinds.users_as_contacts)
        users = of_kinds(users, numbers=kinds.numbers_as_users, users=True)
        if not contacts and not users:
            return
        new_contacts: set[str] = set()
        new_users: set[str] = set()
        for contact, user_id, is_leaf in rows_of_keys(connection, _BY_CONTACT, contacts)[0]:
            join(found, contact, user_id)
            new_contacts.add(user_id)
            if left is not None and user_id < "A":
                left.add(user_id)
            if not is_leaf:
                new_users.add(user_id)
        for statement in _BY_USER:
            for contact, user_id in rows_of_keys(connection, statement, users)[0]:
                join(found, contact, user_id)
                new_contacts.add(contact)
                new_users.add(contact)
                if left is not None and user_id < "A":
                    left.add(user_id)
        contacts = _to_follow(new_contacts - seen_as_contacts, found)
        users = _to_follow(new_users - seen_as_users, found)
        seen_as_contacts |= new_contacts
        seen_as_users |= new_users


def timed(connection: DriverConnection, keys: Sequence[str]) -> list[KeyLink]:
    """The links among these keys, which must be all keys of their people, with their times."""
    return [KeyLink(*row) for row in connection.execute(_TIMED, [text_array(keys)])]


def unapplied(connection: Connection, limit: int, left_out: Iterable[str] = ()) -> list[str]:
    """The first `limit` contacts, but these, in the queue of those whose new links are not applied yet."""
    return list(connection.execute(_UNAPPLIED, {"limit": limit, "left_out": list(left_out)}).scalars())


def take_unapplied(connection: Connection, contacts: Sequence[str], *, wait: bool = True) -> None:
    """Take these contacts out of the queue, to apply their links in the same transaction.

    Without `wait`, those that another transaction takes or leaves are left to the job.
    """
    connection.execute(_TAKE if wait else _TAKE_FREE, {"contacts": list(contacts)})


def first_people(connection: Connection, contacts: Iterable[str]) -> list[str]:
    """The first of these contacts, as many as have at most KEYS_TOGETHER keys with their people; at least ten."""
    few = list(dict.fromkeys(contacts))
    while len(few) > KEYS_TOGETHER // KEYS_AT_MOST:
        found = connection.execute(_COUNT, {"contacts": few, "most": KEYS_TOGETHER + 1}).scalar_one()
        if found <= KEYS_TOGETHER:
            break
        few = few[: max(len(few) // 2, KEYS_TOGETHER // KEYS_AT_MOST)]
    return few


def of_kinds(keys: Sequence[str], *, numbers: bool, users: bool) -> Sequence[str]:
    """The keys of these kinds: phone numbers, user ids or both."""
    if numbers and users:
        return keys
    return [key for key in keys if (users if key >= "A" else numbers)]


def forget(connection: Connection, keys: Sequence[str]) -> int:
    """Delete all links of these keys, which must be all keys of a person. Returns how many."""
    return sum(connection.execute(statement, {"keys": list(keys)}).rowcount for statement in _DELETE)


def is_crowd(keys: Collection[str]) -> bool:
    """Whether these linked keys are too many for one person."""
    return len(keys) > KEYS_AT_MOST


def without_crowds(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """The keys of each key's person, without those that are linked with too many."""
    return {key: keys for key, keys in found.items() if not is_crowd(keys)}


def join(people: dict[str, set[str]], one: str, other: str) -> None:
    """Make the people of two keys one, in a mapping of each key to the set of all keys of its person."""
    first, second = people.get(one), people.get(other)
    if first is None and second is None:
        people[one] = people[other] = {one, other}
    elif first is None or second is None:
        joined = first if first is not None else second
        assert joined is not None  # noqa: S101
        joined |= {one, other}
        people[one] = people[other] = joined
    elif first is not second:
        smaller, larger = sorted((first, second), key=len)
        larger |= smaller
        people.update(dict.fromkeys(smaller, larger))


def rows_of_keys(
    connection: DriverConnection, statement: str, keys: Sequence[str], few: int = KEYS_AT_MOST + 1
) -> tuple[list[Any], bool]:
    """The rows of `statement`, which has `{of_keys}` after a column, and whether only the first of each key were read.

    These are KEYS_AT_MOST + 1, where there are more than 20 for each key and `few` in all: a key with so many is in a
    crowd, whichever of its rows are read.
    """
    if not keys:
        return [], False
    limit, most = _USUAL_ROWS * len(keys) + few, KEYS_AT_MOST + 1
    usual = f"{statement.format(of_keys='= ANY(%s::text[])')} LIMIT %s"
    rows = connection.execute(usual, [text_array(keys), limit], prepare=True).fetchall()
    if len(rows) < limit:
        return rows, False
    of_key = f"({statement.format(of_keys='= k.key')} LIMIT %s) AS of_key"
    each = f"SELECT of_key.* FROM unnest(%s::text[]) AS k(key) CROSS JOIN LATERAL {of_key}"
    return connection.execute(each, [text_array(keys), most]).fetchall(), True


def _to_follow(keys: Iterable[str], found: Mapping[str, set[str]]) -> list[str]:
    return sorted(key for key in keys if not is_crowd(found[key]))
