"""Accounts, numbers and templates: how many are known, and their problems. No HTML."""

from collections import Counter
from datetime import datetime

from msgspec import Struct

from webhook_app.rules.accounts import health_states
from webhook_app.store.accounts import health
from webhook_app.store.accounts.health import HealthFilters, Subject
from webhook_app.store.postgres.engine import Connection

_MAX = 500  # subjects read; the API has all
_SHOWN = 8
_ORDER = {"critical": 0, "warning": 1}


class HealthProblemRow(Struct, frozen=True, kw_only=True):
    """A problem that Meta reports of one account, number or template."""

    kind: str
    name: str
    aspect: str
    value: str
    since: datetime
    concern: str


class HealthSummary(Struct, frozen=True):
    """How many of each kind are known, the worst problems, and how many more there are."""

    known: dict[str, int]
    problems: list[HealthProblemRow]
    more: int


def read_health(connection: Connection, now: datetime) -> HealthSummary:
    """The summary of what webhooks have reported."""
    found = health.subjects(connection, HealthFilters(), _MAX)
    reported = health.reported_health(connection, found)
    problems = [
        HealthProblemRow(
            kind=each.subject,
            name=_name(each),
            aspect=aspect,
            value=state.value,
            since=state.since,
            concern=state.concern,
        )
        for each in found
        for aspect, state in health_states.states(reported[each.subject, each.subject_id], now).items()
        if state.concern
    ]
    problems.sort(key=lambda problem: (_ORDER.get(problem.concern, 9), -problem.since.timestamp()))
    known = dict(Counter(each.subject for each in found))
    return HealthSummary(known, problems[:_SHOWN], len(problems[_SHOWN:]))


def _name(each: Subject) -> str:
    return f"{each.name} {each.language}".strip() or each.subject_id
