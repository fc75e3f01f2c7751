"""An incident goes on with its alerts, is silenced, and ends: through the real evaluation, on stored webhooks."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.pipeline.incidents.evaluations import (
    BROKEN,
    HOUR,
    MINUTE,
    OTHER_NUMBER,
    PLATFORM,
    Evaluate,
    reasons,
    rule,
)
from tests.support.factories import NUMBER
from tests.support.incidents import known, sent
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents import actions
from webhook_app.store.incidents import alerts


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
