"""Erases a person from messages: events, failures and reports stay without the person, under random ids.

Senders can report any number of messages of one contact. Each function takes a few hundred, so that others are served
in between, and webhooks about the messages do not wait for a long transaction.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.counts.messages import settled, stages
from webhook_app.store.counts.slots import CORRECTIONS_SLOT
from webhook_app.store.postgres.engine import Connection, driver
from webhook_app.whatsapp.people.traces import ERASED, Traces

FROM_WEBHOOK = """
(e.status <> 'failed' OR NOT EXISTS (SELECT FROM failures f WHERE f.message_id = e.message_id AND f.source = 'send'))
"""
"""SQL: whether the event e of status_events comes from a webhook. Of a failed one, failures have the webhook too."""
OF_OTHERS = """
(EXISTS (SELECT FROM status_events e WHERE keyed_hash(e.message_id) = keyed_hash(r.message_id)
           AND e.message_id = r.message_id AND e.contact <> '' AND e.contact <> ALL(:keys))
 OR EXISTS (SELECT FROM settled_messages m WHERE keyed_hash(m.message_id) = keyed_hash(r.message_id)
              AND m.message_id = r.message_id AND m.contact <> ALL(:keys))
 OR EXISTS (SELECT FROM failures f
            WHERE f.message_id = r.message_id AND f.contact <> '' AND f.contact <> ALL(:keys))
 OR EXISTS (SELECT FROM inbound_messages i WHERE i.message_id = r.message_id AND i.contact <> ALL(:keys)))
"""
"""SQL: whether the message r, which a report says was the person's, is shown as that of somebody else."""
# A status without a recipient is found by its message id, which contains the number.
_MESSAGE_IDS = text(f"""
SELECT message_id FROM status_events WHERE contact = '' AND participant = ''
  AND EXISTS (SELECT FROM unnest(CAST(:encoded AS text[])) AS e WHERE strpos(message_id, e) > 0)
UNION SELECT message_id FROM failures WHERE contact = '' AND participant = ''
  AND EXISTS (SELECT FROM unnest(CAST(:encoded AS text[])) AS e WHERE strpos(message_id, e) > 0)
UNION SELECT message_id FROM status_events e WHERE contact = ANY(:keys) AND participant = '' AND {FROM_WEBHOOK}
UNION SELECT message_id FROM failures WHERE contact = ANY(:keys) AND participant = '' AND source <> 'send'
UNION SELECT message_id FROM failures r
  WHERE contact = ANY(:keys) AND participant = '' AND source = 'send' AND NOT {OF_OTHERS}
UNION SELECT message_id FROM settled_messages WHERE contact = ANY(:keys)
UNION SELECT message_id FROM sends r WHERE contact = ANY(:keys)
  AND (EXISTS (SELECT FROM status_events e
               WHERE keyed_hash(e.message_id) = keyed_hash(r.message_id) AND e.message_id = r.message_id)
       OR EXISTS (SELECT FROM failures f WHERE f.message_id = r.message_id)
       OR EXISTS (SELECT FROM settled_messages m
                  WHERE keyed_hash(m.message_id) = keyed_hash(r.message_id) AND m.message_id = r.message_id))
  AND NOT {OF_OTHERS}
UNION SELECT message_id FROM inbound_messages WHERE contact = ANY(:keys)
UNION SELECT message_id FROM number_changes WHERE old_contact = ANY(:keys) OR new_contact = ANY(:keys)
""")
_WITHOUT_EVENTS = text("""
SELECT i FROM unnest(CAST(:ids AS text[])) AS i
WHERE NOT EXISTS (SELECT FROM status_events e WHERE keyed_hash(e.message_id) = keyed_hash(i) AND e.message_id = i)
  AND NOT EXISTS (SELECT FROM failures f WHERE f.message_id = i)
  AND NOT EXISTS (SELECT FROM settled_messages m WHERE keyed_hash(m.message_id) = keyed_hash(i) AND m.message_id = i)
""")
_OF_PERSON = "(contact = ANY(:keys) OR given <> '' AND given = ANY(:keys))"
_REPORTS = text(f"""
SELECT CAST(ctid AS text) FROM sends WHERE {_OF_PERSON} AND registered_at <= coalesce(:until, registered_at)
""").bindparams(bindparam("until", type_=DateTime(timezone=True)))
_BY_ID = {
    "status_events": "keyed_hash(message_id) = ANY(ARRAY(SELECT keyed_hash(i) FROM unnest("
    "CAST(:ids AS text[])) AS i)) AND message_id = ANY(:ids)",
    "failures": "message_id = ANY(:ids)",
    "messages": "message_id = ANY(:ids)",
    "failed_messages": "message_id = ANY(:ids)",
    "sends": "message_id = ANY(:ids)",
}
_IDS_OF_OTHERS = text("""
SELECT message_id FROM status_events WHERE contact = ANY(:keys)
UNION SELECT message_id FROM failures WHERE contact = ANY(:keys)
""")
_FORGET_RECIPIENT = text("""
UPDATE messages SET contact = '' WHERE message_id = ANY(:ids) AND contact = ANY(:keys)
""")
# A transaction that changes several messages locks them first, in this order.
_LOCK_MESSAGES = text("""
SELECT FROM messages WHERE message_id = ANY(:ids) ORDER BY message_id, phone_number_id FOR UPDATE
""")
_LOCK_REPORTS, _LOCK_PLACES = (
    text(f"SELECT FROM sends WHERE {of} ORDER BY message_id, phone_number_id, failed, error_code FOR UPDATE")
    for of in ("message_id = ANY(:ids)", "ctid = ANY(CAST(:places AS tid[]))")
)
_DELETED = ("retries", "clock_repairs")
_BLANK: dict[str, Any] = {
    "contact": "",
    "given": "",
    "callback_data": "",
    "fbtrace_id": "",
    "endpoint": "",
    "request": None,
}
_BLANK_WHERE_SHOWN = ("title", "details", "errors", "error", "template", "campaign", "category")
_JSON_COLUMNS = ("errors", "error", "request")
_JSON = JSONB(none_as_null=True)
AT_ONCE = 500
_IN_PARTS = {"stream_results": True, "max_row_buffer": AT_ONCE}


