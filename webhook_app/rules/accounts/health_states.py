"""What holds of an account, number or template now, and since when, from everything that was ever told of it.

The latest word by Meta's time counts, in whatever order the words became known.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

Concern = Literal["", "warning", "critical"]


class ReportedHealth(Struct, frozen=True, kw_only=True):
    """One word about one aspect of one subject."""

    aspect: str
    value: str
    detail: dict[str, Any]
    occurred_at: datetime


class HealthState(Struct, frozen=True, kw_only=True):
    """What holds of one aspect. `since`: when the present value was first told, `told_at`: when last."""

    aspect: str
    value: str
    detail: dict[str, Any]
    since: datetime
    told_at: datetime
    concern: Concern


def states(told: Iterable[ReportedHealth], now: datetime) -> dict[str, HealthState]:
    """The state of each aspect, by aspect in alphabetical order."""
    latest: dict[str, ReportedHealth] = {}
    since: dict[str, datetime] = {}
    for word in sorted(told, key=_order):
        before = latest.get(word.aspect)
        if before is None or before.value != word.value:
            since[word.aspect] = word.occurred_at
        latest[word.aspect] = word
    return {aspect: _state(latest[aspect], since[aspect], now) for aspect in sorted(latest)}


def newest_first(told: Iterable[ReportedHealth]) -> list[ReportedHealth]:
    """The words themselves, as people read a history."""
    return sorted(told, key=_order, reverse=True)


def _order(word: ReportedHealth) -> tuple[datetime, str, str]:
    # Of two words of one second none is later; the value decides, so that every order of arrival decides alike.
    return word.occurred_at, word.value, word.aspect


def _state(word: ReportedHealth, since: datetime, now: datetime) -> HealthState:
    return HealthState(
        aspect=word.aspect,
        value=word.value,
        detail=word.detail,
        since=since,
        told_at=word.occurred_at,
        concern=_concern(word, now),
    )


_CONCERNS: dict[str, Mapping[str, Concern]] = {
    "status": {
        "DISABLED": "critical",
        "DISABLE_SCHEDULED": "critical",
        "OFFBOARDED": "critical",
        "PAUSED": "warning",
        "FLAGGED": "warning",
        "REJECTED": "warning",
        "LOCKED": "warning",
        "LIMIT_EXCEEDED": "warning",
        "PENDING_DELETION": "warning",
    },
    "quality": {"RED": "critical", "FLAGGED": "critical", "YELLOW": "warning"},
    "review": {"REJECTED": "critical", "DEFERRED": "warning"},
    "name_review": {"REJECTED": "warning"},
    "two_step_pin": {"RESET_REQUEST": "warning"},
    "partner_certification": {"FAILED": "warning", "REVOKED": "warning"},
}
_ALERTS: Mapping[str, Concern] = {"CRITICAL": "critical", "WARNING": "warning"}


def _concern(word: ReportedHealth, now: datetime) -> Concern:
    kind, value, detail = word.aspect.split(" ")[0], word.value, word.detail
    if kind == "restriction":
        until = detail.get("until")
        return "" if type(until) is int and until <= now.timestamp() else "critical"
    if kind == "violation":
        return "critical"
    if kind == "alert":
        return _ALERTS.get(str(detail.get("severity")), "") if value == "ACTIVE" else ""
    if kind == "category_to_come":
        return "" if value == "NONE" else "warning"
    return _CONCERNS.get(kind, {}).get(value, "")
