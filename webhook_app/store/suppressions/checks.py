"""Looks up what a check needs to know of its contacts: links, suppressions, windows, owners, the feed's version.

Few contacts are read in one statement; thousands in one per table, with sorted keys, so that Postgres scans each index
once. Both give the same result. Uses the driver, because checks are a hot path. Only `claim_probes` writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field

from webhook_app.store.people import links
from webhook_app.store.people.contacts import holders
from webhook_app.store.people.erased_opt_outs import MARK
from webhook_app.store.people.links import NUMBERS_CHANGED, OTHER_KEYS
from webhook_app.store.postgres.arrays import text_array
from webhook_app.store.postgres.engine import Connection, DriverConnection, driver
from webhook_app.store.suppressions.conversation_owners import (
    ANY_HANDOVER,
    LAST_HANDOVER,
    LastHandover,
    in_force,
    last_handovers,
)
from webhook_app.whatsapp.events import NO_CODE

WINDOW = timedelta(hours=24)
"""The service window: how long after a contact wrote to a business number it may reply with any message."""
_CLOCK_AHEAD = timedelta(minutes=5)  # the tolerance of ingest

Key = tuple[str, str, str, str]


class ContactSuppression(Struct, frozen=True):
    """The columns of a suppression that a check needs."""

    contact: str
    phone_number_id: str
    scope: str
    reason: str
    code: int
    since: datetime | None
    """None: the opt-out of an erased person."""
    until: datetime | None
    seen_as: str
    half_open_at: datetime | None
    probe_until: datetime | None

    @property
    def key(self) -> Key:
        return self.contact, self.phone_number_id, self.scope, self.reason


class CheckFacts(Struct):
    """The facts of a check, for contacts that have any. `version`: all changes of the feed up to it are included."""

    version: int = 0
    suppressions: dict[str, list[ContactSuppression]] = field(default_factory=dict)
    wrote: dict[str, datetime] = field(default_factory=dict)
    """When contacts wrote or called last, if within the service window."""
    owners: dict[str, LastHandover] = field(default_factory=dict)
    """Who owns the conversation with the business number, where Meta has handed it over and it has not ended."""


class CheckRequest(Struct, frozen=True):
    """The contacts of a check, and the business number that wants to message them (None: any)."""

    contacts: Sequence[str]
    phone_number_id: str | None


_COLUMNS = ", ".join(f"s.{name}" for name in ContactSuppression.__struct_fields__)
_IN_FORCE = "(s.until IS NULL OR s.until > {now} OR (s.reason = 'unreachable' AND s.scope = 'all'))"
# As rules/suppressions/reach has it, with '' for any number.
_OF_NUMBER = "({number} = '' OR {of}.phone_number_id IN ('', {number}))"
_WROTE = (
    f"w.opened_at > {{now}} - interval '{WINDOW.total_seconds():.0f} s'"
    f" AND w.opened_at <= {{now}} + interval '{_CLOCK_AHEAD.total_seconds():.0f} s'"
    " AND ({number} = '' OR w.phone_number_id = {number})"
)
_MOST_KEYS = (
    f"({2 * links.KEYS_AT_MOST} + 20 * cardinality($1::text[]))"  # of all contacts, so that few are read
)


def _text(literal: str) -> str:
    """SQL: the literal with the type of the columns. Otherwise Postgres converts each row, in a tenth of the time."""
    return f"'{literal}'::text COLLATE \"C\""


_NO = _text("")
# $1: contacts, $2: the business number of each or '', $3: now. OFFSET 0 makes each part an index lookup.
_FACTS = f"""
WITH RECURSIVE person (asked, number, key, is_leaf) AS (
  SELECT c.asked, c.number, c.key COLLATE "C", FALSE
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS c(key, number, asked)
  UNION
  SELECT p.asked, p.number, other.key, other.is_leaf
  FROM person p CROSS JOIN LATERAL {OTHER_KEYS} AS other
), few AS (SELECT * FROM person LIMIT {_MOST_KEYS})
SELECT p.asked, {_COLUMNS}
FROM few p CROSS JOIN LATERAL (SELECT * FROM suppressions s WHERE s.contact = p.key
  AND {_IN_FORCE.format(now="$3")} AND {_OF_NUMBER.format(of="s", number="p.number")} OFFSET 0) s
