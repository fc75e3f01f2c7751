"""Notifications: one per cause, escalations at once, and muted alerts that outlast the one that muted them."""

from datetime import datetime, timedelta

from msgspec import convert
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER
from tests.support.traffic import Traffic
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file import parse_rules
from webhook_app.store.incidents import alerts

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
UNREACHABLE, TOKEN, TEMPLATE = 131026, 190, 132015
CHANNELS = ("slack", "pagerduty", "log")

RULES = parse_rules("""
[[rule]]
name = "rate"
kind = "rate"
threshold = 0.02
for_evaluations = 1
resolve_after_evaluations = 1
escalate_above = 0.3

[[rule]]
name = "severe"
kind = "rate"
classes = ["broken"]
group_by = ["phone_number_id"]
threshold = 0.1
for_evaluations = 1
resolve_after_evaluations = 1
severity = "critical"

[[rule]]
name = "token"
kind = "attention"
resolve_after_evaluations = 1

[[route]]
severities = ["critical"]
channels = ["pagerduty", "slack"]
""")


def evaluate_at(engine: Engine, now: datetime) -> None:
    evaluate(engine, RULES, now, channels=CHANNELS)


def notified(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT channel, reason, payload FROM notifications ORDER BY id"))
        return [(row.channel, row.reason, convert(row.payload, Notification).rule) for row in rows]


def test_an_escalated_alert_is_notified_where_critical_ones_go(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.sent(900, now)
    traffic.failed(60, now, UNREACHABLE)
    evaluate_at(engine, now)
    with engine.begin() as connection:
        [alert] = alerts.open_alerts(connection)
        alerts.acknowledge(connection, alert.id, "anna", now)
    traffic.failed(900, now + MINUTE, UNREACHABLE)
    evaluate_at(engine, now + MINUTE)
    evaluate_at(engine, now + 2 * MINUTE)
    assert notified(engine) == [
        ("slack", "fired", "rate"),
        ("pagerduty", "escalated", "rate"),
        ("slack", "escalated", "rate"),
    ]
    with engine.connect() as connection:
        [alert] = alerts.open_alerts(connection)
    assert (alert.severity, alert.notified_severity) == ("critical", "critical")


def test_an_expired_token_is_notified_once_and_mutes_the_rate_alerts_it_causes(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(100, now, TOKEN)
    evaluate_at(engine, now)
    assert notified(engine) == [("pagerduty", "fired", "token"), ("slack", "fired", "token")]
    with engine.connect() as connection:
        found = {a.rule: a for a in alerts.open_alerts(connection)}
    assert {name: a.muted_why for name, a in found.items()} == {
        "token": "",
        "rate": "cause",
        "severe": "cause",
    }
    assert {a.muted_by for a in found.values()} == {None, found["token"].id}
    assert found["token"].explanation["others"] == 2
    traffic.sent(1000, now + 20 * MINUTE)
    evaluate_at(engine, now + 20 * MINUTE)
    assert [reason for _, reason, _ in notified(engine)] == ["fired", "fired", "resolved", "resolved"]


def test_a_critical_alert_on_the_same_cause_mutes_the_warning(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.sent(700, now)
    traffic.failed(150, now, TEMPLATE)
    evaluate_at(engine, now)
    assert {rule for _, _, rule in notified(engine)} == {"severe"}


def test_an_alert_that_outlasts_the_one_that_muted_it_is_notified(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    other = "590238114470022"
    traffic.failed(90, now, UNREACHABLE)
    traffic.failed(80, now, UNREACHABLE, number=other)
    evaluate_at(engine, now)
    assert [reason for _, reason, _ in notified(engine)] == [
        "fired"
    ] * 2  # pagerduty and slack: everything fails
    later = now + 20 * MINUTE
    traffic.sent(500, later)
    traffic.failed(80, later, UNREACHABLE, number=other)
    evaluate_at(engine, later)
    assert [reason for channel, reason, _ in notified(engine) if channel == "slack"] == ["fired", "resolved"]
    traffic.failed(80, later + 11 * MINUTE, UNREACHABLE, number=other)
    evaluate_at(engine, later + 11 * MINUTE)
    assert [reason for channel, reason, _ in notified(engine) if channel == "slack"] == [
        "fired",
        "resolved",
        "fired",
    ]


def test_the_message_has_the_previous_alert_and_the_slice_with_most_excess(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    early = now - HOUR
    traffic.sent(900, early, template="popular")
    traffic.failed(60, early, TEMPLATE, template="broken")
    evaluate_at(engine, early)
    traffic.sent(900, early + 20 * MINUTE, template="popular")
    evaluate_at(engine, early + 20 * MINUTE)
    traffic.sent(9000, now, template="popular")
    traffic.failed(140, now, TEMPLATE, template="popular")
    traffic.failed(400, now, TEMPLATE, template="broken")
    evaluate_at(engine, now)
    with engine.connect() as connection:
        payload = connection.execute(
            text("SELECT payload FROM notifications ORDER BY id DESC LIMIT 1")
        ).scalar_one()
    words = convert(payload, Notification)
    assert words.group == {"code": TEMPLATE, "phone_number_id": NUMBER}
    assert words.slice is not None
    assert words.slice.template == "broken"
    assert dict(words.details)["Last time"].startswith(f"{early:%Y-%m-%d %H:%M} UTC, for 20 min (alert ")


def test_a_popular_template_is_not_named_for_being_popular(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    for template, size in (("popular", 9), ("rare", 1)):
        traffic.sent(size * 90, now, template=template)
        traffic.failed(size * 10, now, UNREACHABLE, template=template)
    evaluate_at(engine, now)
    with engine.connect() as connection:
        [alert] = alerts.open_alerts(connection)
    held = alert.explanation["slice"]
    assert held is None or held["template"] is None
