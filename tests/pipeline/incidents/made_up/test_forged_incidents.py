"""Incidents that only a sender's key reports swallow no outage: what webhooks show is announced in any case."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.support.factories import NUMBER
from tests.support.incidents import known, sent
from tests.support.reports import report_accepted, report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.channels.incident_text import compose
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import alerts

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TOKEN, UNPAID, LOCKED, PLATFORM = 190, 131042, 131031, 131016
DEFAULT = {each.name: each for each in parse_rules(default_rules_text())}
ATTENTION, PER_CODE, SILENCE = (
    DEFAULT[name] for name in ("needs-attention", "failure-rate-per-code", "no-webhooks")
)
OVERALL = DEFAULT["failure-rate-overall"]

Look = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def now(now: datetime) -> datetime:
    """Half past noon."""
    return now.replace(hour=12, minute=30, second=0, microsecond=0)


@pytest.fixture
def look(engine: Engine) -> Look:
    """Evaluates for a minute from this moment; returns (reason, title) of the notifications that this added."""

    def run(at: datetime, *rules: Rule) -> list[tuple[str, str]]:
        before = len(sent(engine))
        for second in (0, 15, 30, 45):
            evaluate(engine, rules, at + second * SECOND, channels=["slack", "log"])
        return [(each.reason, each.title) for each in sent(engine)[before:]]

    return run


def test_a_failed_call_that_a_key_makes_up_swallows_no_other_code_of_its_number(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    report_failed_calls(engine, 1, now, TOKEN)
    [made_up] = look(now, ATTENTION, PER_CODE)
    assert made_up[0] == "fired"
    traffic.failed(40, now + MINUTE, UNPAID)
    [real] = look(now + MINUTE, ATTENTION, PER_CODE)
    assert (real[0], real[1].split()[0]) == ("fired", str(UNPAID))
    assert [each.codes for each in known(engine)] == [[TOKEN], [UNPAID]]


def test_made_up_failed_calls_of_a_platform_code_swallow_no_outage_of_another_number(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    report_failed_calls(engine, 20, now, PLATFORM, number="made up")
    assert [reason for reason, _ in look(now + 20 * SECOND, PER_CODE)] == ["fired"]
    traffic.sent(200, now + MINUTE)
    traffic.failed(60, now + MINUTE, PLATFORM)
    [real] = look(now + 2 * MINUTE, PER_CODE)
    assert real[0] == "fired"
    assert NUMBER in real[1]


def usual_traffic(engine: Engine, traffic: Traffic, now: datetime) -> None:
    for day in range(1, 7):
        for hour in (-1, 0, 1):
            traffic.sent(50, now - day * DAY - 25 * MINUTE + hour * HOUR)
    while sum_hours(engine, now) > 3:
        pass


def test_the_silence_after_an_expired_token_that_senders_report_joins_its_incident_and_is_announced(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    usual_traffic(engine, traffic, now)
    report_failed_calls(engine, 3, now - 2 * MINUTE, TOKEN)
    [first] = look(now - 2 * MINUTE, ATTENTION)
    [incident] = known(engine)
    with engine.begin() as connection:
        assert actions.acknowledge(connection, incident.id, actor="ops", now=now - MINUTE) is not None
    [(reason, title)] = look(now, ATTENTION, SILENCE)
    assert (reason, title) == ("escalated", first[1])
    assert len(known(engine)) == 1
    message = compose(sent(engine)[-1])
    assert (
        message.headline == f"CRITICAL, no longer only reported by senders: {title}: 100 % of messages fail"
    )
    assert [text for label, text in message.facts if label == "Now also"] == [
        "No webhooks in 30 min, 25 or more are usual"
    ]
    assert look(now + MINUTE, ATTENTION, SILENCE) == [], "once"


def test_sends_that_meta_accepts_are_silent_for_another_reason_than_an_expired_token(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    traffic.sent(1, now - 3 * DAY)
    report_accepted(engine, NUMBER, now - 12 * MINUTE)
    report_failed_calls(engine, 1, now - MINUTE, TOKEN)
    look(now - MINUTE, ATTENTION)
    [(reason, title)] = look(now, ATTENTION, SILENCE)
    assert reason == "fired"
    assert title.startswith("No webhooks in 30 min although 40 messages were sent")


def test_an_outage_that_an_alert_about_made_up_failures_already_covers_is_announced(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    report_failed_calls(engine, 60, now, PLATFORM, number="made up")
    assert [reason for reason, _ in look(now + MINUTE, OVERALL)] == ["fired"]
    traffic.sent(200, now + 2 * MINUTE)
    assert look(now + 2 * MINUTE, OVERALL) == []
    traffic.failed(60, now + 3 * MINUTE, PLATFORM)
    made_up, real = look(now + 3 * MINUTE, OVERALL)
    assert (made_up[0], real[0]) == ("resolved", "fired")
    assert "made up" in made_up[1]
    assert real[1] == f"{PLATFORM} Service unavailable, business number {NUMBER}"
    assert [each.ended_how for each in known(engine)] == ["split", ""]
    assert look(now + 4 * MINUTE, OVERALL) == [], "once"


def test_what_webhooks_show_from_the_beginning_is_announced_once(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    traffic.failed(40, now, UNPAID)
    report_failed_calls(engine, 10, now, UNPAID)
    assert [reason for reason, _ in look(now + MINUTE, ATTENTION, PER_CODE)] == ["fired"]
    report_failed_calls(engine, 10, now + 2 * MINUTE, UNPAID, number="made up")
    assert look(now + 2 * MINUTE, ATTENTION, PER_CODE)[1:] == []
    with engine.connect() as connection:
        assert [each.webhook_codes for each in alerts.open_alerts(connection)][:1] == [[UNPAID]]


def test_a_silence_of_the_reported_code_does_not_cover_that_webhooks_stop(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    usual_traffic(engine, traffic, now)
    matchers = {"code": TOKEN, "phone_number_id": NUMBER}
    with engine.begin() as connection:
        actions.add_silence(
            connection, matchers=matchers, author="ops", until=now + HOUR, comment="", now=now - 5 * MINUTE
        )
    report_failed_calls(engine, 3, now - 2 * MINUTE, TOKEN)
    assert look(now - 2 * MINUTE, ATTENTION) == []
    assert [reason for reason, _ in look(now, ATTENTION, SILENCE)] == ["fired"]


def make_up_on_two_days(engine: Engine, traffic: Traffic, look: Look, now: datetime) -> None:
    """A key makes up the same failures at this hour of the two days before; healthy messages follow."""
    for day in (2, 1):
        report_failed_calls(engine, 40, now - day * DAY, PLATFORM)
        look(now - day * DAY + MINUTE, PER_CODE)
        traffic.sent(4000, now - day * DAY + 20 * MINUTE)
        look(now - day * DAY + 21 * MINUTE, PER_CODE)


def test_failures_that_a_key_makes_up_daily_turn_no_outage_into_a_recurring_finding(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    make_up_on_two_days(engine, traffic, look, now)
    traffic.failed(40, now, PLATFORM)
    assert [reason for reason, _ in look(now + MINUTE, PER_CODE)] == ["fired"]


def test_a_recurring_finding_of_failures_that_a_key_makes_up_hides_no_outage(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    make_up_on_two_days(engine, traffic, look, now)
    report_failed_calls(engine, 20, now, PLATFORM)
    assert look(now + MINUTE, PER_CODE) == [], "it is part of a finding"
    traffic.failed(25, now + 2 * MINUTE, PLATFORM)
    assert [reason for reason, _ in look(now + 2 * MINUTE, PER_CODE)] in (["fired"], ["again"])


def test_a_key_does_not_prolong_a_real_incident(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    traffic.failed(10, now, UNPAID)
    assert [reason for reason, _ in look(now, ATTENTION)] == ["fired"]
    for minutes in (10, 20, 31, 33):
        report_failed_calls(engine, 1, now + minutes * MINUTE, UNPAID)
        traffic.sent(30, now + minutes * MINUTE)
        look(now + minutes * MINUTE, ATTENTION)
    real, made_up = known(engine)
    assert (real.ended_how, made_up.state) == ("recovered", "open")
    traffic.failed(10, now + 36 * MINUTE, LOCKED)
    assert [reason for reason, _ in look(now + 36 * MINUTE, ATTENTION)] == ["fired"]
    assert [each.codes for each in known(engine)] == [[UNPAID], [UNPAID], [LOCKED]]


def test_two_codes_of_one_cause_that_webhooks_show_are_one_incident_although_senders_report_it_too(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    report_failed_calls(engine, 1, now, UNPAID)
    traffic.failed(10, now, UNPAID)
    assert [reason for reason, _ in look(now, ATTENTION)] == ["fired"]
    traffic.failed(10, now + 20 * MINUTE, LOCKED)
    assert look(now + 20 * MINUTE, ATTENTION) == []
    assert [each.codes for each in known(engine)] == [[UNPAID, LOCKED]]
