"""Erases a person from texts that senders and operators wrote: templates, campaigns, notes, channels, silences, alerts.

The rows are about something else and stay; a text that names the person is replaced as a whole. A template, campaign
or channel gets one replacement everywhere, so that rows stay distinct and alerts keep their group.
"""

from collections.abc import Iterable, Mapping, Sequence
from secrets import token_hex
from typing import Any

from msgspec import json
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.normal_form import JOINED, LONG_RUN
from webhook_app.whatsapp.people.traces import ERASED, Traces

_RUNS = {"runs": LONG_RUN, "joined": JOINED}

SEARCHED: dict[str, tuple[str, ...]] = {
    "alerts": ("explanation", "group", "group_key"),
    "audit": ("object",),
    "channel_messages": ("reference",),
    "backtests": ("rules", "result", "fault"),
    "findings": ("key", "title", "slice", "impact", "evidence", "advice"),
    "health_changes": ("detail",),
    "health_signals": ("payload",),
    "incidents": ("title", "names", "slice", "details", "advice"),
    "notification_tries": ("error",),
    "notifications": ("payload", "last_error"),
    "opt_ins": ("channel", "note"),
    "rule_evaluations": ("nearest", "seen"),
    "silences": ("matchers", "comment", "author", "ended_by"),
    "suppression_changes": ("note", "evidence"),
    "suppressions": ("note", "evidence"),
}
"""Columns by table. series and the sends of its templates and campaigns are searched as well."""

NOT_SEARCHED = (
    "callback data, requests and error objects of messages to other contacts",
    "templates and campaigns of reported sends to other contacts that no webhook or failure has used",
    "phone number ids of reported calls, their events and series, in which a sender may have put a contact's number",
    "numbers written without their country code",
)
"""Where a person may still be named: too large to search for one person, or impossible to recognise."""

_JSON_COLUMNS = frozenset(
    (
        *("explanation", "group", "result", "detail", "payload", "names", "slice", "details", "nearest"),
        *("matchers", "evidence", "impact"),
    )
)
_LARGE = frozenset(("health_signals", "opt_ins", "suppressions", "suppression_changes"))
"""The database matches their texts, not the process."""
_PAGE = 50  # a few hundred may take seconds to search: the server ends a transaction that is idle for long


def erase_free_text(connection: Connection, traces: Traces) -> dict[str, int]:
    """Erase the person from all these texts; returns the number of changed rows by table. Reads whole tables."""
    connection.execute(text("SET LOCAL statement_timeout = '10min'"))
    names = _rename_series(connection, traces)
    done = {"series": len(names.series), "sends": _rename_sends(connection, names.by_text)}
    for table, columns in SEARCHED.items():
        done[table] = _erase(connection, table, columns, traces, names.by_text)
    return done


class _Names:
    """The series that named the person, and the replacement of each of their texts."""

    def __init__(self) -> None:
        self.series: set[int] = set()
        self.by_text: dict[str, str] = {}


def _rename_series(connection: Connection, traces: Traces) -> _Names:
    names = _Names()
    found = text(
        "SELECT id, template, campaign FROM series"
        f" WHERE {_normal_form('template')} ~ :pattern OR {_normal_form('campaign')} ~ :pattern"
    )
    for row in connection.execute(found, {"pattern": traces.pattern, **_RUNS}).all():
        changed = {
            column: names.by_text.setdefault(value, f"{ERASED}:{token_hex(16)}")
            if traces.in_text(value)
            else value
            for column, value in (("template", row.template), ("campaign", row.campaign))
        }
        if changed == {"template": row.template, "campaign": row.campaign}:
            continue
        update = text("UPDATE series SET template = :template, campaign = :campaign WHERE id = :id")
        connection.execute(update, changed | {"id": row.id})
        names.series.add(row.id)
    return names


def _rename_sends(connection: Connection, by_text: Mapping[str, str]) -> int:
    if not by_text:
        return 0
    changed = 0
    for column in ("template", "campaign"):
        update = text(
            f"UPDATE sends SET {column} = n.new FROM unnest(CAST(:old AS text[]), CAST(:new AS text[])) AS n(old, new)"
            f" WHERE {column} = n.old"
        )
        values = {"old": list(by_text), "new": list(by_text.values())}
        changed += connection.execute(update, values).rowcount
    return changed


def _erase(
    connection: Connection, table: str, columns: tuple[str, ...], traces: Traces, by_text: dict[str, str]
) -> int:
    assigned = ", ".join(f'"{column}" = :{column}' for column in columns)
    as_json = [bindparam(name, type_=JSONB(none_as_null=True)) for name in columns if name in _JSON_COLUMNS]
    update = text(f"UPDATE {table} SET {assigned} WHERE ctid = CAST(:place AS tid)").bindparams(*as_json)
    done = 0
    for rows in _pages(connection, table, columns, traces):
        changed = []
        for row in rows:
            stored = dict(zip(columns, row[1:], strict=True))
            new = {column: _without(column, value, traces, by_text) for column, value in stored.items()}
            if new != stored:
                changed.append(new | {"place": row.place})
        if changed:
            connection.execute(update, changed)
        done += len(changed)
    return done


def _without(column: str, value: Any, traces: Traces, by_text: dict[str, str]) -> Any:
    if column == "channel" and traces.in_text(value):  # part of a key: one replacement for each text
        return by_text.setdefault(value, f"{ERASED}:{token_hex(16)}")
    if column == "group_key" or (column in ("key", "reference") and value.startswith("{")):
        stored = json.decode(value)
        replaced = _replaced(stored, traces, by_text)
        if replaced == stored:
            return value
        return json.encode(replaced, order=None if column == "reference" else "sorted").decode()
    return _replaced(value, traces, by_text)


def _replaced(value: Any, traces: Traces, by_text: Mapping[str, str]) -> Any:
    if type(value) is str:
        return by_text.get(value) or traces.redacted(value)
    if type(value) is list:
        return [_replaced(item, traces, by_text) for item in value]
    if type(value) is dict:
        return {key: _replaced(item, traces, by_text) for key, item in value.items()}
    return traces.redacted(value)


def _normal_form(value: str) -> str:
    """SQL: a text in NFKC as whatsapp/normal_form.py has it. Without 31 bytes of other letters it has no long run."""
    separated = f"regexp_replace({value}, :runs, :joined, 'g')"
    return f"normalize(CASE WHEN octet_length({value}) - length({value}) > 30 THEN {separated} ELSE {value} END, NFKC)"


def _pages(
    connection: Connection, table: str, columns: tuple[str, ...], traces: Traces
) -> Iterable[Sequence[Any]]:
    chosen = ", ".join(f'"{column}"' for column in columns)
    texts = [_normal_form(f'"{column}"::text') for column in columns]
    shown = " OR ".join(f"{each} ~ :pattern" for each in texts)
    condition = f" AND ({shown})" if table in _LARGE else ""
    page = text(
        f"SELECT ctid::text AS place, {chosen} FROM {table} WHERE ctid > CAST(:after AS tid){condition}"
        " ORDER BY ctid LIMIT :limit"
    )
    values = {"after": "(0,0)", "limit": _PAGE} | ({"pattern": traces.pattern, **_RUNS} if condition else {})
    while rows := connection.execute(page, values).all():
        yield rows
        values["after"] = rows[-1].place
