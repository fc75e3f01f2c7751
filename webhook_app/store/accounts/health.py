"""Reads accounts, numbers and templates: their names, the reported changes of their health, and their errors.

rules/accounts/health_states.py decides the current state.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.accounts.health_states import ReportedHealth
from webhook_app.store.postgres.engine import Connection

Place = tuple[str, str]
"""A subject and its id: the position of a page of subjects."""
ChangePlace = tuple[datetime, str, str, str, str]
"""Time, subject, id, aspect and value of a change: the position of a page of the history."""

MOST_REPORTS = 100
"""Reports of an aspect that are read: a state is the latest of them, and its start is among them."""


class HealthFilters(Struct, frozen=True, kw_only=True):
    """Which subjects to find; '' matches all. A template is found by its id or its name."""

    phone_number_id: str = ""
    waba_id: str = ""
    template: str = ""


class Subject(Struct, frozen=True, kw_only=True):
    """An account, number or template with its names, as far as webhooks reported them."""

    subject: str
    subject_id: str
    waba_id: str
    phone_number_id: str
    name: str
    language: str
    keys: list[str]
    """The ids of its changes: webhooks identify a number by its digits or by Meta's id."""


class HealthError(Struct, frozen=True, kw_only=True):
    """Errors of one code on a business number that belong to no message."""

    phone_number_id: str
    error_code: int
    count: int
    first_at: datetime
    last_at: datetime


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One reported change."""

    subject: str
    subject_id: str
    waba_id: str
    phone_number_id: str
    name: str
    language: str
    aspect: str
    value: str
    detail: dict[str, Any]
    occurred_at: datetime
    received_at: datetime


_NAMED = """
WITH named AS (  -- the number of each of Meta's ids
  SELECT phone_number_id, waba_id, seen_at,
         CASE display_phone_number WHEN '' THEN phone_number_id ELSE '+' || display_phone_number END AS subject_id
  FROM business_numbers
), reported AS (
  SELECT c.*, coalesce(n.subject_id, c.subject_id) AS id, coalesce(n.phone_number_id, '') AS phone_number_id
  FROM health_changes c
  LEFT JOIN (SELECT DISTINCT ON (phone_number_id) phone_number_id, subject_id FROM named
             ORDER BY phone_number_id, seen_at DESC, subject_id DESC) n
    ON c.subject = 'number' AND n.phone_number_id = c.subject_id
), seen AS (
  SELECT 'account' AS subject, waba_id AS subject_id, waba_id, '' AS phone_number_id, '' AS name, '' AS language,
         seen_at AS at, waba_id AS key
  FROM business_numbers WHERE waba_id <> ''
  UNION ALL
  SELECT 'number', subject_id, waba_id, phone_number_id, '', '', seen_at, phone_number_id FROM named
  UNION ALL
  SELECT subject, id, waba_id, phone_number_id, name, language, occurred_at, subject_id FROM reported
), subjects AS (  -- the newest value of each name; an unknown name is empty
  SELECT subject, subject_id,
         coalesce((array_agg(waba_id ORDER BY at DESC, waba_id DESC) FILTER (WHERE waba_id <> ''))[1], '') AS waba_id,
         coalesce((array_agg(phone_number_id ORDER BY at DESC, phone_number_id DESC)
                   FILTER (WHERE phone_number_id <> ''))[1], '') AS phone_number_id,
         coalesce((array_agg(name ORDER BY at DESC, name DESC) FILTER (WHERE name <> ''))[1], '') AS name,
         coalesce((array_agg(language ORDER BY at DESC, language DESC) FILTER (WHERE language <> ''))[1], '')
           AS language,
         array_agg(DISTINCT key) || subject_id AS keys
  FROM seen GROUP BY subject, subject_id
), wanted AS (
  SELECT * FROM subjects
  WHERE (:waba_id = '' OR waba_id = :waba_id)
    AND (:phone_number_id = '' OR (subject = 'number' AND :phone_number_id = ANY (keys)))
    AND (:template = '' OR (subject = 'template' AND :template IN (subject_id, name)))
)
"""
_SUBJECTS = text(
    _NAMED
    + """
SELECT subject, subject_id, waba_id, phone_number_id, name, language, keys FROM wanted
WHERE (subject, subject_id) > (:subject, :subject_id) ORDER BY subject, subject_id LIMIT :limit
"""
)
_HISTORY = (
    _NAMED
    + """
