"""Counts the messages and contacts that an incident affects, and returns sample messages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from webhook_app.store.counts.series import groups_sql
from webhook_app.store.postgres.engine import Connection


class IncidentImpact(Struct, frozen=True):
    """The distinct failed messages and contacts of an incident, its first failure, and where it fails.

    `is_partial`: there are more than MAX_FAILURES failures, and only the first ones are counted.
    """

    messages: int
    contacts: int
    first_at: datetime | None
    by_code: dict[int, int]
    numbers: list[str]
    templates: list[str]
    """Business numbers and templates, most failures first."""
    is_partial: bool
    reported: int = 0
    """Messages whose failure only reports of senders show: beside the others, which webhooks show, or all of them."""


MAX_FAILURES = 200_000
"""Failures that are read at most to describe an incident."""

_IMPACT = """
WITH held AS MATERIALIZED (
  SELECT f.message_id, f.contact, f.occurred_at, f.error_code, s.phone_number_id AS number, s.template
  FROM failures f JOIN series s ON s.id = f.series_id
  WHERE f.occurred_at >= :start AND f.occurred_at <= :end AND f.error_code = ANY(:codes) {chosen}
    AND (f.source <> 'send' OR NOT :of_webhooks)
  LIMIT :most
)
SELECT grouping(error_code, number, template) AS level, error_code, number, template,
       count(DISTINCT message_id) AS messages, count(DISTINCT contact) FILTER (WHERE contact <> '') AS contacts,
       min(occurred_at) AS first_at, count(*) AS failures
FROM held GROUP BY GROUPING SETS ((), (error_code), (number), (template))
ORDER BY messages DESC, error_code, number, template
"""
_REPORTED = """
SELECT count(*) FROM (
  SELECT DISTINCT f.message_id FROM failures f
  WHERE f.occurred_at >= :start AND f.occurred_at <= :end AND f.error_code = ANY(:codes) {chosen}
    AND f.source = 'send'
  LIMIT :most
) r
"""
_SAMPLES = """
SELECT f.message_id FROM failures f
WHERE f.occurred_at >= :start AND f.occurred_at <= :end AND f.error_code = ANY(:codes) {chosen}
  AND (f.source <> 'send' OR NOT :of_webhooks)
ORDER BY f.occurred_at DESC, f.message_id LIMIT :most
"""
_ALL, _BY_CODE, _BY_NUMBER, _BY_TEMPLATE = 0b111, 0b011, 0b101, 0b110


def incident_impact(
    connection: Connection,
    start: datetime,
    end: datetime,
    codes: Sequence[int],
    groups: Sequence[Mapping[str, str | int]],
    *,
    of_webhooks: bool,
) -> IncidentImpact:
    """Count the failures of these codes in these groups from `start` to `end`.

    `of_webhooks`: those that webhooks show; what only senders report is then in `reported` alone.
    """
    chosen, values = _in_groups(groups)
    values |= {
        "start": start,
        "end": end,
        "codes": list(codes),
        "most": MAX_FAILURES,
        "of_webhooks": of_webhooks,
    }
    rows = connection.execute(text(_IMPACT.format(chosen=chosen)), values).all()
    reported = int(connection.execute(text(_REPORTED.format(chosen=chosen)), values).scalar_one())
    total = next(row for row in rows if row.level == _ALL)
    return IncidentImpact(
        messages=total.messages,
        contacts=total.contacts,
        first_at=total.first_at,
        by_code={row.error_code: row.messages for row in rows if row.level == _BY_CODE},
        numbers=[row.number for row in rows if row.level == _BY_NUMBER],
        templates=[row.template for row in rows if row.level == _BY_TEMPLATE and row.template],
        is_partial=total.failures == MAX_FAILURES,
        reported=reported,
    )


def incident_samples(
    connection: Connection,
    start: datetime,
    end: datetime,
    codes: Sequence[int],
    groups: Sequence[Mapping[str, str | int]],
    *,
    of_webhooks: bool,
    limit: int = 3,
) -> list[str]:
    """Return the ids of the latest of these messages, as incident_impact counts them."""
    chosen, values = _in_groups(groups)
    values |= {"start": start, "end": end, "codes": list(codes), "most": limit, "of_webhooks": of_webhooks}
    return list(dict.fromkeys(connection.execute(text(_SAMPLES.format(chosen=chosen)), values).scalars()))


def _in_groups(groups: Sequence[Mapping[str, str | int]]) -> tuple[str, dict[str, Any]]:
    """SQL that narrows a query over failures `f` to these groups, with its values. The code is left to the caller."""
    chosen, values = groups_sql(groups)
    return f"AND f.series_id IN (SELECT id FROM series WHERE {chosen})" if chosen else "", values
