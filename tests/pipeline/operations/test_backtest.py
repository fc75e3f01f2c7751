"""A backtest reports the alerts of an evaluation at every minute, and the contacts it would have suppressed."""

import json
from datetime import datetime, timedelta

import msgspec
import pytest
from sqlalchemy import text

from tests.support.factories import status
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.operations.backtest import as_json, backtest
from webhook_app.pipeline.operations.backtest_text import as_text
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import alerts, incidents

MINUTE = timedelta(minutes=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNREACHABLE, TOKEN = 131026, 190
RULES = """
[[rule]]
name = "rate"
kind = "rate"
threshold = 0.02
escalate_above = 0.5
[[rule]]
name = "attention"
kind = "attention"
[[rule]]
name = "spike"
kind = "spike"
[[rule]]
name = "own"
kind = "self"
"""


@pytest.fixture
def now(now: datetime) -> datetime:
    return now.replace(second=0) - 10 * MINUTE


def test_it_fires_and_ends_at_the_minutes_at_which_the_evaluation_does(engine, traffic, now):
    start = now - 2 * HOUR
    for minute in range(120):
        at = start + minute * MINUTE
        traffic.sent(10, at)
        if 30 <= minute < 50:
            traffic.failed(4, at, UNREACHABLE)
        if minute == 80:
            traffic.failed(1, at, TOKEN)
    traffic.store(
        status("wamid.TWICE", "failed", start + 35 * MINUTE, code=UNREACHABLE),
        status("wamid.TWICE", "failed", start + 37 * MINUTE, code=131053),
        at=now,
    )
    sum_hours(engine, now)
    rules = parse_rules(RULES)
    report = backtest(engine, rules, start, now, Thresholds())
    for minute in range(121):
        evaluate(engine, rules[:3], start + minute * MINUTE, channels=["slack", "log"])
    with engine.connect() as connection:
        real = incidents.list_incidents(connection, 100)[::-1]
        members = {each.id: alerts.of_incidents(connection, [each.id]) for each in real}
    assert [
        (each.title, each.opened_at, each.told_at, each.ended_at, each.ended_how, each.severity, each.codes)
        for each in report.incidents
    ] == [
        (
            each.title,
            each.opened_at,
            each.notified_at,
            each.ended_at,
            each.ended_how,
            each.severity,
            each.codes,
        )
        for each in real
    ]
    assert [
        [(each.rule, each.group, each.fired_at) for each in incident.alerts] for incident in report.incidents
    ] == [[(each.rule, each.group, each.fired_at) for each in members[incident.id]] for incident in real]
    assert [(each.failures, each.contacts, each.slice) for each in report.incidents] == [
        (each.total_failures, each.contacts, each.slice or None) for each in real
    ]
    assert {alert.rule for each in report.incidents for alert in each.alerts} >= {"rate", "attention"}
    assert all(each.ended_at for each in report.incidents)
    assert [each.reason for each in report.incidents[0].messages][:1] == ["opened"]
    assert (report.evaluations, report.left_out) == (121, ["own"])


def test_it_reports_who_would_be_suppressed_with_and_without_its_alerts(engine, traffic, now):
    for day in (3, 2, 1):
        traffic.store(
            *(
                status(
                    f"wamid.S{day}.{n}",
                    "failed",
                    now - day * DAY,
                    code=UNREACHABLE,
                    recipient=f"1202555010{n}",
                )
                for n in range(2)
            ),
            *(
                status(f"wamid.O{day}.{n}", "sent", now - day * DAY, recipient=f"1202555020{n}")
                for n in range(2)
            ),
            at=now,
        )
    traffic.store(status("wamid.OK", "delivered", now - HOUR, recipient="12025550101"), at=now)
    quiet = parse_rules(RULES)
    report = backtest(engine, quiet, now - 4 * DAY, now, Thresholds(), step=HOUR)
    assert [(row.contact, row.reason, row.failures) for row in report.blocked] == [
        ("12025550100", "unreachable", 3)
    ]
    assert report.spared == 0
    eager = parse_rules(
        '[[rule]]\nname = "a"\nkind = "rate"\nthreshold = 0.02\nmin_attempts = 1\nmin_failures = 1\n'
        "for_evaluations = 1\nconfidence = 0\nwindow_minutes = 120\n"
    )
    report = backtest(engine, eager, now - 4 * DAY, now, Thresholds(), step=HOUR)
    assert (report.blocked, report.spared) == ([], 1)


def test_it_changes_nothing_and_reports_its_progress(engine, traffic, now):
    traffic.failed(60, now - HOUR, UNREACHABLE)
    seen: list[float] = []
    rules = parse_rules(default_rules_text())
    report = backtest(engine, rules, now - 2 * HOUR, now, Thresholds(), progress=seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    with engine.connect() as connection:
        assert alerts.list_alerts(connection) == []
    words = as_text(report)
    assert "131026" in words
    assert "business number 590238114470021" in words
    assert "Not evaluated" in words
    assert "1202555" not in words


def test_the_report_as_json_has_the_form_that_programs_read(engine, traffic, now):
    traffic.sent(40, now - HOUR)
    traffic.failed(60, now - HOUR, UNREACHABLE)
    rules = parse_rules(default_rules_text())
    report = backtest(engine, rules, now - 2 * HOUR, now, Thresholds())
    found = json.loads(msgspec.json.encode(as_json(report)))
    assert list(found) == ["incidents", "findings", "suppressed"]
    [incident] = found["incidents"]
    assert list(incident) == [
        *("kind", "opened_at", "told_at", "ended_at", "ended_how", "severity", "title", "advice", "codes"),
        *("slice", "attempts", "failures", "contacts", "alerts", "messages"),
    ]
    assert (incident["codes"], incident["failures"], incident["slice"]) == ([UNREACHABLE], 60, None)
    assert incident["alerts"][0].keys() == {"rule", "group", "fired_at"}
    assert incident["messages"][0].keys() == {"at", "reason", "rate", "low", "threshold"}
    assert incident["messages"][0]["reason"] == "opened"
    assert incident["told_at"] == incident["messages"][0]["at"]


def test_evidence_before_the_start_and_reports_of_meta_count(engine, traffic, now):
    traffic.failed(60, now - 20 * MINUTE, UNREACHABLE)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO health_changes (subject, subject_id, aspect, occurred_at, value, waba_id, name, language,"
                " received_at) VALUES ('template', '7', 'status', :at, 'PAUSED', '1', 'order', 'en', :at)"
            ),
            {"at": now - 5 * MINUTE},
        )
    rules = parse_rules(default_rules_text())
    report = backtest(engine, rules, now - 10 * MINUTE, now, Thresholds())
    assert {each.kind for each in report.incidents} == {"rate", "health"}
    [health] = [each for each in report.incidents if each.kind == "health"]
    assert health.opened_at == now - 5 * MINUTE
