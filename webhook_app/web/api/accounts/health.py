"""/v1/health: the state of accounts, numbers and templates that Meta reported, since when, and earlier states."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct, convert

from webhook_app.rules.accounts import health_states
from webhook_app.rules.accounts.health_states import Concern, ReportedHealth
from webhook_app.store.accounts import health
from webhook_app.store.accounts.health import HealthFilters, Subject
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from
from webhook_app.web.api.values import Code, Cursor, Limit, NextCursor, PhoneNumberId, Time, Word
from webhook_app.whatsapp.errors.catalogue import explain

ERRORS_LOOK_BACK = timedelta(days=7)
_LATEST = 10

Template = Annotated[Word, Meta(description="A template's id or name.")]
Waba = Annotated[Word, Meta(description="Meta's id of a WhatsApp Business Account.")]
_Detail = Annotated[
    dict[str, Any], Meta(description="More from Meta: reasons, dates, limits, the previous value.")
]

_Position = tuple[Time, Word, Word, Word, Word]


class HealthQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """Filters; without any, everything. `phone_number_id` selects one number, `template` the templates of that name."""

    phone_number_id: PhoneNumberId | None = None
    waba_id: Waba | None = None
    template: Template | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class HealthStateEntry(Struct, kw_only=True):
    """The current value of one aspect: since when Meta has reported it, and when Meta last reported it."""

    value: str
    since: Time
    told_at: Time
    concern: Annotated[Concern, Meta(description="Whether it needs attention: empty, warning or critical.")]
    detail: _Detail


class HealthChangeEntry(Struct, kw_only=True):
    """One value that Meta reported."""

    aspect: str
    value: str
    occurred_at: Time
    detail: _Detail


class HealthErrorEntry(Struct, kw_only=True):
    """An error that Meta reported for a number without a message, in the last seven days."""

    code: Code
    title: str
    summary: str
    action: str
    count: int
    first_at: Time
    last_at: Time


class Health(Struct, kw_only=True):
    """The state of one account, number or template. Aspects never reported are null, or missing in `states`."""

    waba_id: str
    status: HealthStateEntry | None
    quality: HealthStateEntry | None
    tier: Annotated[
        HealthStateEntry | None, Meta(description="The messaging limit; detail.limit -1 means unlimited.")
    ]
    states: Annotated[
        dict[str, HealthStateEntry], Meta(description="Every reported aspect, including these three.")
    ]
    last_change_at: Time | None
    history: Annotated[
        list[HealthChangeEntry], Meta(description="The ten latest values; all are at /v1/health/history.")
    ]


class AccountHealth(Health, kw_only=True):
    """A WhatsApp Business Account."""


class NumberHealth(Health, kw_only=True):
    """A business number. `phone_number_id` is empty until the first webhook about one of its messages."""

    phone_number_id: str
    display_phone_number: str
    errors: list[HealthErrorEntry]


class TemplateHealth(Health, kw_only=True):
    """A message template."""

    template_id: str
    name: str
    language: str
    category: HealthStateEntry | None


class HealthPage(Struct, kw_only=True):
    """A page of accounts, then numbers, then templates."""

    as_of: Time
    accounts: list[AccountHealth]
    numbers: list[NumberHealth]
    templates: list[TemplateHealth]
    next_cursor: NextCursor


class HealthHistoryItem(HealthChangeEntry, kw_only=True):
    """One value that Meta reported, its subject, and when it was received."""

    kind: Annotated[str, Meta(description="account, number or template.")]
    waba_id: str
    phone_number_id: str
    display_phone_number: str
    template_id: str
    template: str
    language: str
    received_at: Time


class HealthHistory(Struct, kw_only=True):
    """Values that Meta reported, the newest first."""

    changes: list[HealthHistoryItem]
    next_cursor: NextCursor


def get_health(call: Call, query: HealthQuery) -> HealthPage:
    """List accounts, numbers and templates with quality, tier, status and other states from webhooks.

    The latest value by Meta's time counts, in whatever order the webhooks arrived. Meta is not queried: what no webhook
    reported is unknown.
    """
    after = cursor.decode_texts(query.cursor, 2)
    position = ("", "") if after is None else (after[0], after[1])
    found = health.subjects(call.connection, _filters(query), query.limit + 1, position)
    page, following = cursor.cut(found, query.limit, lambda each: (each.subject, each.subject_id))
    reported = health.reported_health(call.connection, page)

    def of(kind: str) -> list[Subject]:
        return [each for each in page if each.subject == kind]

    def common(each: Subject) -> dict[str, Any]:
        return _common_fields(each, reported[each.subject, each.subject_id], call.now)

    errors = _errors(call, of("number"))
    return HealthPage(
        as_of=call.now,
        accounts=[AccountHealth(**common(each)) for each in of("account")],
        numbers=[
            NumberHealth(
                **common(each),
                phone_number_id=each.phone_number_id,
                display_phone_number=_display(each.subject_id),
                errors=errors.get(each.subject_id, []),
            )
            for each in of("number")
        ],
        templates=[_template(each, common(each)) for each in of("template")],
        next_cursor=following,
    )


def list_health_history(call: Call, query: HealthQuery) -> HealthHistory:
    """List every value that Meta reported, the newest first.

    The latest value of each aspect is kept forever, the others as long as failures, up to a thousand.
    """
    before: health.ChangePlace | None = cursor.decode_as(query.cursor, _Position)
    found = health.history(call.connection, _filters(query), query.limit + 1, before)
    page, following = cursor.cut(
        found, query.limit, lambda e: (e.occurred_at, e.subject, e.subject_id, e.aspect, e.value)
    )
    return HealthHistory(changes=[_history_item(each) for each in page], next_cursor=following)


def _filters(query: HealthQuery) -> HealthFilters:
    return HealthFilters(
        phone_number_id=query.phone_number_id or "",
        waba_id=query.waba_id or "",
        template=query.template or "",
    )


def _common_fields(each: Subject, reported: Sequence[ReportedHealth], now: datetime) -> dict[str, Any]:
    states = {
        aspect: convert(state, HealthStateEntry, from_attributes=True)
        for aspect, state in health_states.states(reported, now).items()
    }
    newest = health_states.newest_first(reported)
    return {
        "waba_id": each.waba_id,
        "status": states.get("status"),
        "quality": states.get("quality"),
        "tier": states.get("tier"),
        "states": states,
        "last_change_at": max((state.since for state in states.values()), default=None),
        "history": [convert(value, HealthChangeEntry, from_attributes=True) for value in newest[:_LATEST]],
    }


def _template(each: Subject, common: dict[str, Any]) -> TemplateHealth:
    return TemplateHealth(
        **common,
        template_id=each.subject_id,
        name=each.name,
        language=each.language,
        category=common["states"].get("category"),
    )


def _errors(call: Call, numbers: Sequence[Subject]) -> Mapping[str, list[HealthErrorEntry]]:
    owners = {key: each.subject_id for each in numbers for key in each.keys}
    found: dict[str, list[HealthErrorEntry]] = {}
    for error in health.errors_of(call.connection, list(owners), call.now - ERRORS_LOOK_BACK):
        meaning = explain(error.error_code)
        entry = entry_from(
            error,
            HealthErrorEntry,
            code=error.error_code,
            title=meaning.title,
            summary=meaning.summary,
            action=meaning.action,
        )
        found.setdefault(owners[error.phone_number_id], []).append(entry)
    return found


def _history_item(entry: health.HistoryEntry) -> HealthHistoryItem:
    return entry_from(
        entry,
        HealthHistoryItem,
        kind=entry.subject,
        display_phone_number=_display(entry.subject_id) if entry.subject == "number" else "",
        template_id=entry.subject_id if entry.subject == "template" else "",
        template=entry.name,
    )


def _display(subject_id: str) -> str:
    return subject_id if subject_id.startswith("+") else ""


ENDPOINTS = (
    Endpoint("GET", "/v1/health", get_health, "viewer"),
    Endpoint("GET", "/v1/health/history", list_health_history, "viewer"),
)
