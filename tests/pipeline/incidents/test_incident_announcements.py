"""People are notified of an incident once, and of what is worse: through the real evaluation, on stored webhooks."""

from datetime import datetime

from sqlalchemy import Engine, text

from tests.pipeline.incidents.evaluations import (
    MINUTE,
    PLATFORM,
    SECOND,
    UNREACHABLE,
    Evaluate,
    reasons,
    rule,
)
from tests.support.incidents import known, sent
from tests.support.traffic import Traffic
from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules


def test_an_incident_is_announced_after_twenty_seconds_with_what_joined_it(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(300, now)
    traffic.failed(100, now, PLATFORM)
    look(now, [rule()], seconds=15)
    assert reasons(engine) == []
    look(now + 30 * SECOND, [rule()], seconds=0)
    assert reasons(engine) == ["fired"]


def test_a_critical_attention_code_is_announced_at_once(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(10, now)
    traffic.failed(1, now, 131042)
    look(now, seconds=0)
    [message] = sent(engine)
    assert (message.reason, message.severity) == ("fired", "critical")


def test_what_is_over_before_it_is_announced_is_never_announced(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.failed(60, now - 14 * MINUTE, PLATFORM)
    evaluate(engine, [rule(resolve_after_evaluations=1)], now)
    traffic.sent(10_000, now)
    look(now + 15 * SECOND, [rule(resolve_after_evaluations=1)])
    [incident] = known(engine)
    assert (incident.state, incident.notified_at) == ("ended", None)
    assert reasons(engine) == []


def test_an_acknowledged_incident_sends_no_reminder_and_a_higher_severity_all_the_same(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    rules = [rule(repeat_hours=0.1, escalate_above=0.5, resolve_after_evaluations=99)]
    traffic.sent(900, now)
    traffic.failed(100, now, PLATFORM)
    look(now, rules)
    [incident] = known(engine)
    with engine.begin() as connection:
        assert actions.acknowledge(connection, incident.id, actor="ops", now=now + 2 * MINUTE) is not None
    look(now + 10 * MINUTE, rules)
    assert reasons(engine) == ["fired", "acknowledged"]
    traffic.failed(5_000, now + 11 * MINUTE, PLATFORM)
    look(now + 11 * MINUTE, rules)
    assert reasons(engine) == ["fired", "acknowledged", "escalated"]
    assert sent(engine)[-1].severity == "critical"


def test_a_higher_severity_goes_where_critical_incidents_go(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    rules = parse_rules("""
[[rule]]
name = "rate"
kind = "rate"
threshold = 0.02
for_evaluations = 1
escalate_above = 0.3

[[route]]
severities = ["critical"]
channels = ["pagerduty", "slack"]
""")
    traffic.sent(900, now)
    traffic.failed(60, now, UNREACHABLE)
    for seconds in (0, 30):
        evaluate(engine, rules, now + seconds * SECOND, channels=["slack", "pagerduty", "log"])
    traffic.failed(900, now + MINUTE, UNREACHABLE)
    for minutes in (1, 2):
        evaluate(engine, rules, now + minutes * MINUTE, channels=["slack", "pagerduty", "log"])
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT channel, reason FROM notifications ORDER BY id"))
        assert [tuple(row) for row in rows] == [
            ("slack", "fired"),
            ("pagerduty", "escalated"),
            ("slack", "escalated"),
        ]
