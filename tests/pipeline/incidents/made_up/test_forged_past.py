"""Failed calls that a sender's key makes up hide no outage and no silence."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.support.factories import NUMBER
from tests.support.reports import report_accepted, report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.findings.find import find
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import alerts, findings

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FAULT, PARAMETER = 131000, 131008


@pytest.fixture
def now(now: datetime) -> datetime:
    """Half past noon."""
    return now.replace(hour=12, minute=30, second=0, microsecond=0)


def test_an_outage_after_a_week_of_made_up_failures_is_an_incident(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    rules = parse_rules(default_rules_text())
    for day in range(1, 8):
        traffic.sent(60, now - day * DAY)
        report_failed_calls(engine, 120, now - day * DAY - HOUR, FAULT)
    while sum_hours(engine, now) > 3:
        pass
    find(engine, rules, now)
    with engine.connect() as connection:
        assert [FAULT] in [found.codes for found in findings.open_findings(connection)]
    traffic.failed(30, now - MINUTE, FAULT)
    traffic.sent(70, now - MINUTE)
    for minutes in range(3):
        evaluate(engine, rules, now + minutes * MINUTE)
    with engine.connect() as connection:
        fired = [each for each in alerts.open_alerts(connection) if each.state == "firing"]
    assert {"code": FAULT, "phone_number_id": NUMBER} in [each.group for each in fired]


def test_a_reported_failed_call_is_no_sign_of_webhooks(
    engine: Engine, now: datetime, traffic: Traffic
) -> None:
    silence = [each for each in parse_rules(default_rules_text()) if each.name == "no-webhooks"]
    traffic.sent(1, now - 3 * DAY)
    report_accepted(engine, NUMBER, now - 12 * MINUTE)
    report_failed_calls(engine, 3, now - 5 * MINUTE, PARAMETER)
    for minutes in range(4):
        evaluate(engine, silence, now + minutes * MINUTE)
    with engine.connect() as connection:
        assert [(each.rule, each.state) for each in alerts.open_alerts(connection)] == [
            ("no-webhooks", "firing")
        ]


def test_accepted_sends_at_made_up_numbers_are_no_silence_that_hides_a_real_one(
    engine: Engine, now: datetime, traffic: Traffic
) -> None:
    silence = [each for each in parse_rules(default_rules_text()) if each.name == "no-webhooks"]
    traffic.sent(1, now - 3 * DAY)
    for place in range(3):
        report_accepted(engine, f"made up {place}", now - 12 * MINUTE, key="rival")
    evaluate(engine, silence, now)
    report_accepted(engine, NUMBER, now - 12 * MINUTE)
    for minutes in range(4):
        evaluate(engine, silence, now + minutes * MINUTE)
    with engine.connect() as connection:
        assert [each.group for each in alerts.open_alerts(connection)] == [{"phone_number_id": NUMBER}]
