"""Reads the Graph API once: token, app, accounts, numbers, templates. A part that cannot be read stops no other."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

import structlog

from webhook_app.graph.client import GraphClient, LimitReachedError
from webhook_app.pipeline.accounts.messaging_limits import measure_limits, report_limits
from webhook_app.pipeline.accounts.read_templates import read_templates
from webhook_app.rules.accounts.doctor import judge
from webhook_app.rules.accounts.doctor_access import SCOPES
from webhook_app.rules.accounts.doctor_check import (
    AccountReading,
    CertificateFacts,
    DoctorCheck,
    Expected,
    GraphReading,
)
from webhook_app.store.accounts import doctor, health, numbers
from webhook_app.store.accounts.numbers import ListedNumber
from webhook_app.store.postgres.engine import Engine
from webhook_app.whatsapp.accounts import graph_answers
from webhook_app.whatsapp.accounts.graph_answers import GraphReadError, NumberFacts, TokenFacts

log = structlog.get_logger()

_ACCOUNT = ("id", "name", "account_review_status", "health_status")
_ACCOUNT_OPTIONAL = (
    "status",
    "disable_marketing_messages_on_cloud_api",
    "whatsapp_business_manager_messaging_limit",
)
_NUMBER = ("id", "display_phone_number", "verified_name", "status", "quality_rating", "name_status")
_NUMBER_OPTIONAL = (
    "quality_score",
    "platform_type",
    "account_mode",
    "throughput",
    "webhook_configuration",
    "whatsapp_business_manager_messaging_limit",
)
_MOST_ACCOUNTS = 500
_MOST_NUMBERS = 1000
_MOST_HEALTH = 100
"""Numbers of an account whose health is read: Meta allows 200 calls an hour to a small account."""

Part = TypeVar("Part")


def examine(
    engine: Engine,
    client: GraphClient,
    expected: Expected,
    now: datetime,
    read_certificate: Callable[[str], CertificateFacts | None] = lambda _url: None,
) -> list[DoctorCheck]:
    """Read the accounts that webhooks or the token name, store the checks, and return them."""
    with engine.connect() as connection:
        known = health.account_ids(connection)
    reading = read(client, known, expected, now)
    reading.certificate = read_certificate(expected.callback_url)
    readable = [
        waba_id for waba_id, each in reading.accounts.items() if not isinstance(each.account, GraphReadError)
    ]
    for waba_id, groups in read_templates(engine, client, readable, now).items():
        reading.accounts[waba_id].templates = groups
    with engine.connect() as connection:
        reading.limits = measure_limits(connection, reading.accounts, now)
    checks = judge(reading, expected)
    with engine.begin() as connection:
        doctor.save(connection, checks, now)
        report_limits(connection, reading.accounts, now)
        numbers.save(connection, _numbers_of(reading))
    return checks


def _numbers_of(reading: GraphReading) -> list[ListedNumber]:
    return [
        ListedNumber(
            phone_number_id=number.phone_number_id,
            waba_id=waba_id,
            account_name="" if isinstance(each.account, GraphReadError) else each.account.name,
            display_phone_number=number.display_phone_number,
            verified_name=number.verified_name,
            status=number.status,
            quality=number.quality,
            messaging_limit=number.limit,
            throughput=number.throughput,
            mode=number.mode,
            read_at=reading.read_at,
        )
        for waba_id, each in reading.accounts.items()
        if not isinstance(each.numbers, GraphReadError)
        for number in each.numbers
        if number.phone_number_id
    ]


def read(client: GraphClient, waba_ids: Iterable[str], expected: Expected, now: datetime) -> GraphReading:
    """Read everything about these accounts and those of the token."""
    token = _part(lambda: graph_answers.read_token(client.debug_token(expected.app_id)))
    reading = GraphReading(read_at=now, server_time=client.server_time, token=token)
    if isinstance(token, GraphReadError) or not token.is_valid:
        return reading
    if expected.app_id:
        reading.subscriptions = _part(
            lambda: graph_answers.read_subscriptions(client.subscriptions(expected.app_id))
        )
    for waba_id in _accounts_of(token, waba_ids):
        reading.accounts[waba_id] = _read_account(client, waba_id)
    return reading


def _accounts_of(token: TokenFacts, waba_ids: Iterable[str]) -> list[str]:
    """The accounts that the token is limited to, or else those that webhooks named, of which some may be made up."""
    targets = {target for scope in SCOPES for target in token.targets.get(scope, ())}
    return list(dict.fromkeys([*sorted(targets), *(() if targets else waba_ids)]))[:_MOST_ACCOUNTS]


def _read_account(client: GraphClient, waba_id: str) -> AccountReading:
    row = _part(lambda: client.node(waba_id, _ACCOUNT, _ACCOUNT_OPTIONAL))
    if isinstance(row, GraphReadError):
        return AccountReading(account=row, apps=row, numbers=row)
    listed = _part(
        lambda: [
            graph_answers.read_number(each, waba_id)
            for each in client.edge(f"{waba_id}/phone_numbers", _NUMBER, _NUMBER_OPTIONAL)[:_MOST_NUMBERS]
        ]
    )
    return AccountReading(
        account=graph_answers.read_account(row),
        apps=_part(lambda: graph_answers.read_account_apps(client.edge(f"{waba_id}/subscribed_apps", ()))),
        numbers=listed,
        health=graph_answers.read_health(row),
        number_health={} if isinstance(listed, GraphReadError) else _health_of(client, listed),
    )


def _health_of(
    client: GraphClient, listed: Iterable[NumberFacts]
) -> dict[str, list[graph_answers.EntityHealth]]:
    """What Meta says of each number itself: the account's part is read with the account."""
    found = {}
    for number in list(listed)[:_MOST_HEALTH]:
        row = _part(lambda number=number: client.node(number.phone_number_id, ("health_status",)))  # type: ignore[misc]
        if not isinstance(row, GraphReadError):
            found[number.phone_number_id] = [
                each for each in graph_answers.read_health(row) if each.kind == "PHONE_NUMBER"
            ]
    return found


def _part(read_part: Callable[[], Part]) -> Part | GraphReadError:
    try:
        return read_part()
    except LimitReachedError as fault:
        log.warning("reads of the Graph API wait for the next hour", code=fault.code)
        return fault
    except GraphReadError as fault:
        return fault
