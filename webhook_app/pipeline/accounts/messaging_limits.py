"""Measures how much of each messaging limit is used, and stores the limits of the Graph API as webhooks report them."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from webhook_app.rules.accounts.doctor_check import AccountReading, LimitUse
from webhook_app.rules.accounts.messaging_limit import NEARLY_USED, account_tiers, shared_limits
from webhook_app.store.accounts import reported_tiers
from webhook_app.store.counts import traffic
from webhook_app.store.postgres.engine import Connection

_DAY = timedelta(hours=24)


def measure_limits(
    connection: Connection, accounts: Mapping[str, AccountReading], now: datetime
) -> list[LimitUse]:
    """The limits with their use. People are counted only where as many messages were sent."""
    limits = shared_limits(accounts)
    if not limits:
        return []
    messages: Counter[str] = Counter()
    for series, attempts in traffic.attempts_and_events(connection, now - _DAY, now, now)[0].items():
        messages[series.waba_id] += attempts
    return [replace(each, people=_people(connection, each, messages, now)) for each in limits]


def _people(
    connection: Connection, limit: LimitUse, messages: Mapping[str, int], now: datetime
) -> int | None:
    if sum(messages.get(waba_id, 0) for waba_id in limit.waba_ids) < NEARLY_USED * limit.limit:
        return None
    return traffic.people_messaged(connection, limit.waba_ids, now - _DAY, now)


def report_limits(connection: Connection, accounts: Mapping[str, AccountReading], now: datetime) -> None:
    """Store the limits that differ from what was reported last, so that rules judge them."""
    reported_tiers.save_changed(connection, account_tiers(accounts), now)