SELECT w.subject, w.subject_id, w.waba_id, w.phone_number_id, w.name, w.language, t.aspect, t.value, t.detail,
       t.occurred_at, t.received_at
FROM reported t JOIN wanted w ON (w.subject, w.subject_id) = (t.subject, t.id)
{before}
ORDER BY t.occurred_at DESC, t.subject DESC, t.id DESC, t.aspect DESC, t.value DESC LIMIT :limit
"""
)
_BEFORE = """WHERE (t.occurred_at, t.subject, t.id, t.aspect, t.value)
  < (CAST(:at AS timestamptz), :subject, :subject_id, :aspect, :value)"""
_REPORTED = text("""
SELECT subject, subject_id, aspect, value, detail, occurred_at
FROM (SELECT c.*, row_number() OVER (PARTITION BY subject, subject_id, aspect
                                     ORDER BY occurred_at DESC, value DESC) AS place
      FROM unnest(CAST(:subjects AS text[]), CAST(:ids AS text[])) AS w(subject, subject_id)
      JOIN health_changes c USING (subject, subject_id)) ranked
WHERE place <= :most
""")
_ACCOUNT_IDS = text("""
SELECT waba_id FROM business_numbers WHERE waba_id ~ '^[0-9]{5,32}$'
GROUP BY waba_id ORDER BY max(seen_at) DESC, waba_id
""")
_ERRORS = text("""
SELECT phone_number_id, error_code, count(*) AS count, min(occurred_at) AS first_at, max(occurred_at) AS last_at
FROM health_signals
WHERE field = 'errors' AND phone_number_id = ANY (:phone_number_ids) AND occurred_at >= :since
GROUP BY phone_number_id, error_code ORDER BY phone_number_id, last_at DESC, error_code
""")


def subjects(
    connection: Connection, wanted: HealthFilters, limit: int, after: Place = ("", "")
) -> list[Subject]:
    """A page of accounts, then numbers, then templates, each by id."""
    values = _values(wanted) | {"subject": after[0], "subject_id": after[1], "limit": limit}
    return [Subject(**row) for row in connection.execute(_SUBJECTS, values).mappings()]


def reported_health(connection: Connection, of: Sequence[Subject]) -> Mapping[Place, list[ReportedHealth]]:
    """The latest reports of each aspect of these subjects, at most MOST_REPORTS."""
    owners = {(each.subject, key): (each.subject, each.subject_id) for each in of for key in each.keys}
    found: dict[Place, list[ReportedHealth]] = {(each.subject, each.subject_id): [] for each in of}
    values = {
        "subjects": [subject for subject, _ in owners],
        "ids": [key for _, key in owners],
        "most": MOST_REPORTS,
    }
    for row in connection.execute(_REPORTED, values):
        report = ReportedHealth(
            aspect=row.aspect, value=row.value, detail=row.detail, occurred_at=row.occurred_at
        )
        found[owners[row.subject, row.subject_id]].append(report)
    return found


def errors_of(connection: Connection, phone_number_ids: Sequence[str], since: datetime) -> list[HealthError]:
    """Errors without a message on these numbers since then, by number and code, the latest first."""
    values = {"phone_number_ids": list(phone_number_ids), "since": since}
    return [HealthError(**row) for row in connection.execute(_ERRORS, values).mappings()]


def history(
    connection: Connection, wanted: HealthFilters, limit: int, before: ChangePlace | None = None
) -> list[HistoryEntry]:
    """A page of the reported changes, newest first."""
    values = _values(wanted) | {"limit": limit}
    if before is not None:
        values |= dict(zip(("at", "subject", "subject_id", "aspect", "value"), before, strict=True))
    statement = text(_HISTORY.format(before=_BEFORE if before else ""))
    return [HistoryEntry(**row) for row in connection.execute(statement, values).mappings()]


def account_ids(connection: Connection) -> list[str]:
    """The ids of all accounts that webhooks came from, those with the newest numbers first."""
    return list(connection.execute(_ACCOUNT_IDS).scalars())


def _values(wanted: HealthFilters) -> dict[str, Any]:
    return {
        "phone_number_id": wanted.phone_number_id,
        "waba_id": wanted.waba_id,
        "template": wanted.template,
    }
