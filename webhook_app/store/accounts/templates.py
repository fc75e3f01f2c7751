"""Message templates: as the Graph API described them, the changes since, and when each account's were read.

A state that a webhook reported after the reading, or just before it, counts instead of the read one. A template that
Meta no longer lists is kept as DELETED.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import RowMapping, text

from webhook_app.rules.accounts.doctor_check import TemplateGroup
from webhook_app.rules.accounts.template_changes import Key, ReportedState, TemplateChange, TemplateReport
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.accounts.template_answers import TemplateFacts, TemplatePart, count_parameters

Place = tuple[str, str, str]
"""Account, name and language: the position of a page of templates."""
ChangePlace = tuple[datetime, str, str, str, str]
"""Time, account, name, language and aspect: the position of a page of changes."""

MOST_REPORTS = 500
"""States of an account's templates that one reading reports to the rules."""


class StoredTemplate(TemplateFacts, frozen=True, kw_only=True):
    """A template with its present state. `changed_at`: when a reading found it different."""

    first_read_at: datetime
    changed_at: datetime
    read_at: datetime | None
    """When all templates of its account were read last."""


class TemplateFilters(Struct, frozen=True, kw_only=True):
    """Which templates to find; '' matches all."""

    waba_id: str = ""
    name: str = ""
    language: str = ""
    status: str = ""


class StoredChange(TemplateChange, frozen=True, kw_only=True):
    """A change of a template, and when a reading found it."""

    waba_id: str
    changed_at: datetime


class TemplateReading(Struct, frozen=True):
    """When all templates of an account were read last, and how many there were."""

    read_at: datetime
    templates: int


_FACTS = TemplateFacts.__struct_fields__
_STATES = ("status", "category", "quality", "category_to_come")
_COLUMNS = (*_FACTS, "parameters", "first_read_at", "changed_at")
_SAVE = text(f"""
INSERT INTO meta_templates AS t ({", ".join(_COLUMNS)})
SELECT :waba_id, i.name, i.language, i.template_id, i.status, i.category, i.category_to_come, i.quality,
       i.rejected_reason, i.is_named, i.parts, i.parameters, :now, :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS i(name text, language text, template_id text, status text,
  category text, category_to_come text, quality text, rejected_reason text, is_named boolean, parts jsonb,
  parameters bigint)
ON CONFLICT (waba_id, name, language) DO UPDATE SET
  {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[3:] if name != "first_read_at")}
""")
_SAVE_CHANGES = text("""
INSERT INTO template_changes (waba_id, name, language, changed_at, aspect, before, value)
SELECT :waba_id, i.name, i.language, :now, i.aspect, i.before, i.value
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS i(name text, language text, aspect text, before text, value text)
ON CONFLICT DO NOTHING
""")
_SAVE_REPORTS = text("""
INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, detail, waba_id, name, language,
                            received_at, new_at)
SELECT 'template', i.subject_id, i.aspect, :now, i.value, i.detail, :waba_id, i.name, i.language, now(),
       CASE WHEN i.is_new THEN now() END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS i(subject_id text, aspect text, value text, detail jsonb, name text,
  language text, is_new boolean)
ON CONFLICT DO NOTHING
""")
_SAVE_READING = text("""
INSERT INTO template_readings (waba_id, read_at, templates) VALUES (:waba_id, :now, :templates)
ON CONFLICT (waba_id) DO UPDATE SET read_at = excluded.read_at, templates = excluded.templates
""")
_KNOWN = text(f"SELECT {', '.join(_FACTS)} FROM meta_templates WHERE waba_id = :waba_id")
_REPORTED = text("""
SELECT DISTINCT ON (subject_id, aspect) subject_id, aspect, value, occurred_at
FROM health_changes WHERE subject = 'template' AND waba_id = :waba_id AND aspect = ANY(:aspects)
ORDER BY subject_id, aspect, occurred_at DESC, value DESC
""")
_READINGS = text("SELECT waba_id, read_at, templates FROM template_readings")
_GROUPS = text("""
SELECT status, count(*) AS templates, count(*) FILTER (WHERE quality = 'RED') AS low_quality,
       (array_agg(name ORDER BY changed_at DESC, name))[1:3] AS names
FROM meta_templates WHERE waba_id = :waba_id AND status <> 'DELETED' GROUP BY status ORDER BY templates DESC, status
""")
_REPORTED_SINCE = """
(SELECT c.value FROM health_changes c
 WHERE c.subject = 'template' AND c.subject_id IN (t.template_id, t.name || '/' || t.language)
   AND c.subject_id <> '' AND c.aspect = '{aspect}' AND c.occurred_at > r.read_at - interval '10 minutes'
 ORDER BY c.occurred_at DESC, c.value DESC LIMIT 1)"""