def message_ids(connection: Connection, traces: Traces) -> list[str]:
    """The ids of all messages to or from these keys that have events, except messages to groups."""
    values = {"keys": list(traces.keys), "encoded": list(traces.encoded)}
    return list(connection.execute(_MESSAGE_IDS, values, execution_options=_IN_PARTS).scalars())


def reports(connection: Connection, traces: Traces, until: datetime | None = None) -> list[str]:
    """The places of the reports of senders that name the person, registered by then (None: at any time)."""
    values = {"keys": list(traces.keys), "until": until}
    return list(connection.execute(_REPORTS, values, execution_options=_IN_PARTS).scalars())


def parts(ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield AT_ONCE of these at a time."""
    for begin in range(0, len(ids), AT_ONCE):
        yield list(ids[begin : begin + AT_ONCE])


def take_out(connection: Connection, ids: Sequence[str], traces: Traces, now: datetime) -> Counter[str]:
    """Anonymise these messages in every table; returns the number of changed rows by table."""
    done: Counter[str] = Counter()
    done["settled_messages"] = settled.restore(driver(connection), ids, slot=CORRECTIONS_SLOT)
    tokens = _tokens(ids)
    connection.execute(_LOCK_MESSAGES, {"ids": ids})
    connection.execute(_LOCK_REPORTS, {"ids": ids})
    for name, condition in _BY_ID.items():
        rows = _take(connection, name, condition, {"ids": ids})
        done[name] = _put_back(connection, name, rows, traces, tokens, now)
    done["stage_recounts"] = stages.rename_messages(connection, tokens)
    for name in _DELETED:
        deleted = connection.execute(text(f"DELETE FROM {name} WHERE message_id = ANY(:ids)"), {"ids": ids})
        done[name] = deleted.rowcount
    return done


def take_out_reports(connection: Connection, places: Sequence[str], traces: Traces, now: datetime) -> int:
    """Anonymise the reports in these places that name the person; returns how many.

    A report of another's message keeps its id.
    """
    condition = f"ctid = ANY(CAST(:places AS tid[])) AND {_OF_PERSON}"
    connection.execute(_LOCK_PLACES, {"places": places})
    rows = _take(connection, "sends", condition, {"places": places, "keys": list(traces.keys)})
    own = connection.execute(_WITHOUT_EVENTS, {"ids": [row["message_id"] for row in rows]}).scalars()
    return _put_back(connection, "sends", rows, traces, _tokens(own), now)


def ids_of_others(connection: Connection, traces: Traces) -> list[str]:
    """The ids of messages of others that name the person: to groups, or that a report alone says were theirs."""
    return list(
        connection.execute(_IDS_OF_OTHERS, {"keys": list(traces.keys)}, execution_options=_IN_PARTS).scalars()
    )


def take_out_others(
    connection: Connection, ids: Sequence[str], traces: Traces, now: datetime
) -> Counter[str]:
    """Anonymise the person in these messages of others, which keep their ids; returns the number of rows by table."""
    done: Counter[str] = Counter()
    values = {"ids": list(ids), "keys": list(traces.keys)}
    connection.execute(_LOCK_MESSAGES, values)
    for name in ("status_events", "failures"):
        rows = _take(connection, name, f"{_BY_ID[name]} AND contact = ANY(:keys)", values)
        done[name] = _put_back(connection, name, rows, traces, {}, now)
    done["messages"] = connection.execute(_FORGET_RECIPIENT, values).rowcount
    return done


def _tokens(ids: Iterable[str]) -> dict[str, str]:
    return {each: f"{ERASED}:{token_hex(16)}" for each in ids}


def _take(connection: Connection, name: str, condition: str, values: Mapping[str, object]) -> Sequence[Any]:
    """Delete rows and return them: in a distributed table the id decides on the node, and cannot be updated."""
    return (
        connection.execute(text(f"DELETE FROM {name} WHERE {condition} RETURNING *"), values).mappings().all()
    )


def _put_back(
    connection: Connection,
    name: str,
    rows: Sequence[Any],
    traces: Traces,
    tokens: Mapping[str, str],
    now: datetime,
) -> int:
    """Insert the rows without the person; returns how many."""
    if not rows:
        return 0
    columns = [str(name) for name in rows[0]]
    blank = {column: value for column, value in _BLANK.items() if column in columns}
    changed = []
    for row in rows:
        new = dict(row) | blank | {"message_id": tokens.get(row["message_id"], row["message_id"])}
        new |= {each: traces.redacted(row[each]) for each in _BLANK_WHERE_SHOWN if each in columns}
        if row.get("participant"):
            new["participant"] = f"{ERASED}:{token_hex(16)}"
        if "considered_at" in columns:
            new["considered_at"] = row["considered_at"] or now
        changed.append(new)
    values = ", ".join(f":{column}" for column in columns)
    inserted = text(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({values})")
    as_json = [bindparam(column, type_=_JSON) for column in _JSON_COLUMNS if column in columns]
    connection.execute(inserted.bindparams(*as_json), changed)
    return len(changed)