UNION ALL
SELECT p.asked, p.key, {_NO}, {_text("wrote")}, {_NO}, 0::bigint, w.opened_at, NULL, {_NO}, NULL, NULL
FROM few p CROSS JOIN LATERAL (
  SELECT w.opened_at FROM service_windows w
  WHERE w.contact = p.key AND {_WROTE.format(now="$3", number="p.number")} OFFSET 0) w
UNION ALL
SELECT p.asked, p.key, w.phone_number_id, w.scope, {_text("opted_out")}, {NO_CODE}::bigint, NULL, NULL, {_NO}, NULL,
       NULL
FROM erased_opt_outs_secret s CROSS JOIN few p
CROSS JOIN LATERAL (SELECT * FROM erased_opt_outs w WHERE w.mark = {MARK.format(key="p.key")}
  AND {_OF_NUMBER.format(of="w", number="p.number")} OFFSET 0) w
UNION ALL  -- somebody left one of these numbers
SELECT p.asked, {_NO}, {_NO}, {_text("shared")}, {_NO}, 0::bigint, NULL, NULL, {_NO}, NULL, NULL
FROM few p WHERE {NUMBERS_CHANGED} AND p.key < 'A'
  AND EXISTS (SELECT FROM number_changes c WHERE c.old_contact = p.key OFFSET 0)
UNION ALL
SELECT (SELECT max(keys) > {links.KEYS_AT_MOST} OR sum(keys) = {_MOST_KEYS}
        FROM (SELECT count(*) AS keys FROM few GROUP BY asked) each)::int::bigint,
       {_NO}, {_NO}, {_text("version")}, {_NO}, coalesce((SELECT max(seq) FROM suppression_changes), 0), NULL, NULL,
       {_NO}, NULL, NULL
"""
_FACTS_AND_OWNERS = f"""{_FACTS}
UNION ALL
SELECT p.asked, p.key, {_NO}, {_text("owner")}, h.owner, h.is_ours::int::bigint, h.occurred_at, NULL, {_NO}, NULL, NULL
FROM few p CROSS JOIN LATERAL {LAST_HANDOVER} h
"""
_STATEMENTS = {
    False: _FACTS.encode(),
    True: _FACTS_AND_OWNERS.encode(),
}  # the driver encodes and hashes text each time
_VERSION = f"""
SELECT coalesce(max(seq), 0), EXISTS (SELECT FROM erased_opt_outs),
       coalesce((SELECT max(contact) FROM suppressions) >= 'A', FALSE), {ANY_HANDOVER}
FROM suppression_changes
"""
_ERASED = f"""
SELECT k.key, w.phone_number_id, w.scope
FROM erased_opt_outs_secret s CROSS JOIN unnest(%(keys)s::text[]) AS k(key)
JOIN erased_opt_outs w ON w.mark = {MARK.format(key="k.key")} AND {_OF_NUMBER.format(of="w", number="%(number)s::text")}
"""
_SUPPRESSIONS = (
    f"SELECT {_COLUMNS} FROM suppressions s WHERE s.contact = ANY(%(keys)s::text[])"
    f" AND {_IN_FORCE.format(now='%(now)s')} AND {_OF_NUMBER.format(of='s', number='%(number)s::text')}"
)
_WROTE_TO = (
    "SELECT w.contact, max(w.opened_at) FROM service_windows w WHERE w.contact = ANY(%(keys)s::text[])"
    f" AND {_WROTE.format(now='%(now)s::timestamptz', number='%(number)s::text')} GROUP BY w.contact"
)
_CLAIM = """
UPDATE suppressions s SET probe_until = %(until)s
FROM (
  SELECT o.contact, o.phone_number_id, o.scope, o.reason FROM suppressions o
  JOIN unnest(%(contacts)s::text[], %(numbers)s::text[], %(scopes)s::text[], %(reasons)s::text[])
    AS w(contact, phone_number_id, scope, reason) USING (contact, phone_number_id, scope, reason)
  WHERE (o.probe_until IS NULL OR o.probe_until <= %(now)s)
    AND (o.half_open_at IS NOT NULL OR o.until <= %(now)s)
  FOR UPDATE OF o SKIP LOCKED) AS free
