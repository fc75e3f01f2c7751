"""Taking a person out of every table. What is counted stays true: facts lose the person, not their place.

`HOLDS` names every column that can show a person; a test holds it against the schema. Decides nothing.
"""

from collections.abc import Iterable
from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import Table, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store import schema
from webhook_app.store.counts import stages
from webhook_app.store.people import links
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.people.traces import ERASED, Traces

HOLDS: dict[str, frozenset[str]] = {
    # Rows stay without the person: rates, recounts and funnels must come out the same.
    "status_events": frozenset(("message_id", "contact", "participant", "callback_data")),
    "failures": frozenset(
        ("message_id", "contact", "participant", "title", "details", "errors", "fbtrace_id")
    ),
    "messages": frozenset(("message_id", "contact")),
    "failed_messages": frozenset(("message_id",)),
    "sends": frozenset(("message_id", "contact", "fbtrace_id", "error", "request", "endpoint")),
    "stage_recounts": frozenset(("message_id",)),
    # Rows go.
    "inbound_messages": frozenset(("message_id", "contact")),
    "service_windows": frozenset(("contact",)),
    "preferences": frozenset(("contact",)),
    "number_changes": frozenset(("old_contact", "new_contact", "message_id")),
    "contact_links": frozenset(("user_id", "contact")),
    "successes": frozenset(("contact", "message_id")),
    "clock_repairs": frozenset(("message_id", "participant")),
    "backtest_people": frozenset(("contact",)),
    "suppressions": frozenset(("contact", "evidence", "seen_as", "note")),
    "suppression_changes": frozenset(("contact", "evidence", "note", "seen_as")),
    "failure_errors": frozenset(("title", "details")),
    "quarantine": frozenset(("reason", "item", "body", "document")),
    # What was done stays, without whom it was about.
    "audit": frozenset(("contact",)),
    # What was told of incidents keeps everything but the ids of the person's messages.
    "alerts": frozenset(("explanation",)),
    "notifications": frozenset(("payload",)),
    "health_signals": frozenset(("payload",)),
    "health_changes": frozenset(("detail",)),
    # Bodies are packed anew without the person's items; how, says pipeline/people/erase.
    "deliveries": frozenset(("body",)),
    "erasures": frozenset(("keys", "message_ids")),  # until the archive is done
}

_JSON = ("alerts", "notifications", "health_signals", "health_changes")
_BY_CONTACT = (
    "inbound_messages",
    "service_windows",
    "preferences",
    "successes",
    "suppressions",
    "backtest_people",
)

# A status without a recipient is found by its id, which holds the number.
_MESSAGE_IDS = text("""
SELECT message_id FROM status_events WHERE contact = '' AND participant = ''
  AND EXISTS (SELECT FROM unnest(CAST(:encoded AS text[])) AS e WHERE strpos(message_id, e) > 0)
UNION SELECT message_id FROM failures WHERE contact = '' AND participant = ''
  AND EXISTS (SELECT FROM unnest(CAST(:encoded AS text[])) AS e WHERE strpos(message_id, e) > 0)
UNION SELECT message_id FROM status_events WHERE contact = ANY(:keys) AND participant = ''
UNION SELECT message_id FROM failures WHERE contact = ANY(:keys) AND participant = ''
UNION SELECT message_id FROM sends WHERE contact = ANY(:keys)
UNION SELECT message_id FROM inbound_messages WHERE contact = ANY(:keys)
UNION SELECT message_id FROM number_changes WHERE old_contact = ANY(:keys) OR new_contact = ANY(:keys)
""")
# A group's message has other people's events too: it keeps its id, which is the group's, and loses the participant.
_TAKE = {
    "status_events": "hashtextextended(message_id, 0) = ANY(ARRAY(SELECT hashtextextended(i, 0) FROM unnest("
    "CAST(:ids AS text[])) AS i)) AND message_id = ANY(:ids) OR contact = ANY(:keys)",
    "failures": "message_id = ANY(:ids) OR contact = ANY(:keys)",
    "messages": "message_id = ANY(:ids)",
    "failed_messages": "message_id = ANY(:ids)",
    "sends": "message_id = ANY(:ids) OR contact = ANY(:keys)",
}
_BLANK: dict[str, Any] = {
    "contact": "",
    "callback_data": "",
    "fbtrace_id": "",
    "endpoint": "",
    "request": None,
}
_BLANK_WHERE_SHOWN = ("title", "details", "errors", "error")
_PAGE = 500


def message_ids(connection: Connection, traces: Traces) -> list[str]:
    """The ids of every message to or from these keys alone, not those to groups."""
    values = {"keys": list(traces.keys), "encoded": list(traces.encoded)}
    return list(connection.execute(_MESSAGE_IDS, values).scalars())


