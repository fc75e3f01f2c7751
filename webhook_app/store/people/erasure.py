"""Erases a person from every table. Counts stay correct: events are anonymised, not deleted.

`HOLDS` lists every column that can identify a person, and free_text.SEARCHED those that people write; a test compares
both with the schema.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.rules.suppressions.consent import ConsentStatement, Source
from webhook_app.store.people import links
from webhook_app.store.postgres.compression import unpack, unpacked_size
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.people.traces import Traces

HOLDS: dict[str, frozenset[str]] = {
    # Rows are anonymised: rates, recounts and funnels must not change.
    "status_events": frozenset(("message_id", "contact", "participant", "callback_data")),
    "settled_messages": frozenset(("message_id", "contact", "callback_data")),
    "failures": frozenset(
        ("message_id", "contact", "participant", "title", "details", "errors", "fbtrace_id")
    ),
    "messages": frozenset(("message_id", "contact")),
    "failed_messages": frozenset(("message_id",)),
    "sends": frozenset(
        (
            *("message_id", "contact", "given", "template", "campaign", "category"),
            *("fbtrace_id", "error", "request"),
            "endpoint",
        )
    ),
    "stage_recounts": frozenset(("message_id",)),
    # Rows are deleted.
    "retries": frozenset(("message_id", "contact", "first_message_id", "sent_message_id", "claim")),
    "inbound_messages": frozenset(("message_id", "contact")),
    "service_windows": frozenset(("contact",)),
    "handovers": frozenset(("contact",)),
    "preferences": frozenset(("contact",)),
    "opt_ins": frozenset(("contact", "note", "channel")),
    "number_changes": frozenset(("old_contact", "new_contact", "message_id")),
    "contact_links": frozenset(("user_id", "contact")),
    "successes": frozenset(("contact", "message_id")),
    "unapplied_links": frozenset(("contact",)),
    "clock_repairs": frozenset(("message_id", "participant")),
    "backtest_people": frozenset(("contact",)),
    "suppressions": frozenset(("contact", "evidence", "seen_as", "note")),
    "suppression_changes": frozenset(("contact", "evidence", "note", "seen_as")),
    "failure_errors": frozenset(("title", "details")),
    "quarantine": frozenset(("reason", "item", "body", "document")),
    # The action stays, without the person it was about.
    "audit": frozenset(("contact",)),
    # Alerts and signals keep everything but the ids of the person's messages.
    "alerts": frozenset(("explanation",)),
    "notifications": frozenset(("payload",)),
    "health_signals": frozenset(("payload",)),
    "health_changes": frozenset(("detail",)),
    # pipeline/people/erase_archive rewrites bodies without the person's items.
    "deliveries": frozenset(("body",)),
    "erasures": frozenset(("keys", "message_ids")),  # until the archive is processed
}

_BY_CONTACT = (
    "service_windows",
    "handovers",
    "opt_ins",
    "successes",
    "unapplied_links",
    "backtest_people",
    "retries",
)
_BY_CHANGES = ("suppressions", "suppression_changes")
_STATEMENTS: tuple[tuple[str, Source, str], ...] = (
    ("inbound_messages", "chat", "keyword"),
    ("preferences", "settings", "value"),
)
_PAGE = 500
_SEARCHED_TOGETHER = 50
"""Rows with texts. A few hundred may take seconds, and the server ends a transaction that is idle for long."""
_PAGE_BYTES = 2**20
_QUARANTINE_PAGE = text("""
SELECT id, reason, json, coalesce(body, '') FROM (
  SELECT id, reason, CASE document WHEN '' THEN coalesce(item, '') ELSE document END AS json, body,
         row_number() OVER w AS place,
         sum(octet_length(document) + coalesce(octet_length(item), 0) + coalesce(octet_length(body), 0)) OVER w AS bytes
  FROM (SELECT * FROM quarantine WHERE id > :after ORDER BY id LIMIT :limit) AS q
  WINDOW w AS (ORDER BY id)
) AS page WHERE place = 1 OR bytes <= :most ORDER BY id
""")


class TakenStatement(Struct, frozen=True):
    """A statement for or against messages that was deleted. `is_new`: it was not applied yet."""

    phone_number_id: str
    statement: ConsentStatement
    is_new: bool


def take_out(connection: Connection, traces: Traces) -> Counter[str]:
    """Delete the person's other rows; returns the number of changed rows by table.

    The messages are taken out before, see erased_messages, then statements and suppressions, and what people wrote
    after it, see free_text; of the quarantine see quarantine_page.
    """
    keys = list(traces.keys)
    done: Counter[str] = Counter()
    done["failure_errors"] = _delete_shown_errors(connection, traces)
    for name in _BY_CONTACT:
        done[name] += _run(connection, f"DELETE FROM {name} WHERE contact = ANY(:keys)", keys=keys)
    done["contact_links"] = links.forget(connection, keys)
    done["number_changes"] = _run(
        connection,
        "DELETE FROM number_changes WHERE old_contact = ANY(:keys) OR new_contact = ANY(:keys)",
        keys=keys,
    )
    done["clock_repairs"] += _run(
        connection, "DELETE FROM clock_repairs WHERE participant = ANY(:keys)", keys=keys
    )
    done["audit"] = _run(
        connection,
        "UPDATE audit SET contact = '' WHERE contact = ANY(:keys) AND contact <> ''",
        keys=keys,
    )
    return done


def take_out_statements(connection: Connection, traces: Traces) -> tuple[Counter[str], list[TakenStatement]]:
    """Delete what the person wrote and chose; returns the number of rows by table, and what it says of consent."""
    done: Counter[str] = Counter()
    taken = []
    for name, source, kind in _STATEMENTS:
        delete = f"""DELETE FROM {name} WHERE contact = ANY(:keys)
          RETURNING phone_number_id, occurred_at, {kind} AS kind, considered_at IS NULL AS is_new"""
        rows = connection.execute(text(delete), {"keys": list(traces.keys)}).all()
        done[name] = len(rows)
        taken += [
            TakenStatement(
                row.phone_number_id, ConsentStatement(row.occurred_at, row.kind, source=source), row.is_new
            )
            for row in rows
            if row.kind
        ]
    return done, taken


def take_out_suppressions(connection: Connection, traces: Traces) -> Counter[str]:
    """Delete the person's suppressions and their changes, under the lock of changes; returns the rows by table."""
    keys = list(traces.keys)
    return Counter(
        {
            name: _run(connection, f"DELETE FROM {name} WHERE contact = ANY(:keys)", keys=keys)
            for name in _BY_CHANGES
        }
    )


