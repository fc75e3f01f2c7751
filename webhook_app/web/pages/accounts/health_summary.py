"""Accounts, numbers and templates at a glance: how many there are, and what is wrong with which. No HTML."""

from collections import Counter
from datetime import datetime

from msgspec import Struct

from webhook_app.rules.accounts import health_states
from webhook_app.store.accounts import health
from webhook_app.store.accounts.health import HealthFilters, Subject
from webhook_app.store.postgres.engine import Connection

_MOST = 500  # subjects looked at; beyond them the API has the rest
_SHOWN = 8
_ORDER = {"critical": 0, "warning": 1}


class HealthProblemRow(Struct, frozen=True, kw_only=True):
    """One thing that Meta says of one account, number or template, and that somebody should look at."""

    kind: str
    name: str
    aspect: str
    value: str
    since: datetime
    concern: str


class HealthSummary(Struct, frozen=True):
    """How many of each kind are known, the worst troubles first, and how many more there are."""

    known: dict[str, int]
    troubles: list[HealthProblemRow]
    more: int


def read_health(connection: Connection, now: datetime) -> HealthSummary:
    """What holds now, as far as webhooks told."""
    found = health.subjects(connection, HealthFilters(), _MOST)
    told = health.told_of(connection, found)
    troubles = [
        HealthProblemRow(
            kind=each.subject,
            name=_name(each),
            aspect=aspect,
            value=state.value,
            since=state.since,
            concern=state.concern,
        )
        for each in found
        for aspect, state in health_states.states(told[each.subject, each.subject_id], now).items()
        if state.concern
    ]
    troubles.sort(key=lambda trouble: (_ORDER.get(trouble.concern, 9), -trouble.since.timestamp()))
    known = dict(Counter(each.subject for each in found))
    return HealthSummary(known, troubles[:_SHOWN], len(troubles[_SHOWN:]))


def _name(each: Subject) -> str:
    return f"{each.name} {each.language}".strip() or each.subject_id
