"""Stored webhooks to alerts and outbox: alerts open, fire, repeat and end once, however many schedulers run."""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import convert
from sqlalchemy import Connection, Engine, text

from tests.support.factories import NUMBER
from tests.support.traffic import Traffic
from webhook_app.channels.notification import Notification, Slice
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.incidents.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import alerts
from webhook_app.store.incidents.alerts import Alert

MINUTE = timedelta(minutes=1)
OTHER_NUMBER = "590238114470022"
UNREACHABLE, WITHHELD, BROKEN = 131026, 131049, 131053


def rule(**more: Any) -> Rule:
    plain = {
        "name": "r",
        "threshold": 0.02,
        "resolve_below": 0.015,
        "for_evaluations": 1,
        "channels": ("log",),
    }
    return Rule(**(plain | more))


def open_alerts(engine: Engine) -> list[Alert]:
    with engine.connect() as connection:
        return alerts.open_alerts(connection)


def all_alerts(engine: Engine) -> list[Alert]:
    with engine.connect() as connection:
        return alerts.list_alerts(connection)


def notifications_of(engine: Engine) -> list[tuple[str, str, Notification]]:
    with engine.connect() as connection:
        return _notifications(connection)


def _notifications(connection: Connection) -> list[tuple[str, str, Notification]]:
    rows = connection.execute(text("SELECT channel, reason, payload FROM notifications ORDER BY id"))
    return [(row.channel, row.reason, convert(row.payload, Notification)) for row in rows]


