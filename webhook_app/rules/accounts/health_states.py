"""Derives the current state of an account, number or template, and its start, from all reports about it.

The latest report by Meta's time counts, whatever the order in which reports arrive.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

Concern = Literal["", "warning", "critical"]


class ReportedHealth(Struct, frozen=True, kw_only=True):
    """One report about one aspect of one subject."""

    aspect: str
    value: str
    detail: dict[str, Any]
    occurred_at: datetime


class HealthState(Struct, frozen=True, kw_only=True):
    """The state of one aspect. `since`: the first report of the current value; `told_at`: the latest one."""

    aspect: str
    value: str
    detail: dict[str, Any]
    since: datetime
    told_at: datetime
    concern: Concern


def states(reports: Iterable[ReportedHealth], now: datetime) -> dict[str, HealthState]:
    """The state of each aspect, by aspect in alphabetical order."""
    latest: dict[str, ReportedHealth] = {}
    since: dict[str, datetime] = {}
    for report in sorted(reports, key=_order):
        before = latest.get(report.aspect)
        if before is None or before.value != report.value:
            since[report.aspect] = report.occurred_at
        latest[report.aspect] = report
    return {aspect: _state(latest[aspect], since[aspect], now) for aspect in sorted(latest)}


def newest_first(reports: Iterable[ReportedHealth]) -> list[ReportedHealth]:
    """The reports, newest first."""
    return sorted(reports, key=_order, reverse=True)


def _order(report: ReportedHealth) -> tuple[datetime, str, str]:
    # Two reports may have the same second. Then the value decides, so that the order of arrival does not matter.
    return report.occurred_at, report.value, report.aspect


def _state(report: ReportedHealth, since: datetime, now: datetime) -> HealthState:
    return HealthState(
        aspect=report.aspect,
        value=report.value,
        detail=report.detail,
        since=since,
        told_at=report.occurred_at,
        concern=_concern(report, now),
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
    "flow_status": {"BLOCKED": "critical", "THROTTLED": "warning"},
    "flow_alert": {"ACTIVE": "warning"},
    "flow_version": {"EXPIRES": "warning"},
    "partner_certification": {"FAILED": "warning", "REVOKED": "warning"},
}
_ALERTS: Mapping[str, Concern] = {"CRITICAL": "critical", "WARNING": "warning"}


def _concern(report: ReportedHealth, now: datetime) -> Concern:
    kind, value, detail = report.aspect.split(" ")[0], report.value, report.detail
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
