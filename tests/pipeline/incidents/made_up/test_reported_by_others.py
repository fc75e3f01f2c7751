"""What other API keys report, or webhooks show, is announced although a key has made up an incident there before."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER
from tests.support.incidents import known, sent
from tests.support.reports import report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.channels.incident_text import compose
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

OTHER = "1099511627776"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
TOKEN, NO_TEMPLATE, INVALID, PLATFORM = 190, 132001, 131008, 131016
RULES = [each for each in parse_rules(default_rules_text()) if each.name != "own-work"]

Look = Callable[[datetime], list[Notification]]


@pytest.fixture
def now(now: datetime) -> datetime:
    """Half past noon."""
    return now.replace(hour=12, minute=30, second=0, microsecond=0)


@pytest.fixture
def look(engine: Engine) -> Look:
    """Evaluates for a minute from this moment; returns what is announced but for ends."""

    def run(at: datetime) -> list[Notification]:
        before = len(sent(engine))
        for second in (0, 15, 30, 45, 60):
            evaluate(engine, RULES, at + second * SECOND, channels=["slack"])
        return [each for each in sent(engine)[before:] if each.reason != "resolved"]

    return run


def acknowledge_all(engine: Engine, now: datetime) -> None:
    with engine.begin() as connection:
        for incident in known(engine):
            actions.acknowledge(connection, incident.id, actor="ops", now=now)


def test_what_another_key_reports_of_the_same_code_and_number_is_announced_though_acknowledged(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    traffic.sent(1, now - timedelta(days=3))
    report_failed_calls(engine, 3, now - 10 * MINUTE, TOKEN, key="rival")
    assert [each.reason for each in look(now - 10 * MINUTE + 5 * SECOND)] == ["fired"]
    acknowledge_all(engine, now - 9 * MINUTE)
    report_failed_calls(engine, 30, now, TOKEN, key="shop")
    [message] = look(now + 5 * SECOND)
    assert message.reason == "fired"
    assert message.title == f"190 Access token has expired, business number {NUMBER}"
    assert "API keys rival, shop" in dict(compose(message).facts)["What to do"]
    assert [(each.state, each.ended_how) for each in known(engine)] == [("ended", "split"), ("open", "")]
    report_failed_calls(engine, 30, now + 5 * MINUTE, TOKEN, key="shop")
    assert look(now + 5 * MINUTE) == [], "once"


@pytest.mark.parametrize("code", [TOKEN, INVALID])
def test_what_a_key_reports_at_another_number_is_announced_though_it_reported_one_such_call_before(
    engine: Engine, traffic: Traffic, look: Look, now: datetime, code: int
) -> None:
    for number in (NUMBER, OTHER):
        traffic.sent(60, now - timedelta(days=3), number=number)
    start = now - timedelta(hours=2)
    report_failed_calls(engine, 1, start - MINUTE, code, key="shop")
    report_failed_calls(engine, 30, start - MINUTE, code, key="rival")
    assert look(start)
    acknowledge_all(engine, start + 2 * MINUTE)
    for minutes in range(15, 120, 15):
        report_failed_calls(engine, 5, start + minutes * MINUTE, code, key="rival")
        look(start + (minutes + 1) * MINUTE)
    report_failed_calls(engine, 40, now + 5 * MINUTE, code, key="shop", number=OTHER)
    found = look(now + 7 * MINUTE)
    assert [each.title for each in found if OTHER in each.title], found


def test_what_another_key_reports_of_the_same_code_and_another_template_is_announced(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    traffic.sent(1, now - timedelta(days=3), template="offer")
    report_failed_calls(engine, 60, now - 10 * MINUTE, NO_TEMPLATE, key="rival", template="fake")
    assert look(now - 9 * MINUTE)
    acknowledge_all(engine, now - 8 * MINUTE)
    report_failed_calls(engine, 200, now, NO_TEMPLATE, key="shop", template="offer")
    [message] = look(now + MINUTE)
    assert message.reason == "fired"
    assert "fake" not in message.title
    assert "shop" in dict(compose(message).facts)["What to do"]


def test_an_outage_that_a_wide_alert_about_made_up_calls_covers_is_announced_as_what_webhooks_show(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    traffic.sent(40, now - 20 * MINUTE)
    report_failed_calls(engine, 60, now - 10 * MINUTE, INVALID, number="77777777771", template="fake")
    assert look(now - 9 * MINUTE)
    for minutes in range(4):
        traffic.sent(2, now + minutes * MINUTE)
        traffic.failed(18, now + minutes * MINUTE, PLATFORM)
    message = look(now + 4 * MINUTE)[0]
    assert message.reason == "fired"
    assert message.title.startswith(f"{PLATFORM} ")
    assert message.numbers == (NUMBER,)
    assert message.since >= now
    text = compose(message)
    assert "77777777771" not in str(text)
    assert "fake" not in str(text)


def test_what_another_key_reports_a_little_of_at_many_numbers_is_announced_beside_a_made_up_outage(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    numbers = [f"15550001{place:03}" for place in range(59)]
    for number in (NUMBER, *numbers):
        traffic.sent(5, now - 20 * MINUTE, number=number)
    report_failed_calls(engine, 40, now - 10 * MINUTE, PLATFORM, key="rival")
    assert [each.reason for each in look(now - 9 * MINUTE)] == ["fired"]
    acknowledge_all(engine, now - 8 * MINUTE)
    for number in numbers:
        report_failed_calls(engine, 1, now, PLATFORM, key="shop", number=number)
    message = look(now + MINUTE)[0]
    assert message.reason == "fired"
    assert "rival, shop" in dict(compose(message).facts)["What to do"]
    assert look(now + 3 * MINUTE) == [], "once"
    assert len([each for each in known(engine) if each.is_open]) == 2


def test_an_alert_that_leaves_what_a_key_makes_up_is_as_old_as_what_webhooks_show(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    traffic.sent(40, now - 20 * MINUTE)
    report_failed_calls(engine, 60, now - 10 * MINUTE, PLATFORM)
    assert look(now - 9 * MINUTE)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE alerts SET fired_at = fired_at - interval '6 days 23 hours 51 minutes'")
        )
    for minutes in range(8):
        traffic.failed(20, now + minutes * MINUTE, PLATFORM)
        look(now + minutes * MINUTE)
    assert [(each.ended_how, each.is_open) for each in known(engine)] == [("split", False), ("", True)]


def test_an_outage_that_webhooks_and_another_key_show_at_once_is_one_incident(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    for number in (NUMBER, OTHER):
        traffic.sent(60, now - 20 * MINUTE, number=number)
    traffic.failed(20, now - MINUTE, PLATFORM)
    report_failed_calls(engine, 40, now - MINUTE, PLATFORM, key="shop", number=OTHER)
    [message] = look(now)
    assert message.title == f"{PLATFORM} Service unavailable, business number {NUMBER}"
    assert message.failures == 20
