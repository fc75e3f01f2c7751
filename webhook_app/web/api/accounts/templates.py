"""/v1/templates: the message templates as the Graph API described them, with their failures, and how they changed."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct

from webhook_app.store.accounts import templates
from webhook_app.store.accounts.templates import StoredTemplate, TemplateFilters
from webhook_app.store.counts import baselines
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from
from webhook_app.web.api.values import Code, Cursor, Limit, NextCursor, Time, Word
from webhook_app.whatsapp.accounts.template_answers import TemplatePart
from webhook_app.whatsapp.errors.catalogue import explain

FAILURES_LOOK_BACK = timedelta(days=7)

Failures = dict[tuple[str, str], dict[int, int]]
"""Failures by account and name, then by code."""

_Position = tuple[Time, Word, Word, Word, Word]
_Status = Annotated[
    Word,
    Meta(description="Meta's word, such as APPROVED, PAUSED or REJECTED; DELETED: Meta no longer lists it."),
]


class TemplateHistoryQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """Filters; without any, everything."""

    waba_id: Annotated[Word, Meta(description="Meta's id of a WhatsApp Business Account.")] | None = None
    name: Word | None = None
    language: Annotated[Word, Meta(description="Meta's code, such as en_US.")] | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class TemplatesQuery(TemplateHistoryQuery, kw_only=True, forbid_unknown_fields=True):
    """Filters; without any, everything."""

    status: _Status | None = None


class TemplatePartEntry(Struct, kw_only=True):
    """A header, body, footer, button, card or other component."""

    kind: str
    format: Annotated[str, Meta(description="Of a header TEXT, IMAGE …; of a button URL, OTP, QUICK_REPLY …")]
    text: str
    parameters: Annotated[
        list[str],
        Meta(
            description="The values that each send must have: numbers or names of placeholders, or what is needed."
        ),
    ]
    index: Annotated[int, Meta(description="The place of a button or card; -1 for others.")]
    components: Annotated[list["TemplatePartEntry"], Meta(description="Of a card.")]


class TemplateFailures(Struct, kw_only=True):
    """The failures of one code, of all languages of the template, in full hours."""

    code: Code
    title: str
    failures: int


class TemplateEntry(Struct, kw_only=True):
    """A template in one language. What Meta has not said is empty."""

    waba_id: str
    template_id: str
    name: str
    language: str
    status: _Status
    category: str
    category_to_come: Annotated[
        str, Meta(description="The category to which Meta will move it; empty if none.")
    ]
    quality: Annotated[str, Meta(description="GREEN, YELLOW, RED or UNKNOWN.")]
    rejected_reason: str
    parameter_format: Annotated[str, Meta(description="POSITIONAL or NAMED.")]
    components: list[TemplatePartEntry]
    failures: Annotated[
        list[TemplateFailures], Meta(description="Of the last seven days, the most frequent first.")
    ]
    first_read_at: Time
    changed_at: Annotated[Time, Meta(description="When a reading found it different from before.")]
    read_at: Annotated[Time | None, Meta(description="When the account's templates were read last.")]


class TemplatePage(Struct, kw_only=True):
    """A page of templates, by account, name and language."""

    templates: list[TemplateEntry]
    next_cursor: NextCursor


class TemplateChangeEntry(Struct, kw_only=True):
    """Another value of one aspect of a template."""

    waba_id: str
    name: str
    language: str
    aspect: Annotated[
        str, Meta(description="status, category, category_to_come, quality, rejected_reason or components.")
    ]
    before: str
    value: Annotated[
        str, Meta(description="Of components what a send must fill, or `edited` if only texts changed.")
    ]
    changed_at: Annotated[Time, Meta(description="When a reading found it.")]


class TemplateHistory(Struct, kw_only=True):
    """Changes of templates, the newest first."""

    changes: list[TemplateChangeEntry]
    next_cursor: NextCursor


def list_templates(call: Call, query: TemplatesQuery) -> TemplatePage:
    """List message templates with their present state, the parameters they need, and their failures of seven days.

    Meta's Graph API is read every hour, large accounts every six; states that webhooks report since then count.
    """
    return find_templates(call, query, lambda names: read_failures(call, names))


def find_templates(call: Call, query: TemplatesQuery, read: Callable[[list[str]], Failures]) -> TemplatePage:
    """A page of templates; `read` gives the failures of these names."""
    after = cursor.decode_texts(query.cursor, 3)
    place = ("", "", "") if after is None else (after[0], after[1], after[2])
    found = templates.list_templates(call.connection, filters(query, query.status), query.limit + 1, place)
    page, following = cursor.cut(found, query.limit, lambda each: (each.waba_id, each.name, each.language))
    names = sorted({each.name for each in page})
    failed = read(names) if names else {}
    return TemplatePage(
        templates=[_entry(each, failed.get((each.waba_id, each.name), {})) for each in page],
        next_cursor=following,
    )


def read_failures(call: Call, names: list[str]) -> Failures:
    """The failures of these templates in the last seven days; reads the counts of all."""
    return baselines.failures_of_templates(call.connection, names, call.now - FAILURES_LOOK_BACK)


def list_template_history(call: Call, query: TemplateHistoryQuery) -> TemplateHistory:
    """List the changes of templates that readings of Meta's Graph API found, the newest first.

    They are kept as long as failures. What webhooks reported of templates is at /v1/health/history.
    """
    before: templates.ChangePlace | None = cursor.decode_as(query.cursor, _Position)
    found = templates.list_changes(call.connection, filters(query), query.limit + 1, before)
    page, following = cursor.cut(
        found,
        query.limit,
        lambda each: (each.changed_at, each.waba_id, each.name, each.language, each.aspect),
    )
    return TemplateHistory(
        changes=[entry_from(each, TemplateChangeEntry) for each in page], next_cursor=following
    )


def filters(query: TemplateHistoryQuery, status: str | None = None) -> TemplateFilters:
    return TemplateFilters(
        waba_id=query.waba_id or "",
        name=query.name or "",
        language=query.language or "",
        status=status or "",
    )


def _entry(each: StoredTemplate, failed: dict[int, int]) -> TemplateEntry:
    return entry_from(
        each,
        TemplateEntry,
        parameter_format="NAMED" if each.is_named else "POSITIONAL",
        components=[_part(part) for part in each.parts],
        failures=[
            TemplateFailures(code=code, title=explain(code).title, failures=failures)
            for code, failures in failed.items()
        ],
    )


def _part(part: TemplatePart) -> TemplatePartEntry:
    return TemplatePartEntry(
        kind=part.kind,
        format=part.format,
        text=part.text,
        parameters=[*part.parameters],
        index=part.index,
        components=[_part(each) for each in part.parts],
    )


ENDPOINTS = (
    Endpoint("GET", "/v1/templates", list_templates, "viewer"),
    Endpoint("GET", "/v1/templates/history", list_template_history, "viewer"),
)