PRESENT_STATUS = f"coalesce({_REPORTED_SINCE.format(aspect='status')}, t.status)"
PRESENT = ", ".join(
    f"coalesce({_REPORTED_SINCE.format(aspect=name)}, t.{name}) AS {name}" if name in _STATES else f"t.{name}"
    for name in (*_FACTS, "first_read_at", "changed_at")
)
"""The columns of template `t` in its present state, with `r` the latest reading of its account."""
_LIST = text(f"""
SELECT * FROM (
  SELECT {PRESENT}, r.read_at FROM meta_templates t LEFT JOIN template_readings r USING (waba_id)
  WHERE (t.waba_id, t.name, t.language) > (:waba, :after_name, :after_language)
    AND (:waba_id = '' OR t.waba_id = :waba_id) AND (:name = '' OR t.name = :name)
    AND (:language = '' OR t.language = :language)
  ORDER BY t.waba_id, t.name, t.language) present
WHERE :status = '' OR status = :status LIMIT :limit
""")
_CHANGES = """
SELECT waba_id, name, language, changed_at, aspect, before, value FROM template_changes
WHERE (:waba_id = '' OR waba_id = :waba_id) AND (:name = '' OR name = :name)
  AND (:language = '' OR language = :language) {before}
ORDER BY changed_at DESC, waba_id DESC, name DESC, language DESC, aspect DESC LIMIT :limit
"""
_BEFORE = """AND (changed_at, waba_id, name, language, aspect)
  < (CAST(:at AS timestamptz), :waba, :after_name, :after_language, :after_aspect)"""


def readings(connection: Connection) -> dict[str, TemplateReading]:
    """The latest reading of each account."""
    return {row.waba_id: TemplateReading(row.read_at, row.templates) for row in connection.execute(_READINGS)}


def known(connection: Connection, waba_id: str) -> dict[Key, TemplateFacts]:
    """What the latest reading found of each template of an account."""
    rows = connection.execute(_KNOWN, {"waba_id": waba_id}).mappings()
    return {(row["name"], row["language"]): _facts(row, TemplateFacts) for row in rows}


def reported(connection: Connection, waba_id: str) -> dict[str, dict[str, ReportedState]]:
    """The latest states that were reported of an account's templates, by their id and aspect."""
    found: dict[str, dict[str, ReportedState]] = {}
    for row in connection.execute(_REPORTED, {"waba_id": waba_id, "aspects": list(_STATES)}):
        found.setdefault(row.subject_id, {})[row.aspect] = ReportedState(
            row.subject_id, row.value, row.occurred_at
        )
    return found


def save(
    connection: Connection,
    waba_id: str,
    changed: Iterable[TemplateFacts],
    changes: Sequence[TemplateChange],
    reports: Sequence[TemplateReport],
    now: datetime,
) -> None:
    """Store the templates that changed with their changes, and up to MOST_REPORTS states for the rules."""
    of = {"waba_id": waba_id, "now": now}
    rows = [msgspec.structs.asdict(each) | {"parameters": count_parameters(each.parts)} for each in changed]
    if rows:
        connection.execute(_SAVE, of | {"rows": _json(rows)})
    if changes:
        connection.execute(_SAVE_CHANGES, of | {"rows": _json(changes)})
    if reports:
        told = [
            msgspec.structs.asdict(each) | {"name": each.template.name, "language": each.template.language}
            for each in reports[:MOST_REPORTS]
        ]
        connection.execute(_SAVE_REPORTS, of | {"rows": _json(told)})


def save_reading(connection: Connection, waba_id: str, templates: int, now: datetime) -> None:
    """Store that all templates of an account were read."""
    connection.execute(_SAVE_READING, {"waba_id": waba_id, "now": now, "templates": templates})


def groups(connection: Connection, waba_id: str) -> list[TemplateGroup]:
    """The templates of an account by status, the most frequent first; without deleted ones."""
    return [TemplateGroup(**row) for row in connection.execute(_GROUPS, {"waba_id": waba_id}).mappings()]


def list_templates(
    connection: Connection, wanted: TemplateFilters, limit: int, after: Place = ("", "", "")
) -> list[StoredTemplate]:
    """A page of templates by account, name and language."""
    values = _values(wanted) | {"limit": limit, "status": wanted.status}
    values |= dict(zip(("waba", "after_name", "after_language"), after, strict=True))
    return [_facts(row, StoredTemplate) for row in connection.execute(_LIST, values).mappings()]


def list_changes(
    connection: Connection, wanted: TemplateFilters, limit: int, before: ChangePlace | None = None
) -> list[StoredChange]:
    """A page of changes, the newest first."""
    values = _values(wanted) | {"limit": limit}
    if before is not None:
        names = ("at", "waba", "after_name", "after_language", "after_aspect")
        values |= dict(zip(names, before, strict=True))
    rows = connection.execute(text(_CHANGES.format(before=_BEFORE if before else "")), values).mappings()
    return [StoredChange(**row) for row in rows]


def _values(wanted: TemplateFilters) -> dict[str, Any]:
    return {"waba_id": wanted.waba_id, "name": wanted.name, "language": wanted.language}


def _facts(row: RowMapping, kind: type[Any]) -> Any:
    return kind(**{**row, "parts": msgspec.convert(row["parts"], tuple[TemplatePart, ...])})


def _json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()
