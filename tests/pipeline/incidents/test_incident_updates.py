"""One cause is one incident, and people are notified of it once: through the real evaluation, on stored webhooks."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER
from tests.support.incidents import known, sent
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import alerts

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
OTHER_NUMBER = "590238114470022"
UNREACHABLE, BROKEN, PLATFORM, TEMPLATE_PAUSED = 131026, 131053, 131016, 132015
DEFAULT = parse_rules(default_rules_text())

Evaluate = Callable[..., None]


@pytest.fixture
def look(engine: Engine) -> Evaluate:
    """Evaluates at these moments, by default every 15 s for a minute."""

    def run(at: datetime, rules: Sequence[Rule] = DEFAULT, seconds: int = 60) -> None:
        for second in range(0, seconds + 1, 15):
            evaluate(engine, rules, at + second * SECOND, channels=["slack", "log"])

    return run


def rule(**more: Any) -> Rule:
    plain = {
        "name": "r",
        "threshold": 0.02,
        "resolve_below": 0.015,
        "for_evaluations": 1,
        "resolve_after_evaluations": 2,
        "channels": ("slack",),
    }
    return Rule(**(plain | more))


def reasons(engine: Engine) -> list[str]:
    return [each.reason for each in sent(engine)]


def test_one_outage_on_one_number_is_one_message_whatever_rules_see_it(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(300, now)
    for code in (PLATFORM, 131000, 130429):
        traffic.failed(150, now, code)
    look(now)
    [incident] = known(engine)
    [message] = sent(engine)
    assert message.incident_id == incident.id
    assert message.reason == "fired"
    assert (incident.total_failures, incident.contacts) == (450, 450)
    assert {PLATFORM, 131000, 130429} <= set(incident.codes)
    assert "remove no contacts" in message.advice
    with engine.connect() as connection:
        firing = [alert for alert in alerts.open_alerts(connection) if alert.state == "firing"]
    assert len(firing) > 2
    assert {alert.incident_id for alert in firing} == {incident.id}


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


def test_a_broken_template_during_an_outage_is_an_incident_of_its_own(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(500, now)
    traffic.failed(200, now, PLATFORM)
    look(now)
    traffic.failed(80, now + MINUTE, TEMPLATE_PAUSED, template="order")
    look(now + 2 * MINUTE)
    first, second = known(engine)
    assert (first.codes[0], second.codes[0]) == (PLATFORM, TEMPLATE_PAUSED)
    assert second.names["template"] == ["order"]
    assert [each.incident_id for each in sent(engine) if each.reason == "fired"] == [first.id, second.id]


def test_the_campaign_that_fails_inside_a_large_number_is_named(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(4_000, now)
    traffic.failed(90, now, BROKEN, biz_opaque_callback_data='{"campaign": "blast"}')
    look(now, [rule(threshold=0.01)])
    [message] = sent(engine)
    assert message.slice is not None
    assert message.slice.values == {"campaign": ("blast",)}
    assert "blast" in message.title


def test_no_slice_is_named_when_everything_fails_alike(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.failed(100, now, PLATFORM)
    look(now, [rule()])
    [message] = sent(engine)
    assert message.slice is None


def test_the_same_platform_code_on_another_number_joins_and_no_second_opening_is_sent(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    for number in (NUMBER, OTHER_NUMBER):
        traffic.sent(100, now, number=number)
    traffic.failed(100, now, PLATFORM)
    look(now, [rule()])
    traffic.failed(100, now + 2 * MINUTE, PLATFORM, number=OTHER_NUMBER)
    look(now + 3 * MINUTE, [rule()])
    [incident] = known(engine)
    assert sorted(incident.names["phone_number_id"]) == sorted([NUMBER, OTHER_NUMBER])
    assert reasons(engine) == ["fired"]


def test_recovery_ends_the_incident_with_the_figures_of_its_whole_life(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(100, now)
    traffic.failed(100, now, PLATFORM)
    look(now, [rule()])
    later = now + 20 * MINUTE
    traffic.sent(500, later)
    look(later, [rule()])
    [incident] = known(engine)
    assert (incident.state, incident.ended_how) == ("ended", "recovered")
    assert reasons(engine) == ["fired", "resolved"]
    end = sent(engine)[-1]
    assert (end.failures, end.contacts, end.ended_how) == (100, 100, "recovered")
    assert end.peak_rate == pytest.approx(0.5)
    assert end.peak_at is not None
    assert end.title == sent(engine)[0].title


def test_without_traffic_the_incident_goes_quiet_and_says_that_nobody_knows(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.failed(100, now, PLATFORM)
    look(now, [rule()])
    for minutes in range(5, 60, 5):
        look(now + minutes * MINUTE, [rule()], seconds=0)
    [incident] = known(engine)
    assert (incident.state, incident.ended_how) == ("ended", "quiet")
    assert incident.ended_at is not None
    assert timedelta(minutes=30) < incident.ended_at - now <= timedelta(minutes=50)
    assert "No messages since" in sent(engine)[-1].why


def test_the_same_cause_an_hour_after_recovery_is_again_and_not_new(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(100, now)
    traffic.failed(100, now, PLATFORM)
    look(now, [rule()])
    traffic.sent(500, now + 20 * MINUTE)
    look(now + 20 * MINUTE, [rule()])
    traffic.sent(100, now + 80 * MINUTE)
    traffic.failed(100, now + 80 * MINUTE, PLATFORM)
    look(now + 80 * MINUTE, [rule()])
    [incident] = known(engine)
    assert (incident.state, incident.again, incident.ended_at) == ("open", 1, None)
    assert reasons(engine) == ["fired", "resolved", "again"]


def test_three_hours_after_recovery_it_is_another_incident(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    for start in (now, now + 4 * HOUR):
        traffic.sent(100, start)
        traffic.failed(100, start, PLATFORM)
        look(start, [rule()])
        traffic.sent(500, start + 20 * MINUTE)
        look(start + 20 * MINUTE, [rule()])
    assert [incident.ended_how for incident in known(engine)] == ["recovered", "recovered"]
    assert reasons(engine) == ["fired", "resolved"] * 2


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


def test_a_silence_that_covers_every_alert_keeps_the_incident_quiet_until_it_ends(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    with engine.begin() as connection:
        actions.add_silence(
            connection,
            matchers={"code": PLATFORM},
            author="ops",
            until=now + 5 * MINUTE,
            comment="known",
            now=now - MINUTE,
        )
    traffic.failed(100, now, PLATFORM)
    look(now, [rule()])
    assert reasons(engine) == []
    look(now + 6 * MINUTE, [rule()])
    assert reasons(engine) == ["fired"]


def test_a_silence_of_a_code_covers_the_alerts_of_every_level(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    with engine.begin() as connection:
        actions.add_silence(
            connection,
            matchers={"code": BROKEN, "phone_number_id": NUMBER},
            author="ops",
            until=now + HOUR,
            comment="",
            now=now - MINUTE,
        )
    traffic.failed(100, now, BROKEN)
    look(now)
    with engine.connect() as connection:
        assert len(alerts.open_alerts(connection)) > 2
    assert reasons(engine) == []
    traffic.failed(100, now + 2 * MINUTE, BROKEN, number=OTHER_NUMBER, waba="1099887766554")
    look(now + 2 * MINUTE)
    assert "fired" in reasons(engine), "another number is not covered"


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


def test_an_expired_token_is_one_incident_with_the_alerts_about_its_effects(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.failed(100, now, 190)
    look(now)
    [incident] = known(engine)
    [message] = sent(engine)
    assert (message.rule, message.severity) == ("needs-attention", "critical")
    with engine.connect() as connection:
        members = alerts.of_incidents(connection, [incident.id])
    assert {"needs-attention", "failure-rate-per-code"} <= {member.rule for member in members}


def test_an_incident_lasts_until_its_last_alert_is_resolved(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    for number in (NUMBER, OTHER_NUMBER):
        traffic.failed(100, now, PLATFORM, number=number)
    look(now, [rule()])
    later = now + 20 * MINUTE
    traffic.sent(500, later)
    traffic.failed(100, later, PLATFORM, number=OTHER_NUMBER)
    look(later, [rule()])
    [incident] = known(engine)
    assert (incident.is_open, reasons(engine)) == (True, ["fired"])
    traffic.sent(500, later + 20 * MINUTE, number=OTHER_NUMBER)
    look(later + 20 * MINUTE, [rule()])
    assert reasons(engine) == ["fired", "resolved"]


def test_a_popular_template_is_not_named_for_being_popular(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    for template, size in (("popular", 9), ("rare", 1)):
        traffic.sent(size * 90, now, template=template)
        traffic.failed(size * 10, now, BROKEN, template=template)
    look(now, [rule()])
    assert [message.slice for message in sent(engine)] == [None]


def test_the_figures_are_those_of_the_narrowest_alert_that_has_all_failures(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(4_000, now)
    traffic.failed(90, now, BROKEN, biz_opaque_callback_data='{"campaign": "blast"}')
    look(now)
    [message] = sent(engine)
    assert (message.group, message.title) == (
        {"campaign": "blast"},
        "131053 Media upload error, campaign blast",
    )
    assert message.figures is not None
    assert (message.figures.failures, message.figures.attempts) == (90, 90)


def test_an_incident_that_opens_again_is_not_acknowledged_any_more_and_keeps_its_title(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    rules = [rule(name="wide", group_by=("phone_number_id",)), rule()]
    traffic.sent(100, now)
    traffic.failed(100, now, PLATFORM)
    look(now, rules)
    with engine.begin() as connection:
        actions.acknowledge(connection, known(engine)[0].id, actor="ops", now=now + 2 * MINUTE)
    traffic.sent(500, now + 20 * MINUTE)
    look(now + 20 * MINUTE, rules)
    traffic.sent(100, now + 80 * MINUTE)
    traffic.failed(60, now + 80 * MINUTE, PLATFORM)
    traffic.failed(90, now + 80 * MINUTE, 131000)
    look(now + 80 * MINUTE, rules)
    incident = known(engine)[0]
    assert (incident.again, incident.acknowledged_at, incident.acknowledged_by) == (1, None, "")
    messages = [message for message in sent(engine) if message.incident_id == incident.id]
    assert [message.reason for message in messages] == ["fired", "acknowledged", "resolved", "again"]
    assert len({message.title for message in messages}) == 1
    assert messages[-1].acknowledged_by == ""


def test_the_title_of_a_finding_stays_when_the_finding_changes(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    start = now.replace(minute=30, second=0) - HOUR
    for day in range(1, 7):
        for hour in (-1, 0, 1):
            traffic.sent(50, start - day * 24 * HOUR - 25 * MINUTE + hour * HOUR)
    while sum_hours(engine, start) > 3:
        pass
    look(start)
    traffic.sent(50, start + 5 * MINUTE)
    look(start + 5 * MINUTE, seconds=120)
    fired, resolved = (each for each in sent(engine) if each.rule == "no-webhooks")
    assert fired.title == f"No webhooks in 30 min, 25 or more are usual, business number {NUMBER}"
    assert (resolved.reason, resolved.title) == ("resolved", fired.title)
    assert resolved.why == "Webhooks arrive again for 4 evaluations: 50 webhooks in 30 min."


def test_two_accounts_that_cannot_pay_are_two_incidents(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.failed(5, now, 131042)
    traffic.failed(5, now, 131042, number=OTHER_NUMBER, waba="1099887766554")
    look(now)
    assert len(known(engine)) == 2
    assert reasons(engine) == ["fired", "fired"]


class TestWhatTheDefaultRulesSee:
    """The scenarios of small senders and of many: each is announced, once, for what it is."""

    def test_five_of_five_failed_on_a_number_that_sends_five_a_day(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        for hours in range(4, -1, -1):
            traffic.failed(1, now - hours * HOUR, BROKEN)
        look(now)
        assert reasons(engine) == ["fired"]

    def test_twenty_of_twenty_failed_in_an_hour(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        for minutes in range(60, 0, -3):
            traffic.failed(1, now - minutes * MINUTE, PLATFORM)
        look(now)
        assert reasons(engine) == ["fired"]

    def test_sixty_of_sixty_of_one_campaign_among_four_thousand_messages_of_the_number(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        traffic.sent(4_000, now)
        traffic.failed(60, now, BROKEN, biz_opaque_callback_data='{"campaign": "blast"}')
        look(now)
        [message] = sent(engine)
        assert message.slice is not None
        assert message.slice.values == {"campaign": ("blast",)}

    def test_fifty_numbers_of_an_agency_that_all_fail_are_one_incident(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        for index in range(50):
            number, waba = str(590238114470100 + index), str(700000000000 + index // 5)
            for minutes in range(12, 0, -3):
                traffic.failed(10, now - minutes * MINUTE, PLATFORM, number=number, waba=waba)
        look(now)
        assert len(known(engine)) == 1
        [message] = sent(engine)
        assert (message.failures, len(message.numbers)) == (2_000, 50)
        assert "outage at Meta" in message.advice

    def test_when_three_hundred_small_numbers_fall_silent(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        start = now.replace(minute=30, second=0) - HOUR
        for day in range(1, 5):
            for hour in (-1, 0, 1):
                for index in range(300):
                    at = start - day * 24 * HOUR - 25 * MINUTE + hour * HOUR
                    traffic.sent(1, at, number=str(590238114470100 + index))
        while sum_hours(engine, start) > 3:
            pass
        look(start)
        [message] = sent(engine)
        assert message.rule == "no-webhooks-at-all"
        assert "150 or more are usual" in message.title

    def test_one_number_that_falls_silent_alone_is_one_incident(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        start = now.replace(minute=30, second=0) - HOUR
        for day in range(1, 5):
            for hour in (-1, 0, 1):
                traffic.sent(50, start - day * 24 * HOUR - 25 * MINUTE + hour * HOUR)
        while sum_hours(engine, start) > 3:
            pass
        look(start)
        assert len(known(engine)) == 1
        assert len(sent(engine)) == 1

    def test_four_percent_for_two_hours_at_three_hundred_messages_per_quarter(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        for quarter in range(8, 0, -1):
            at = now - quarter * 15 * MINUTE
            traffic.sent(288, at)
            traffic.failed(12, at, BROKEN)
        look(now)
        assert reasons(engine) == ["fired"]

    def test_one_percent_of_broken_messages_is_healthy(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        for quarter in range(8, 0, -1):
            at = now - quarter * 15 * MINUTE
            traffic.sent(297, at)
            traffic.failed(3, at, BROKEN)
        look(now)
        assert known(engine) == []

    def test_a_restriction_of_one_account_hides_nothing_of_another(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        traffic.failed(300, now, 131031)
        look(now)
        traffic.failed(300, now + MINUTE, 131031, number=OTHER_NUMBER, waba="1099887766554")
        look(now + 2 * MINUTE)
        assert len(known(engine)) == 2
        assert [each.failures for each in sent(engine) if each.reason == "fired"] == [300, 300]

    def test_failures_of_an_ended_incident_do_not_fire_again_in_a_longer_window(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        traffic.sent(100, now)
        traffic.failed(100, now, PLATFORM)
        look(now)
        for minutes in range(16, 75, 4):
            traffic.sent(100, now + minutes * MINUTE)
            look(now + minutes * MINUTE, seconds=45)
        # The other incident is that no notification was sent: nothing runs the outbox here.
        assert [each.ended_how for each in known(engine) if each.kind != "self"] == ["recovered"]
        assert "again" not in reasons(engine)
