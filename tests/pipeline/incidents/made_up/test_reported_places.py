"""What senders report extends no incident of webhooks: it names, explains and holds only what webhooks show."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER, WABA
from tests.support.incidents import known
from tests.support.reports import report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import explained_periods

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
UNREACHABLE, PLATFORM = 131026, 131016
OTHER = "1555000999"
DEFAULT = {each.name: each for each in parse_rules(default_rules_text())}
RULES = [DEFAULT[f"failure-rate-{name}"] for name in ("per-code", "per-number")]
WIDE = [replace(RULES[0], group_by=("code",))]

Look = Callable[..., int]


@pytest.fixture
def now(now: datetime) -> datetime:
    """Half past noon."""
    return now.replace(hour=12, minute=30, second=0, microsecond=0)


@pytest.fixture
def look(engine: Engine, traffic: Traffic, now: datetime) -> Look:
    """Evaluates for a minute from this moment; returns the number of notifications that this added."""
    traffic.sent(40, now - 20 * MINUTE, number=OTHER)

    def run(at: datetime, rules: Sequence[Rule] = RULES) -> int:
        before = notifications(engine)
        for second in (0, 15, 30, 45):
            evaluate(engine, rules, at + second * SECOND, channels=["slack"])
        return notifications(engine) - before

    return run


def notifications(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM notifications")).scalar_one())


def explained_numbers(engine: Engine, since: datetime) -> set[str]:
    """The numbers whose failures are explained by incidents that webhooks show."""
    with engine.connect() as connection:
        found = explained_periods.of_incidents(connection, since)
    return {str(each.slice.get("phone_number_id")) for each in found if each.is_shown}


def outage(traffic: Traffic, at: datetime, code: int, number: str = NUMBER) -> None:
    traffic.sent(20, at, number=number)
    traffic.failed(20, at, code, number=number)


def test_an_incident_explains_failures_at_the_numbers_where_webhooks_show_it(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    outage(traffic, now, UNREACHABLE)
    report_failed_calls(engine, 50, now - MINUTE, UNREACHABLE, number=OTHER)
    assert look(now, WIDE) == 1
    assert explained_numbers(engine, now) == {NUMBER}


def test_an_incident_of_reports_that_webhooks_begin_to_show_explains_what_they_show(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    report_failed_calls(engine, 50, now - MINUTE, UNREACHABLE, number=OTHER)
    assert look(now, WIDE) == 1
    assert explained_numbers(engine, now) == set()
    outage(traffic, now + MINUTE, UNREACHABLE)
    look(now + MINUTE, WIDE)
    assert explained_numbers(engine, now) == {NUMBER}


def test_reports_that_join_an_incident_of_webhooks_add_no_number_to_it(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    outage(traffic, now, PLATFORM)
    assert look(now) == 1
    report_failed_calls(engine, 50, now + MINUTE, PLATFORM, number=OTHER)
    assert look(now + 2 * MINUTE) == 0
    [incident] = known(engine)
    assert incident.names == {"phone_number_id": [NUMBER], "waba_id": [WABA]}


def test_an_outage_at_a_number_that_was_only_reported_in_an_incident_is_announced(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    outage(traffic, now, PLATFORM)
    assert look(now) == 1
    for minutes in (1, 10, 20, 30):
        outage(traffic, now + minutes * MINUTE, PLATFORM)
        report_failed_calls(engine, 50, now + minutes * MINUTE, PLATFORM, number=OTHER)
        look(now + (minutes + 1) * MINUTE)
    assert len(known(engine)) == 1
    outage(traffic, now + 35 * MINUTE, PLATFORM, OTHER)
    assert look(now + 35 * MINUTE) == 1
    assert [each.names["phone_number_id"] for each in known(engine)] == [[NUMBER], [OTHER]]
