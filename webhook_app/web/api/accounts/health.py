"""/v1/health: what Meta told of accounts, numbers and templates: what holds, since when, and what was before."""

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
from webhook_app.web.api.values import Code, Cursor, Limit, NextCursor, PhoneNumberId, Time, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.errors.catalogue import explain

ERRORS_LOOK_BACK = timedelta(days=7)
_LATEST = 10

Template = Annotated[Word, Meta(description="A template's id or name.")]
Waba = Annotated[Word, Meta(description="Meta's id of a WhatsApp Business Account.")]
_Detail = Annotated[
    dict[str, Any], Meta(description="What else Meta said: reasons, dates, limits, the value before.")
]


class HealthQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """Without any, everything; phone_number_id gives that number alone, template the templates of that name."""

    phone_number_id: PhoneNumberId | None = None
    waba_id: Waba | None = None
    template: Template | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class HealthStateEntry(Struct, kw_only=True):
    """What holds of one aspect: since when it was first told in a row, and when it was last told."""

    value: str
    since: Time
    told_at: Time
    concern: Annotated[Concern, Meta(description="Whether somebody should look: empty, warning or critical.")]
    detail: _Detail


class HealthChangeEntry(Struct, kw_only=True):
    """One thing told."""

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
    """What is known of one account, number or template. What was never told is null, or not among the states."""

    waba_id: str
    status: HealthStateEntry | None
    quality: HealthStateEntry | None
    tier: Annotated[
        HealthStateEntry | None, Meta(description="The messaging limit; detail.limit -1 means unlimited.")
    ]
    states: Annotated[
        dict[str, HealthStateEntry], Meta(description="Every aspect that was told, these three included.")
    ]
    last_change_at: Time | None
    history: Annotated[
        list[HealthChangeEntry], Meta(description="The latest ten; all of them at /v1/health/history.")
    ]


class AccountHealth(Health, kw_only=True):
    """A WhatsApp Business Account."""


class NumberHealth(Health, kw_only=True):
    """A business number. An empty phone_number_id: no message was seen of it yet."""

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
    """One thing told, of whom, and when it reached us."""

    kind: Annotated[str, Meta(description="account, number or template.")]
    waba_id: str
    phone_number_id: str
    display_phone_number: str
    template_id: str
    template: str
    language: str
    received_at: Time


class HealthHistory(Struct, kw_only=True):
    """What was told, the newest first."""

    changes: list[HealthHistoryItem]
    next_cursor: NextCursor


def get_health(call: Call, query: HealthQuery) -> HealthPage:
    """Accounts, numbers and templates: quality, tier, status and whatever else webhooks told, since when.

    The latest word by Meta's time counts, in whatever order the webhooks came. Nothing is asked of Meta: what was
    never told is unknown.
    """
    after = cursor.decode_texts(query.cursor, 2)
    place = ("", "") if after is None else (after[0], after[1])
    found = health.subjects(call.connection, _wanted(query), query.limit + 1, place)
    page = found[: query.limit]
    told = health.told_of(call.connection, page)
    last = page[-1] if len(found) > len(page) else None

    def of(kind: str) -> list[Subject]:
        return [each for each in page if each.subject == kind]

    def common(each: Subject) -> dict[str, Any]:
        return _common(each, told[each.subject, each.subject_id], call.now)

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
        next_cursor=cursor.encode([last.subject, last.subject_id]) if last else None,
    )


def list_health_history(call: Call, query: HealthQuery) -> HealthHistory:
    """Every change told, the newest first.

    The latest of each aspect is kept for good, the others as long as failures.
    """
    before = _change_place(query.cursor)
    found = health.history(call.connection, _wanted(query), query.limit + 1, before)
    page = found[: query.limit]
    last = page[-1] if len(found) > len(page) else None
    place = (
        [last.occurred_at.isoformat(), last.subject, last.subject_id, last.aspect, last.value]
        if last
        else None
    )
    return HealthHistory(
        changes=[_history_item(each) for each in page], next_cursor=cursor.encode(place) if place else None
    )


def _wanted(query: HealthQuery) -> HealthFilters:
    return HealthFilters(
        phone_number_id=query.phone_number_id or "",
        waba_id=query.waba_id or "",
        template=query.template or "",
    )


def _common(each: Subject, told: Sequence[ReportedHealth], now: datetime) -> dict[str, Any]:
    holds = {
        aspect: convert(state, HealthStateEntry, from_attributes=True)
        for aspect, state in health_states.states(told, now).items()
    }
    newest = health_states.newest_first(told)
    return {
        "waba_id": each.waba_id,
        "status": holds.get("status"),
        "quality": holds.get("quality"),
        "tier": holds.get("tier"),
        "states": holds,
        "last_change_at": max((state.since for state in holds.values()), default=None),
        "history": [convert(word, HealthChangeEntry, from_attributes=True) for word in newest[:_LATEST]],
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
        told = HealthErrorEntry(
            code=error.error_code,
            title=meaning.title,
            summary=meaning.summary,
            action=meaning.action,
            count=error.count,
            first_at=error.first_at,
            last_at=error.last_at,
        )
        found.setdefault(owners[error.phone_number_id], []).append(told)
    return found


def _history_item(entry: health.HistoryEntry) -> HealthHistoryItem:
    return HealthHistoryItem(
        kind=entry.subject,
        waba_id=entry.waba_id,
        phone_number_id=entry.phone_number_id,
        display_phone_number=_display(entry.subject_id) if entry.subject == "number" else "",
        template_id=entry.subject_id if entry.subject == "template" else "",
        template=entry.name,
        language=entry.language,
        aspect=entry.aspect,
        value=entry.value,
        detail=entry.detail,
        occurred_at=entry.occurred_at,
        received_at=entry.received_at,
    )


def _display(subject_id: str) -> str:
    return subject_id if subject_id.startswith("+") else ""


def _change_place(given: str | None) -> health.ChangePlace | None:
    place = cursor.decode_texts(given, 5)
    if place is None:
        return None
    try:
        at = datetime.fromisoformat(place[0])
    except ValueError:
        raise ApiError(400, "bad_cursor", "cursor: pass back next_cursor as it was given.") from None
    return (at, place[1], place[2], place[3], place[4])


ENDPOINTS = (
    Endpoint("GET", "/v1/health", get_health, "viewer"),
    Endpoint("GET", "/v1/health/history", list_health_history, "viewer"),
)
