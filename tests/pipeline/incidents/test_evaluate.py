"""From stored webhooks to alerts, incidents and the outbox: each once, however many schedulers run."""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import convert
from sqlalchemy import Connection, Engine, text

from tests.support.factories import NUMBER
from tests.support.traffic import Traffic
from webhook_app.channels.notification import AffectedPart, Notification
from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import alerts, incidents, rule_evaluations
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
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


def announce(engine: Engine, rules: list[Rule], at: datetime, **more: Any) -> int:
    """Evaluate three times, 15 s apart, so that an incident is announced; returns the number of notifications."""
    return sum(
        evaluate(engine, rules, at + seconds * SECOND, **more).notifications for seconds in (0, 15, 30)
    )


def known_incidents(engine: Engine) -> list[Incident]:
    with engine.connect() as connection:
        return incidents.list_incidents(connection, 100)


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
    traffic.failed(10, now, UNREACHABLE, recipient="4915123456789")
    rules = parse_rules(default_rules_text())
    first = evaluate(engine, rules, now, public_url="https://alerts.example/", channels=["log", "slack"])
    assert first.transitions == {"pend": 1}
    assert notifications_of(engine) == []
    second = evaluate(engine, rules, now + 15 * SECOND, channels=["log", "slack"])
    assert (second.transitions, second.notifications) == ({"fire": 1}, 0), (
        "what joins it is announced with it"
    )
    later = {"public_url": "https://alerts.example/", "channels": ["log", "slack"]}
    assert announce(engine, list(rules), now + 30 * SECOND, **later) == 1
    [(channel, reason, payload)] = notifications_of(engine)
    [alert], [incident] = open_alerts(engine), known_incidents(engine)
    assert (channel, reason) == ("slack", "fired")
    assert payload.group == alert.group == {"code": UNREACHABLE, "phone_number_id": NUMBER}
    assert (payload.figures.attempts, payload.figures.failures) == (1040, 40)
    assert payload.figures.rate == pytest.approx(0.0385, abs=0.00005)
    assert (payload.figures.low, payload.figures.high) == pytest.approx((0.0284, 0.0520), abs=0.0001)
    assert (payload.failures, payload.contacts) == (40, 31)
    assert (payload.numbers, payload.templates) == ((NUMBER,), ("order_update",))
    assert payload.since == now - MINUTE
    assert payload.slice == AffectedPart(values={"template": ("order_update",)}, failures=30, share=0.75)
    assert payload.title == "131026 Message Undeliverable, template order_update"
    assert len(payload.samples) == 3
    [code] = payload.codes
    assert (code.code, code.failure_class, code.failures) == (UNREACHABLE, "unreachable", 40)
    assert code.meaning
    assert payload.advice == code.advice
    assert code.action in code.advice
    assert payload.link == f"https://alerts.example/incidents/{incident.id}"
    assert (incident.title, alert.incident_id) == (payload.title, incident.id)


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
    summary = evaluate(engine, [rule(resolve_after_evaluations=1)], now + 20 * MINUTE)
    assert (summary.groups, summary.transitions) == (1, {})
    [alert] = open_alerts(engine)
    assert (alert.state, alert.attempts, alert.evaluated_at) == ("firing", 0, now + 20 * MINUTE)
    evaluate(engine, [rule(resolve_after_evaluations=1)], now + 31 * MINUTE)
    [alert] = all_alerts(engine)
    assert (alert.state, alert.ended_how) == ("resolved", "quiet"), "after half an hour it ends as unknown"


