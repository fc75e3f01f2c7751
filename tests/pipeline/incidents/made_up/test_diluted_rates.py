"""What senders report makes no failure rate of webhooks look smaller: it is judged without the reports too."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from tests.support.reports import failed_call, report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.findings.find import find
from webhook_app.pipeline.sends.reports import register
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import alerts, findings
from webhook_app.store.incidents.alerts import Alert

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FAULT, PARAMETER, WITHHELD, TOKEN, UNPAID = 131000, 131008, 131049, 190, 131042
RULES = parse_rules(default_rules_text())
BY_RULE = {each.name: each for each in RULES}


@pytest.fixture
def now(now: datetime) -> datetime:
    """Half past noon."""
    return now.replace(hour=12, minute=30, second=0, microsecond=0)


def firing(engine: Engine) -> dict[str, Alert]:
    with engine.connect() as connection:
        return {each.rule: each for each in alerts.open_alerts(connection) if each.state == "firing"}


def test_made_up_failed_calls_of_other_codes_hide_no_outage(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    report_failed_calls(engine, 900, now - 16 * MINUTE, WITHHELD)
    traffic.sent(60, now - MINUTE)
    traffic.failed(20, now - MINUTE, FAULT)
    for second in (0, 15):
        evaluate(engine, RULES, now + second * SECOND)
    found = firing(engine)
    assert {
        f"failure-rate-{name}" for name in ("per-code", "per-number", "per-account", "overall", "per-country")
    } <= {*found}
    per_code = found["failure-rate-per-code"]
    assert (per_code.attempts, per_code.failures, per_code.webhook_codes) == (80, 20, [FAULT])


def test_two_failed_calls_of_one_message_are_shown_by_no_webhook(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.sent(20, now - MINUTE)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, [failed_call(now, code) for code in (TOKEN, UNPAID)], now, reported_by="rival")
    evaluate(engine, [BY_RULE["needs-attention"]], now)
    with engine.connect() as connection:
        found = alerts.open_alerts(connection)
    assert {each.group["code"]: each.webhook_codes for each in found} == {TOKEN: [], UNPAID: []}


def test_made_up_failed_calls_end_no_alert(engine: Engine, traffic: Traffic, now: datetime) -> None:
    rule = [BY_RULE["failure-rate-per-number"]]
    traffic.sent(60, now - MINUTE)
    traffic.failed(20, now - MINUTE, FAULT)
    for second in (0, 15):
        evaluate(engine, rule, now + second * SECOND)
    assert list(firing(engine)) == ["failure-rate-per-number"]
    report_failed_calls(engine, 1500, now - 14 * MINUTE, WITHHELD)
    for minute in range(1, 7):
        evaluate(engine, rule, now + minute * MINUTE)
    [alert] = firing(engine).values()
    assert (alert.attempts, alert.failures, alert.evaluations_below) == (80, 20, 0)


def test_what_an_alert_about_made_up_failures_held_counts_for_webhooks(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    rule = [BY_RULE["failure-rate-per-code"]]
    report_failed_calls(engine, 60, now - 15 * MINUTE, FAULT)
    traffic.failed(2, now - 15 * MINUTE, FAULT)
    for second in (0, 15):
        evaluate(engine, rule, now - 13 * MINUTE + second * SECOND)
    assert list(firing(engine)) == ["failure-rate-per-code"]
    traffic.sent(30, now - 2 * MINUTE)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE alerts SET state = 'resolved', ended_how = 'recovered', resolved_at = :now"),
            {"now": now - 10 * MINUTE},
        )
        connection.execute(text("UPDATE incidents SET state = 'ended', ended_at = :now"), {"now": now})
    traffic.failed(4, now - MINUTE, FAULT)
    for second in (0, 15):
        evaluate(engine, rule, now + second * SECOND)
    assert firing(engine)["failure-rate-per-code"].failures == 6


def test_a_chronic_state_of_webhooks_is_found_beside_made_up_failed_calls(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    for day in range(1, 8):
        traffic.sent(40, now - day * DAY)
        traffic.failed(8, now - day * DAY, FAULT)
        report_failed_calls(engine, 600, now - day * DAY, WITHHELD)
    while sum_hours(engine, now) > 3:
        pass
    find(engine, RULES, now)
    with engine.connect() as connection:
        [found] = [each for each in findings.open_findings(connection) if each.kind == "chronic"]
    assert (found.codes, found.impact["failures"]) == ([FAULT], 56)


def test_what_was_reported_before_makes_no_failure_of_webhooks_usual_or_known(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    for day in range(1, 4):
        traffic.sent(100, now - day * DAY)
        for code in (FAULT, PARAMETER):
            report_failed_calls(engine, 100, now - day * DAY, code)
    while sum_hours(engine, now) > 3:
        pass
    traffic.sent(170, now - MINUTE)
    for code in (FAULT, PARAMETER):
        traffic.failed(15, now - MINUTE, code)
    for minute in range(3):
        evaluate(engine, [BY_RULE["spike"], BY_RULE["new-code"]], now + minute * MINUTE)
    with engine.connect() as connection:
        found = {(each.rule, each.group["code"]) for each in alerts.open_alerts(connection)}
    assert found == {(rule, code) for rule in ("spike", "new-code") for code in (FAULT, PARAMETER)}