def test_the_default_rules_fire_after_two_evaluations_with_a_complete_notification(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.sent(1000, now - MINUTE)
    traffic.failed(30, now - MINUTE, UNREACHABLE, template="order_update")
    ids = traffic.failed(10, now, UNREACHABLE, recipient="4915123456789")
    rules = parse_rules(default_rules_text())
    first = evaluate(engine, rules, now, public_url="https://alerts.example/", channels=["log", "slack"])
    assert first.transitions == {"pend": 1}
    assert notifications_of(engine) == []
    later = now + timedelta(seconds=15)
    second = evaluate(engine, rules, later, public_url="https://alerts.example/", channels=["log", "slack"])
    assert (second.transitions, second.notifications) == ({"fire": 1}, 1)
    [(channel, reason, payload)] = notifications_of(engine)
    [alert] = open_alerts(engine)
    assert (channel, reason) == ("slack", "fired")
    assert payload.group == alert.group == {"code": UNREACHABLE, "phone_number_id": NUMBER}
    assert (payload.figures.attempts, payload.figures.failures) == (1040, 40)
    assert payload.figures.rate == pytest.approx(0.0385, abs=0.00005)
    assert (payload.figures.low, payload.figures.high) == pytest.approx((0.0284, 0.0520), abs=0.0001)
    assert payload.contacts == 31
    assert payload.since == now - MINUTE
    assert payload.slice == Slice(template="order_update", country="US", failures=30, share=0.75)
    assert len(payload.samples) == 3
    assert not set(payload.samples) & set(ids), "the samples are of the slice that failed most"
    [code] = payload.codes
    assert (code.code, code.failure_class, code.failures) == (UNREACHABLE, "unreachable", 40)
    assert code.meaning
    assert code.action in code.advice
    assert payload.link == f"https://alerts.example/alerts/{alert.id}"


def test_the_alert_keeps_the_figures_and_covers_from_the_start_of_the_first_window_above(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.sent(900, now)
    traffic.failed(100, now, UNREACHABLE)
    evaluate(engine, [rule(for_evaluations=3)], now)
    evaluate(engine, [rule(for_evaluations=3)], now + MINUTE)
    [alert] = open_alerts(engine)
    assert (alert.state, alert.evaluations_above, alert.fired_at) == ("pending", 2, None)
    evaluate(engine, [rule(for_evaluations=3)], now + 2 * MINUTE)
    [alert] = open_alerts(engine)
    assert (alert.state, alert.fired_at, alert.codes) == ("firing", now + 2 * MINUTE, [UNREACHABLE])
    assert (alert.attempts, alert.failures, alert.rate) == (1000, 100, 0.1)
    assert (alert.threshold, alert.window_minutes) == (0.02, 15)
    assert alert.covers_from == now.replace(second=0) - 15 * MINUTE
    assert alert.started_at == now


def test_a_pending_alert_that_goes_quiet_is_forgotten(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    evaluate(engine, [rule(for_evaluations=2)], now)
    summary = evaluate(engine, [rule(for_evaluations=2)], now + 17 * MINUTE)
    assert summary.transitions == {"clear": 1}
    assert all_alerts(engine) == []
    assert notifications_of(engine) == []


def test_no_data_is_not_recovery(engine: Engine, traffic: Traffic, now: datetime) -> None:
    traffic.failed(60, now, UNREACHABLE)
    evaluate(engine, [rule(resolve_after_evaluations=1)], now)
    summary = evaluate(engine, [rule(resolve_after_evaluations=1)], now + 60 * MINUTE)
    assert (summary.groups, summary.transitions) == (1, {})
    [alert] = open_alerts(engine)
    assert (alert.state, alert.attempts, alert.evaluated_at) == ("firing", 0, now + 60 * MINUTE)


def test_a_firing_alert_resolves_when_messages_are_delivered_again_and_its_end_is_notified(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    rules = [rule(resolve_after_evaluations=2)]
    traffic.failed(60, now - 30 * MINUTE, UNREACHABLE)
    evaluate(engine, rules, now - 30 * MINUTE)
    traffic.sent(100, now)
    evaluate(engine, rules, now)
    assert [alert.evaluations_below for alert in open_alerts(engine)] == [1]
    summary = evaluate(engine, rules, now + MINUTE)
    assert summary.transitions == {"resolve": 1}
    [alert] = all_alerts(engine)
    assert (alert.state, alert.resolved_at) == ("resolved", now + MINUTE)
    assert [reason for _, reason, _ in notifications_of(engine)] == ["fired", "resolved"]
    resolved = notifications_of(engine)[-1][2]
    assert resolved.since == now - 30 * MINUTE
    assert resolved.resolved_at == now + MINUTE
    assert (resolved.peak_rate, resolved.figures.rate, resolved.figures.attempts) == (1.0, 0.0, 100)
    assert [code.code for code in resolved.codes] == [UNREACHABLE]


def test_reminders_come_at_growing_intervals_until_somebody_acknowledges(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    hour = timedelta(hours=1)
    rules = [rule(repeat_hours=1.0)]
    traffic.failed(60, now, UNREACHABLE)
    judgements = [evaluate(engine, rules, now + hours * hour).notifications for hours in range(5)]
    assert judgements == [1, 1, 0, 1, 0]
    assert [reason for _, reason, _ in notifications_of(engine)] == ["fired", "repeated", "repeated"]
    [alert] = open_alerts(engine)
    assert (alert.repeats, alert.notified_at) == (2, now + 3 * hour)
    assert alert.explanation["contacts"] == 60, "an empty window takes nothing away from what is known"
    with engine.begin() as connection:
        assert alerts.acknowledge(connection, alert.id, "ops", now)
    assert evaluate(engine, rules, now + 48 * hour).notifications == 0


def test_an_alert_keeps_its_start_although_earlier_failures_arrive_late(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    rules = [rule(repeat_hours=0.25, window_minutes=60, resolve_after_evaluations=99)]
    traffic.failed(60, now, UNREACHABLE)
    evaluate(engine, rules, now)
    traffic.failed(60, now - 30 * MINUTE, UNREACHABLE)
    evaluate(engine, rules, now + 16 * MINUTE)
    assert [(reason, payload.since) for _, reason, payload in notifications_of(engine)] == [
        ("fired", now),
        ("repeated", now),
    ]


def test_a_backlog_of_old_events_raises_no_alert(engine: Engine, traffic: Traffic, now: datetime) -> None:
    old = now - timedelta(hours=6)
    traffic.sent(100, old)
    traffic.failed(900, old, BROKEN)
    summary = evaluate(engine, parse_rules(default_rules_text()), now)
    assert summary.transitions == {}


def test_several_rules_are_fed_and_each_counts_what_it_selects(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.sent(800, now)
    traffic.failed(100, now, UNREACHABLE)
    traffic.failed(90, now, BROKEN)
    traffic.failed(50, now, WITHHELD)
    traffic.failed(20, now, BROKEN, number=OTHER_NUMBER)
    rules = [
        rule(name="per code"),
        rule(name="broken", classes=("broken",), group_by=("phone_number_id",), window_minutes=5),
        rule(name="withheld", codes=(WITHHELD,), group_by=()),
        rule(name="all", group_by=("phone_number_id",)),
    ]
    evaluate(engine, rules, now)
    found = {(a.rule, a.group.get("code"), a.group.get("phone_number_id")): a for a in open_alerts(engine)}
    assert {key: (a.attempts, a.failures) for key, a in found.items()} == {
        ("per code", UNREACHABLE, NUMBER): (1040, 100),
        ("per code", BROKEN, NUMBER): (1040, 90),
        ("broken", None, NUMBER): (1040, 90),
        ("withheld", None, None): (1060, 50),
        ("all", None, NUMBER): (1040, 190),
    }
    assert found["all", None, NUMBER].codes == [UNREACHABLE, BROKEN]
    assert found["withheld", None, None].window_minutes == 15


@pytest.mark.parametrize(
    ("wanted", "known", "expected"),
    [
        (("slack",), ("slack", "log"), ["slack"]),
        (("slack", "log"), ("slack", "log"), ["slack", "log"]),
        (("slack",), ("log",), ["log"]),
        (("slack", "log"), ("log",), ["log"]),
        ((), ("log",), []),
    ],
)
def test_each_channel_of_the_rule_gets_one_row_and_the_log_replaces_missing_ones(
    engine: Engine,
    traffic: Traffic,
    now: datetime,
    wanted: tuple[str, ...],
    known: tuple[str, ...],
    expected: list[str],
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    summary = evaluate(engine, [rule(channels=wanted)], now, channels=known)
    assert [channel for channel, _, _ in notifications_of(engine)] == expected
    assert summary.notifications == len(expected)


@pytest.mark.parametrize("channel", ["pagerduty", "email", "webhook", "alertmanager"])
def test_the_default_rules_notify_the_only_channel_that_is_set_up(
    engine: Engine, traffic: Traffic, now: datetime, channel: str
) -> None:
    traffic.sent(900, now - MINUTE)
    traffic.failed(100, now, UNREACHABLE)
    default = parse_rules(default_rules_text())
    for seconds in (0, 15):
        evaluate(engine, default, now + timedelta(seconds=seconds), channels=[channel, "log"])
    assert (channel, "fired") in [(name, reason) for name, reason, _ in notifications_of(engine)]


def test_a_channel_that_nothing_names_gets_every_notification_but_no_muted_rule(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    rules = [rule(channels=("slack",)), rule(name="shown only", group_by=(), channels=())]
    evaluate(engine, rules, now, channels=["slack", "webhook", "log"])
    assert [(channel, payload.rule) for channel, _, payload in notifications_of(engine)] == [
        ("slack", "r"),
        ("webhook", "r"),
    ]


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [rule(name="other", group_by=("template",))],
        [rule(group_by=("phone_number_id",), min_failures=1000)],
        [rule(codes=(BROKEN,))],
    ],
    ids=["gone", "renamed", "grouped differently", "another code"],
)
def test_alerts_that_no_rule_covers_any_more_are_resolved_and_their_channels_notified(
    engine: Engine, traffic: Traffic, now: datetime, rules: list[Rule]
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    evaluate(engine, [rule(channels=("slack",))], now, channels=["slack", "log"])
    summary = evaluate(engine, rules, now + MINUTE, channels=["slack", "log"])
    assert summary.transitions["resolve"] == 1
    [alert] = [alert for alert in all_alerts(engine) if alert.rule == "r"]
    assert (alert.state, alert.resolved_at) == ("resolved", now + MINUTE)
    assert "rules were changed" in alert.explanation["reason"]
    assert [(c, r) for c, r, p in notifications_of(engine) if p.alert_id == alert.id] == [
        ("slack", "fired"),
        ("slack", "resolved"),
    ]


def test_a_pending_alert_that_no_rule_watches_is_forgotten(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    evaluate(engine, [rule(for_evaluations=2)], now)
    evaluate(engine, [], now + MINUTE)
    assert all_alerts(engine) == []


def test_the_same_moment_evaluated_twice_changes_nothing(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    evaluate(engine, [rule(for_evaluations=2)], now)
    summary = evaluate(engine, [rule(for_evaluations=2)], now)
    assert (summary.groups, summary.transitions) == (0, {})
    [alert] = open_alerts(engine)
    assert (alert.state, alert.evaluations_above) == ("pending", 1)


@pytest.mark.parametrize("earlier_looks", [0, 1])
def test_concurrent_schedulers_open_one_alert_per_group_and_notify_the_cause_once(
    engine: Engine, traffic: Traffic, now: datetime, earlier_looks: int
) -> None:
    numbers = [str(590238114470100 + index) for index in range(5)]
    for number in numbers:
        traffic.failed(60, now, UNREACHABLE, number=number)
    rules = [rule(for_evaluations=1 + earlier_looks)]
    if earlier_looks:
        evaluate(engine, rules, now - timedelta(seconds=1))
    start = threading.Barrier(4)

    def one() -> None:
        start.wait()
        evaluate(engine, rules, now)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(a.group["phone_number_id"]) for a in open_alerts(engine)) == numbers
    assert {alert.state for alert in open_alerts(engine)} == {"firing"}
    [(_, reason, payload)] = notifications_of(engine)
    assert reason == "fired"
    [(label, others)] = payload.details
    assert label == "Same cause"
    assert others.count("business number") == 4


def test_a_crash_before_the_commit_leaves_neither_alert_nor_notification(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE notifications ADD CONSTRAINT refused CHECK (channel <> 'log')"))
    with pytest.raises(Exception, match="refused"):
        evaluate(engine, [rule()], now)
    assert all_alerts(engine) == []
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE notifications DROP CONSTRAINT refused"))
    evaluate(engine, [rule()], now)
    assert len(notifications_of(engine)) == 1


def test_notifications_contain_no_phone_number_and_no_contact(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE, recipient="4915123456789")
    evaluate(engine, [rule()], now)
    with engine.connect() as connection:
        payload = connection.execute(text("SELECT payload::text FROM notifications")).scalar_one()
    assert "4915123456789" not in payload