def test_a_firing_alert_resolves_when_messages_are_delivered_again_and_its_end_is_notified(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    rules = [rule(resolve_after_evaluations=2)]
    start = now - 20 * MINUTE
    traffic.failed(60, start, UNREACHABLE)
    announce(engine, rules, start)
    traffic.sent(100, now)
    evaluate(engine, rules, now)
    assert [alert.evaluations_below for alert in open_alerts(engine)] == [1]
    summary = evaluate(engine, rules, now + MINUTE)
    assert summary.transitions == {"resolve": 1}
    [alert] = all_alerts(engine)
    assert (alert.state, alert.resolved_at) == ("resolved", now + MINUTE)
    assert [reason for _, reason, _ in notifications_of(engine)] == ["fired", "resolved"]
    resolved = notifications_of(engine)[-1][2]
    assert resolved.since == start
    assert (resolved.resolved_at, resolved.ended_how) == (now + MINUTE, "recovered")
    assert (resolved.peak_rate, resolved.peak_at) == (1.0, start)
    assert (resolved.failures, resolved.contacts) == (60, 60)
    assert resolved.why == "Below 1.5 % for 2 evaluations: 0 of 100 messages failed in 15 min, 0 %."
    assert [code.code for code in resolved.codes] == [UNREACHABLE]


def test_reminders_come_at_growing_intervals_until_somebody_acknowledges(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    rules = [rule(repeat_hours=0.25, resolve_after_evaluations=99)]

    def notified(minutes: int) -> int:
        """The notifications of an evaluation after so many minutes, while messages go on failing."""
        traffic.failed(1, now + minutes * MINUTE, UNREACHABLE)
        return evaluate(engine, rules, now + minutes * MINUTE).notifications

    traffic.failed(60, now - MINUTE, UNREACHABLE)
    assert announce(engine, rules, now - MINUTE) == 1
    assert [notified(minutes) for minutes in (14, 15, 29, 44, 45, 59)] == [0, 1, 0, 0, 1, 0]
    assert [reason for _, reason, _ in notifications_of(engine)] == ["fired", "repeated", "repeated"]
    [incident] = known_incidents(engine)
    assert (incident.repeats, incident.last_notified_at) == (2, now + 45 * MINUTE)
    assert notifications_of(engine)[-1][2].failures == 65, "of its whole life, not of the window"
    with engine.begin() as connection:
        assert actions.acknowledge(connection, incident.id, actor="ops", now=now + 46 * MINUTE)
    assert [notified(minutes) for minutes in range(60, 240, 20)] == [0] * 9


def test_earlier_failures_that_arrive_late_move_the_start_back_and_never_forward(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    rules = [rule(repeat_hours=0.25, window_minutes=60, resolve_after_evaluations=99)]
    traffic.failed(60, now, UNREACHABLE)
    announce(engine, rules, now)
    traffic.failed(60, now - 10 * MINUTE, UNREACHABLE)
    evaluate(engine, rules, now + 16 * MINUTE)
    [fired, repeated] = [payload for _, _, payload in notifications_of(engine)]
    assert fired.since == now
    assert repeated.since <= now
    assert repeated.title == fired.title


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
    added = announce(engine, [rule(channels=wanted)], now, channels=known)
    assert [channel for channel, _, _ in notifications_of(engine)] == expected
    assert added == len(expected)


@pytest.mark.parametrize("channel", ["pagerduty", "email", "webhook", "alertmanager"])
def test_the_default_rules_notify_the_only_channel_that_is_set_up(
    engine: Engine, traffic: Traffic, now: datetime, channel: str
) -> None:
    traffic.sent(900, now - MINUTE)
    traffic.failed(100, now, UNREACHABLE)
    default = parse_rules(default_rules_text())
    announce(engine, list(default), now, channels=[channel, "log"])
    announce(engine, list(default), now + 45 * SECOND, channels=[channel, "log"])
    assert (channel, "fired") in [(name, reason) for name, reason, _ in notifications_of(engine)]


def test_a_channel_that_nothing_names_gets_every_notification_but_those_of_rules_without_channels(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    rules = [rule(channels=("slack",)), rule(name="shown only", group_by=(), channels=())]
    announce(engine, rules[1:], now, channels=["slack", "webhook", "log"])
    assert notifications_of(engine) == []
    announce(engine, rules, now + MINUTE, channels=["slack", "webhook", "log"])
    assert [(channel, reason) for channel, reason, _ in notifications_of(engine)] == [
        ("slack", "fired"),
        ("webhook", "fired"),
    ]
    assert len(known_incidents(engine)) == 1


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [rule(group_by=("phone_number_id",), min_failures=1000)],
        [rule(codes=(BROKEN,))],
    ],
    ids=["gone", "grouped differently", "another code"],
)
def test_incidents_that_no_rule_covers_any_more_end_and_their_channels_are_notified(
    engine: Engine, traffic: Traffic, now: datetime, rules: list[Rule]
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    announce(engine, [rule(channels=("slack",))], now, channels=["slack", "log"])
    summary = evaluate(engine, rules, now + MINUTE, channels=["slack", "log"])
    assert summary.transitions["resolve"] == 1
    [alert] = [alert for alert in all_alerts(engine) if alert.rule == "r"]
    assert (alert.state, alert.resolved_at) == ("resolved", now + MINUTE)
    assert "rules were changed" in alert.explanation["reason"]
    sent = [(c, r, p.ended_how) for c, r, p in notifications_of(engine) if p.incident_id == alert.incident_id]
    assert sent == [("slack", "fired", ""), ("slack", "resolved", "rules")]


def test_an_incident_goes_on_while_another_rule_covers_its_failures(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    announce(engine, [rule(channels=("log",))], now)
    announce(engine, [rule(name="other", group_by=("phone_number_id",))], now + MINUTE)
    [incident] = known_incidents(engine)
    assert incident.is_open
    assert {alert.incident_id for alert in all_alerts(engine)} == {incident.id}
    assert [reason for _, reason, _ in notifications_of(engine)] == ["fired"]


def test_a_channel_that_only_a_later_alert_names_gets_the_opening_once(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    first, second = rule(channels=("log",)), rule(name="other", group_by=(), channels=("slack", "log"))
    announce(engine, [first], now, channels=["slack", "log"])
    announce(engine, [first, second], now + MINUTE, channels=["slack", "log"])
    announce(engine, [first, second], now + 2 * MINUTE, channels=["slack", "log"])
    sent = [(channel, reason) for channel, reason, _ in notifications_of(engine)]
    assert sent == [("log", "fired"), ("slack", "fired")]


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


def test_what_an_evaluation_with_a_clock_ahead_left_is_judged_by_the_next_one(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    evaluate(engine, [rule()], now)
    evaluate(engine, [rule()], now + 20 * MINUTE)
    traffic.failed(30, now + MINUTE, UNREACHABLE)
    evaluate(engine, [rule()], now + MINUTE)
    [alert] = open_alerts(engine)
    assert (alert.failures, alert.evaluated_at) == (90, now + MINUTE)
    with engine.connect() as connection:
        assert rule_evaluations.all_evaluations(connection)["r"].evaluated_at == now + MINUTE


@pytest.mark.parametrize("earlier_looks", [0, 1])
def test_concurrent_schedulers_open_one_alert_per_group_and_one_incident(
    engine: Engine, traffic: Traffic, now: datetime, earlier_looks: int
) -> None:
    now = now.replace(second=30)  # the earlier look is in the same minute
    numbers = [str(590238114470100 + index) for index in range(5)]
    for number in numbers:
        traffic.failed(60, now, UNREACHABLE, number=number)
    rules = [rule(for_evaluations=1 + earlier_looks)]
    if earlier_looks:
        evaluate(engine, rules, now - timedelta(seconds=1))

    def evaluate_concurrently(at: datetime) -> None:
        start = threading.Barrier(4)

        def one() -> None:
            start.wait()
            evaluate(engine, rules, at)

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for seconds in (0, 15, 30):
        evaluate_concurrently(now + seconds * SECOND)
    assert sorted(str(a.group["phone_number_id"]) for a in open_alerts(engine)) == numbers
    assert {alert.state for alert in open_alerts(engine)} == {"firing"}
    [incident] = known_incidents(engine)
    [(_, reason, payload)] = notifications_of(engine)
    assert reason == "fired"
    assert sorted(payload.numbers) == sorted(incident.names["phone_number_id"]) == numbers
    assert [each.rule for each in payload.evidence] == ["r"] * 5


def test_a_notification_that_is_refused_leaves_its_incident_as_it_was(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE notifications ADD CONSTRAINT refused CHECK (channel <> 'log')"))
    with pytest.raises(Exception, match="not judged: incident"):
        announce(engine, [rule()], now)
    [incident] = known_incidents(engine)
    assert (incident.evaluated_at, incident.notified_at) == (now + 15 * SECOND, None)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE notifications DROP CONSTRAINT refused"))
    evaluate(engine, [rule()], now + 45 * SECOND)
    assert len(notifications_of(engine)) == 1


def test_notifications_contain_no_phone_number_and_no_contact(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    traffic.failed(60, now, UNREACHABLE, recipient="4915123456789")
    announce(engine, [rule()], now)
    with engine.connect() as connection:
        payload = connection.execute(text("SELECT payload::text FROM notifications")).scalar_one()
    assert "4915123456789" not in payload