class QuarantinedText(NamedTuple):
    """What an entry of the quarantine shows: a webhook with its item, or an item without one, and a stored body."""

    id: int
    reason: str
    json: str
    body: bytes

    @property
    def size(self) -> int:
        """About how much has to be searched."""
        return len(self.json) + unpacked_size(self.body)

    def names(self, traces: Traces) -> bool:
        """Whether it identifies the person."""
        if traces.in_text(self.reason) or traces.in_json(self.json):
            return True
        return traces.in_json(unpack(self.body).decode("utf-8", "replace"))


def quarantine_page(connection: Connection, after: int) -> list[QuarantinedText]:
    """The next entries of the quarantine after this id: one, or more that have _PAGE_BYTES together as stored."""
    values = {"after": after, "limit": _PAGE, "most": _PAGE_BYTES}
    return [QuarantinedText(*row) for row in connection.execute(_QUARANTINE_PAGE, values)]


def delete_quarantined(connection: Connection, ids: Sequence[int]) -> int:
    """Delete whole entries from the quarantine, which only the books count."""
    return _run(connection, "DELETE FROM quarantine WHERE id = ANY(:ids)", ids=list(ids))


def _delete_shown_errors(connection: Connection, traces: Traces) -> int:
    """Delete error texts that name the person, and blank them in the failures that have them."""
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
    """Blank the person in the failures with these errors; a trigger then assigns their new errors."""
    wanted = (
        "SELECT tableoid::regclass::text AS part, ctid::text AS place, title, details, errors FROM failures"
    )
    rows = connection.execute(
        text(f"{wanted} WHERE error_id = ANY(:ids)"),
        {"ids": error_ids},
        execution_options={"stream_results": True, "max_row_buffer": _SEARCHED_TOGETHER},
    ).mappings()
    for row in rows:
        shown = {name: traces.redacted(row[name]) for name in ("title", "details", "errors")}
        update = text(
            f"UPDATE {row['part']} SET title = :title, details = :details, errors = :errors"
            " WHERE ctid = CAST(:place AS tid)"
        ).bindparams(bindparam("errors", type_=JSONB(none_as_null=True)))
        connection.execute(update, shown | {"place": row["place"]})


def _pages(connection: Connection, wanted: str) -> Iterable[Any]:
    after = "(0,0)"
    while rows := connection.execute(text(wanted), {"after": after, "limit": _SEARCHED_TOGETHER}).all():
        yield from rows
        after = rows[-1].place


def _run(connection: Connection, statement: str, **values: object) -> int:
    return int(connection.execute(text(statement), values).rowcount)
