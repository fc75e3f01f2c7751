"""Filters for failures, resolved to ids of distinct errors and ids of series. Reads no failure.

Code, source and text are properties of an error; the dimensions are those of a series. There are few of both.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.counts.dimensions import DIMENSIONS
from webhook_app.rules.people.holders import Span
from webhook_app.store.counts.failures.failures import COUNTED
from webhook_app.store.counts.series import groups_sql
from webhook_app.store.postgres.engine import Connection
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain
from webhook_app.whatsapp.events import NO_CODE

_NEWEST_SERIES = text(f"SELECT {', '.join(DIMENSIONS)} FROM series ORDER BY id DESC LIMIT :newest")


class FailureFilters(Struct, frozen=True, kw_only=True):
    """Which failures to find. None matches all, an empty text those without the value."""

    code: int | None = None
    codes: tuple[int, ...] | None = None
    """Any of these codes."""
    groups: tuple[Mapping[str, str | int], ...] | None = None
    """In any of these groups; a code in a group is ignored."""
    subcode: int | None = None
    failure_class: str | None = None
    domain: str | None = None
    source: str | None = None
    text: str | None = None
    """Part of the title or the details; case does not matter."""
    phone_number_id: str | None = None
    waba_id: str | None = None
    template: str | None = None
    campaign: str | None = None
    country: str | None = None
    spans: tuple[Span, ...] | None = None
    """When one person held which key."""
    since: datetime | None = None
    until: datetime | None = None
    dead_letter: bool = False
    """Only failures that must not be sent again: by their code, because the retries are used up, or as dead retries."""


class MatchingErrors(Struct, frozen=True):
    """Ids of matching errors (`wanted`, None for all), of those with limited retries (`counted`), and of both.

    `wanted` has only errors that are never retried if dead letters are asked for; `matching` has all (None: any).
    """

    wanted: list[int] | None
    counted: list[int]
    counted_wanted: list[int]
    matching: list[int] | None


def errors_of(connection: Connection, wanted: FailureFilters) -> MatchingErrors:
    """Find the distinct errors that match; the table holds hundreds to a few thousand."""
    names = ("code", "codes", "subcode", "failure_class", "domain", "source", "text")
    asked = [getattr(wanted, name) for name in names]
    matches_all = all(each is None for each in asked)
    if matches_all and not wanted.dead_letter:
        return MatchingErrors(None, [], [], None)
    chosen = "" if wanted.code is None else "WHERE error_code = :code"
    matches, values = "true", dict[str, Any](code=wanted.code)
    if wanted.text is not None:
        matches = "(title ILIKE :text OR details ILIKE :text)"
        values["text"] = f"%{_escape_like(wanted.text)}%"
    statement = f"""
        SELECT error_code, error_subcode, source, array_agg(id) AS ids,
               coalesce(array_agg(id) FILTER (WHERE {matches}), '{{}}') AS matching
        FROM failure_errors {chosen} GROUP BY error_code, error_subcode, source
    """
    ids: list[int] = []
    matching: list[int] = []
    counted: list[int] = []
    counted_wanted: list[int] = []
    for row in connection.execute(text(statement), values):
        entry = explain(row.error_code, None if row.error_subcode == NO_CODE else row.error_subcode)
        matched = _matches(wanted, entry, row.error_code, row.error_subcode, row.source)
        if row.error_code in COUNTED:
            counted += row.ids
            counted_wanted += row.matching if matched else []
        if matched:
            matching += row.matching
            ids += row.matching if entry.retry == "no" or not wanted.dead_letter else []
    return MatchingErrors(ids, counted, counted_wanted, None if matches_all else matching)


def _matches(wanted: FailureFilters, entry: ErrorCode, code: int, subcode: int, source: str) -> bool:
    return (
        wanted.code in (None, code)
        and (wanted.codes is None or code in wanted.codes)
        and wanted.subcode in (None, subcode)
        and wanted.source in (None, source)
        and wanted.failure_class in (None, entry.failure_class)
        and wanted.domain in (None, entry.domain)
    )


def _escape_like(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def series_of(connection: Connection, wanted: FailureFilters) -> list[int] | None:
    """Ids of the matching series; None for all."""
    values: dict[str, Any] = {
        name: value for name in DIMENSIONS if (value := getattr(wanted, name)) is not None
    }
    conditions = [f"{name} = :{name}" for name in values]
    if wanted.groups == ():
        return []
    if wanted.groups is not None:
        chosen, held = groups_sql(wanted.groups)
        conditions += [f"({chosen})"] if chosen else []
        values |= held
    if not conditions:
        return None
    statement = f"SELECT id FROM series WHERE {' AND '.join(conditions)}"
    return list(connection.execute(text(statement), values).scalars())


def known_values(connection: Connection, newest: int = 2_000) -> dict[str, list[str]]:
    """The values of each dimension among the newest series, for forms to offer."""
    rows = connection.execute(_NEWEST_SERIES, {"newest": newest}).all()
    return {name: sorted({row[place] for row in rows} - {""}) for place, name in enumerate(DIMENSIONS)}
