"""One cause is one incident, and two causes are two: through the real evaluation, on stored webhooks."""

from datetime import datetime

from sqlalchemy import Engine

from tests.pipeline.incidents.evaluations import (
    HOUR,
    MINUTE,
    OTHER_NUMBER,
    PLATFORM,
    TEMPLATE_PAUSED,
    Evaluate,
    reasons,
    rule,
)
from tests.support.factories import NUMBER
from tests.support.incidents import known, sent
from tests.support.traffic import Traffic
from webhook_app.pipeline.incidents import actions
from webhook_app.store.incidents import alerts


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


def test_two_accounts_that_cannot_pay_are_two_incidents(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.failed(5, now, 131042)
    traffic.failed(5, now, 131042, number=OTHER_NUMBER, waba="1099887766554")
    look(now)
    assert len(known(engine)) == 2
    assert reasons(engine) == ["fired", "fired"]