def take_out(connection: Connection, traces: Traces, now: datetime) -> dict[str, int]:
    """Erase the person from every table but the archive; returns how many rows of each were touched."""
    keys, ids = list(traces.keys), list(traces.message_ids)
    tokens = {each: f"{ERASED}:{token_hex(16)}" for each in ids}
    done = {name: _anonymise(connection, name, traces, tokens, now) for name in _TAKE}
    done["stage_recounts"] = stages.rename_messages(connection, tokens)
    done["failure_errors"] = _delete_shown_errors(connection, traces)
    for name in _BY_CONTACT:
        done[name] = _run(connection, f"DELETE FROM {name} WHERE contact = ANY(:keys)", keys=keys)
    done["inbound_messages"] += _run(
        connection, "DELETE FROM inbound_messages WHERE message_id = ANY(:ids)", ids=ids
    )
    done["contact_links"] = links.forget(connection, keys)
    done["number_changes"] = _run(
        connection,
        "DELETE FROM number_changes WHERE old_contact = ANY(:keys) OR new_contact = ANY(:keys)",
        keys=keys,
    )
    done["clock_repairs"] = _run(
        connection,
        "DELETE FROM clock_repairs WHERE message_id = ANY(:ids) OR participant = ANY(:keys)",
        ids=ids,
        keys=keys,
    )
    done["audit"] = _run(
        connection,
        "UPDATE audit SET contact = '' WHERE contact = ANY(:keys) AND contact <> ''",
        keys=keys,
    )
    done["quarantine"] = _delete_shown(connection, traces)
    for name in _JSON:
        (column,) = HOLDS[name]
        done[name] = _blank_json(connection, name, column, traces)
    return done


def take_out_changes(connection: Connection, traces: Traces) -> int:
    """Delete the person's lines of the change feed, after the line that says somebody was erased."""
    return _run(
        connection, "DELETE FROM suppression_changes WHERE contact = ANY(:keys)", keys=list(traces.keys)
    )


def _anonymise(
    connection: Connection, name: str, traces: Traces, tokens: dict[str, str], now: datetime
) -> int:
    """Out and in again: where tables are spread over nodes, the id decides on which, and cannot be changed."""
    taken = f"DELETE FROM {name} WHERE {_TAKE[name]} RETURNING *"
    rows = connection.execute(text(taken), {"keys": list(traces.keys), "ids": list(tokens)}).mappings().all()
    if not rows:
        return 0
    table: Table = schema.metadata.tables[name]
    blank = {column: value for column, value in _BLANK.items() if column in table.c}
    changed = []
    for row in rows:
        new = dict(row) | blank | {"message_id": tokens.get(row["message_id"], row["message_id"])}
        new |= {each: traces.redacted(row[each]) for each in _BLANK_WHERE_SHOWN if each in table.c}
        if row.get("participant"):
            new["participant"] = f"{ERASED}:{token_hex(16)}"
        if "considered_at" in table.c:
            new["considered_at"] = row["considered_at"] or now
        changed.append(new)
    connection.execute(table.insert(), changed)
    return len(changed)


def _delete_shown(connection: Connection, traces: Traces) -> int:
    """Whole items go from the quarantine: nothing of them is counted but in the books."""
    found: list[int] = []
    wanted = (
        "SELECT ctid::text AS place, id, reason, item, document, body FROM quarantine"
        " WHERE ctid > CAST(:after AS tid) ORDER BY ctid LIMIT :limit"
    )
    for row in _pages(connection, wanted):
        body = (row.body or b"").decode("utf-8", "replace")
        if traces.in_text(row.reason) or any(map(traces.in_json, (row.item or "", row.document, body))):
            found.append(row.id)
    return _run(connection, "DELETE FROM quarantine WHERE id = ANY(:ids)", ids=found)


def _delete_shown_errors(connection: Connection, traces: Traces) -> int:
    """Texts of errors that name the person, and the same texts at failures of others."""
    wanted = (
        "SELECT ctid::text AS place, id, title, details FROM failure_errors"
        " WHERE ctid > CAST(:after AS tid) ORDER BY ctid LIMIT :limit"
    )
    found = [
        row.id
        for row in _pages(connection, wanted)
        if traces.in_text(row.title) or traces.in_text(row.details)
    ]
    if found:
        _blank_failures(connection, traces, found)
    return _run(connection, "DELETE FROM failure_errors WHERE id = ANY(:ids)", ids=found)


def _blank_failures(connection: Connection, traces: Traces, error_ids: list[int]) -> None:
    """A trigger labels them anew."""
    table = schema.metadata.tables["failures"]
    wanted = (
        "SELECT tableoid::regclass::text AS part, ctid::text AS place, title, details, errors FROM failures"
    )
    rows = (
        connection.execute(text(f"{wanted} WHERE error_id = ANY(:ids)"), {"ids": error_ids}).mappings().all()
    )
    for row in rows:
        shown = {name: traces.redacted(row[name]) for name in ("title", "details", "errors")}
        update = text(
            f"UPDATE {row['part']} SET title = :title, details = :details, errors = :errors"
            " WHERE ctid = CAST(:place AS tid)"
        ).bindparams(bindparam("errors", type_=table.c.errors.type))
        connection.execute(update, shown | {"place": row["place"]})


def _blank_json(connection: Connection, name: str, column: str, traces: Traces) -> int:
    wanted = (
        f"SELECT ctid::text AS place, {column} AS held, {column}::text AS json FROM {name}"
        " WHERE ctid > CAST(:after AS tid) ORDER BY ctid LIMIT :limit"
    )
    changed = [
        {"place": row.place, "held": traces.redacted(row.held)}
        for row in _pages(connection, wanted)
        if traces.in_json(row.json)
    ]
    if changed:
        update = text(f"UPDATE {name} SET {column} = :held WHERE ctid = CAST(:place AS tid)")
        connection.execute(update.bindparams(bindparam("held", type_=JSONB)), changed)
    return len(changed)


def _pages(connection: Connection, wanted: str) -> Iterable[Any]:
    after = "(0,0)"
    while rows := connection.execute(text(wanted), {"after": after, "limit": _PAGE}).all():
        yield from rows
        after = rows[-1].place


def _run(connection: Connection, statement: str, **values: object) -> int:
    return int(connection.execute(text(statement), values).rowcount)
