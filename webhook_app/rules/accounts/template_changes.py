"""Decides what a reading of an account's templates changes: their history, and the states that rules judge.

Webhooks report states too. What they have reported is the state until the Graph API says otherwise, so that a template
has one state, from webhooks and the Graph API alike.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.rules.accounts.health_states import ReportedHealth, states
from webhook_app.whatsapp.accounts.template_answers import TemplateFacts, describe_parts

DELETED = "DELETED"
_LAG = timedelta(minutes=10)
"""A webhook's state holds so long before another one counts: the Graph API may answer from an older copy."""
_ONLY_IN_WEBHOOKS = ("FLAGGED", "LOCKED")
"""Warnings about a template that the Graph API still calls APPROVED."""
_MOST_TEXT = 500

Key = tuple[str, str]
"""Name and language of a template."""


class TemplateChange(Struct, frozen=True, kw_only=True):
    """Another value of one aspect of a template. `before` is empty for a new template."""

    name: str
    language: str
    aspect: str
    before: str
    value: str


class ReportedState(Struct, frozen=True):
    """The latest value of an aspect that was reported of a template, and under which id."""

    subject_id: str
    value: str
    occurred_at: datetime


class TemplateReport(Struct, frozen=True, kw_only=True):
    """A state that the Graph API shows, as webhooks would report it. `is_new`: nothing of it was reported before."""

    subject_id: str
    template: TemplateFacts
    aspect: str
    value: str
    detail: dict[str, Any]
    is_new: bool


def with_deleted(
    known: Mapping[Key, TemplateFacts], found: Mapping[Key, TemplateFacts]
) -> dict[Key, TemplateFacts]:
    """What Meta lists, and as DELETED what it no longer lists."""
    gone = {key: replace(each, status=DELETED) for key, each in known.items() if key not in found}
    return {**found, **gone}


def changes_of(known: TemplateFacts | None, found: TemplateFacts) -> Iterator[TemplateChange]:
    """What is different from what was known. Of another text without other parameters the value is `edited`."""
    before = _values(known) if known else {}
    for aspect, value in _values(found).items():
        was = before.get(aspect, "")
        edited = aspect == "components" and known is not None and known.parts != found.parts
        if value != was or edited:
            yield TemplateChange(
                name=found.name,
                language=found.language,
                aspect=aspect,
                before=was[:_MOST_TEXT],
                value=value[:_MOST_TEXT] if value != was else "edited",
            )


def reports_of(
    known: TemplateFacts | None,
    found: TemplateFacts,
    reported: Mapping[str, ReportedState],
    now: datetime,
    *,
    is_first: bool,
) -> Iterator[TemplateReport]:
    """The states that rules must learn: other than what was reported, or a problem that is new since the last reading.

    `reported` has the latest states by aspect. At the first reading of an account its problems are no news.
    """
    values = _values(found)
    before = _values(known) if known else {}
    for aspect in ("status", "category", "quality", "category_to_come"):
        value = values[aspect] or ("NONE" if aspect == "category_to_come" else "")
        last = reported.get(aspect)
        was = last.value if last else before.get(aspect, "")
        if not value or value == was:
            continue
        detail = {"before": was} if was else {}
        if aspect == "status" and found.rejected_reason:
            detail["reason"] = found.rejected_reason
        is_known_better = last and (
            now - last.occurred_at < _LAG or (value == "APPROVED" and last.value in _ONLY_IN_WEBHOOKS)
        )
        is_news = not is_first and _is_problem(aspect, value, detail, now)
        if (last and not is_known_better) or (last is None and is_news):
            yield TemplateReport(
                subject_id=last.subject_id if last else found.template_id or f"{found.name}/{found.language}",
                template=found,
                aspect=aspect,
                value=value,
                detail=detail,
                is_new=last is None,
            )


def _values(template: TemplateFacts) -> dict[str, str]:
    return {
        "status": template.status,
        "category": template.category,
        "category_to_come": template.category_to_come,
        "quality": template.quality,
        "rejected_reason": template.rejected_reason,
        "components": describe_parts(template.parts),
    }


def _is_problem(aspect: str, value: str, detail: dict[str, Any], now: datetime) -> bool:
    if aspect == "category":
        return value == "MARKETING" and bool(detail)
    report = ReportedHealth(aspect=aspect, value=value, detail=detail, occurred_at=now)
    return states([report], now)[aspect].concern != ""