WHERE (s.contact, s.phone_number_id, s.scope, s.reason)
    = (free.contact, free.phone_number_id, free.scope, free.reason)
RETURNING s.contact, s.phone_number_id, s.scope, s.reason
"""


def read_facts(
    connection: DriverConnection, questions: Sequence[CheckRequest], now: datetime, *, owners: bool = True
) -> list[CheckFacts]:
    """Look up the facts of each check, under any key of its contacts, in one statement for all checks.

    `owners`: look for the owners of conversations too, which costs a tenth more.
    """
    found = [CheckFacts() for _ in questions]
    places = [
        (each, contact)
        for each, question in zip(found, questions, strict=True)
        for contact in question.contacts
    ]
    numbers = [question.phone_number_id or "" for question in questions for _ in question.contacts]
    values = [text_array([contact for _, contact in places]), text_array(numbers), now]
    shared: set[int] = set()
    wrote: dict[int, list[tuple[str, datetime]]] = {}
    handed: dict[int, list[tuple[str, LastHandover]]] = {}
    rows = connection.kept_cursor.execute(_STATEMENTS[owners], values, prepare=True).fetchall()
    for asked, *columns in rows:
        kind = columns[2]
        if kind == "version":
            if asked:  # perhaps a crowd, see links.KEYS_AT_MOST
                return [
                    read_facts_of_thousands(connection, connection, question, now) for question in questions
                ]
            for each in found:
                each.version = columns[4]
        elif kind == "wrote":
            wrote.setdefault(asked - 1, []).append((columns[0], columns[5]))
        elif kind == "owner":
            last = LastHandover(bool(columns[4]), columns[3], columns[5])
            handed.setdefault(asked - 1, []).append((columns[0], last))
        elif kind == "shared":
            shared.add(asked - 1)
        else:
            each, contact = places[asked - 1]
            each.suppressions.setdefault(contact, []).append(ContactSuppression(*columns))
    if shared:
        _leave_out_others(connection, {place: places[place] for place in shared}, wrote, handed)
    _add_latest(places, wrote, handed)
    _leave_out_ended(connection, questions, found, now)
    _sort_rows(found)
    return found


def _add_latest(
    places: Sequence[tuple[CheckFacts, str]],
    wrote: Mapping[int, list[tuple[str, datetime]]],
    handed: Mapping[int, list[tuple[str, LastHandover]]],
) -> None:
    for place, written in wrote.items():
        each, contact = places[place]
        each.wrote[contact] = max(at for _, at in written)
    for place, owned in handed.items():
        each, contact = places[place]
        each.owners[contact] = _last(last for _, last in owned)


def _leave_out_ended(
    connection: DriverConnection,
    questions: Sequence[CheckRequest],
    found: Sequence[CheckFacts],
    now: datetime,
) -> None:
    for question, each in zip(questions, found, strict=True):
        if each.owners:
            each.owners = in_force(connection, each.owners, each.wrote, question.phone_number_id or "", now)


def _last(handovers: Iterable[LastHandover]) -> LastHandover:
    return max(handovers, key=lambda each: each.order)


def _sort_rows(found: Iterable[CheckFacts]) -> None:
    for each in found:
        for contact, rows in each.suppressions.items():
            # The mark of an erased opt-out comes after the row of a new one, as in _add_erased.
            rows[:] = sorted(set(rows), key=lambda row: (row.contact != contact, row.key, row.since is None))


def _leave_out_others(
    connection: DriverConnection,
    places: Mapping[int, tuple[CheckFacts, str]],
    wrote: dict[int, list[tuple[str, datetime]]],
    handed: dict[int, list[tuple[str, LastHandover]]],
) -> None:
    """Leave out what belongs to others who held a number of the contact, or hold a number that the contact left."""
    known = holders(connection, {contact for _, contact in places.values()})
    for place, (each, contact) in places.items():
        person = known.present(contact)
        rows = [row for row in each.suppressions.pop(contact, ()) if row.contact in person.keys]
        if rows:
            each.suppressions[contact] = rows
        written = [(key, at) for key, at in wrote.pop(place, ()) if known.holder(key, at) == person]
        if written:
            wrote[place] = written
        owned = [(key, last) for key, last in handed.pop(place, ()) if known.holder(key, last.at) == person]
        if owned:
            handed[place] = owned


def claim_probes(connection: Connection, keys: Sequence[Key], until: datetime, now: datetime) -> set[Key]:
    """Claim the probes of these half-open suppressions until then; returns those that no other caller holds."""
    contacts, numbers, scopes, reasons = map(list, zip(*sorted(keys), strict=True))
    values = {"contacts": contacts, "numbers": numbers, "scopes": scopes, "reasons": reasons}
    rows = driver(connection).execute(_CLAIM, values | {"until": until, "now": now}).fetchall()
    return {(row[0], row[1], row[2], row[3]) for row in rows}


def read_facts_of_thousands(
    connection: DriverConnection, beside: DriverConnection, question: CheckRequest, now: datetime
) -> CheckFacts:
    """Look up the facts of one check; one connection reads links while the other reads suppressions.

    The version is read first: the rows may be newer than it, but never older.
    """
    asked = sorted(set(question.contacts))
    (state,) = connection.execute(_VERSION, prepare=True).fetchall()
    version, erased_are_kept, users_are_suppressed, are_handed_over = state
    found = CheckFacts(version)
    shared_numbers: set[str] = set()
    values = {"number": question.phone_number_id or "", "now": now}
    with ThreadPoolExecutor(1) as other:
        linking = other.submit(links.people, beside, asked, shared_numbers)
        by_key, wrote = _read_keys(connection, asked, values, users=users_are_suppressed)
        people = linking.result()
    if more := sorted(people.keys() - set(asked)):
        of_more, more_wrote = _read_keys(connection, more, values, users=users_are_suppressed)
        by_key |= of_more
        wrote |= more_wrote
    if erased_are_kept:
        _add_erased(connection, [*asked, *more], values, by_key)
    number = question.phone_number_id
    handed = last_handovers(connection, [*asked, *more], number) if number and are_handed_over else {}
    with_facts = by_key.keys() | wrote.keys() | handed.keys()
    concerned = {contact for key in with_facts for contact in people.get(key, (key,))}.intersection(asked)
    shared = {contact for contact in concerned if not shared_numbers.isdisjoint(people.get(contact, ()))}
    known = holders(connection, shared) if shared else None
    for contact in concerned:
        others = people.get(contact, {contact})
        written = [(key, wrote[key]) for key in others if key in wrote]
        owned = [(key, handed[key]) for key in others if key in handed]
        if known and contact in shared:
            person = known.present(contact)
            others = {*person.keys}
            written = [(key, at) for key, at in written if known.holder(key, at) == person]
            owned = [(key, last) for key, last in owned if known.holder(key, last.at) == person]
        rows = by_key.get(contact, []) + [
            row for key in sorted(others - {contact}) for row in by_key.get(key, ())
        ]
        if rows:
            found.suppressions[contact] = rows
        if written:
            found.wrote[contact] = max(at for _, at in written)
        if owned:
            found.owners[contact] = _last(last for _, last in owned)
    _leave_out_ended(connection, [question], [found], now)
    return found


def _read_keys(
    connection: DriverConnection, keys: Sequence[str], values: dict[str, Any], *, users: bool
) -> tuple[dict[str, list[ContactSuppression]], dict[str, datetime]]:
    """The suppressions of each of these keys, and when keys wrote last, if within the service window."""
    by_key: dict[str, list[ContactSuppression]] = {}
    if suppressible := links.of_kinds(keys, numbers=True, users=users):
        for row in connection.execute(
            _SUPPRESSIONS, values | {"keys": text_array(suppressible)}, prepare=True
        ):
            by_key.setdefault(row[0], []).append(ContactSuppression(*row))
    for rows in by_key.values():
        rows.sort(key=lambda row: row.key)
    writers = connection.execute(_WROTE_TO, values | {"keys": text_array(keys)}, prepare=True)
    return by_key, dict(writers.fetchall())


def _add_erased(
    connection: DriverConnection,
    keys: Sequence[str],
    values: dict[str, Any],
    by_key: dict[str, list[ContactSuppression]],
) -> None:
    for key, number, scope in connection.execute(_ERASED, values | {"keys": text_array(keys)}, prepare=True):
        rows = by_key.setdefault(key, [])
        rows.append(ContactSuppression(key, number, scope, "opted_out", NO_CODE, None, None, "", None, None))
        rows.sort(key=lambda row: row.key)
