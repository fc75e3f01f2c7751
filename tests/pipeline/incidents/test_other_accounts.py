"""What happens in one account hides nothing of another, whose templates and campaigns may have the same names."""

import json
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.support.factories import NUMBER
from tests.support.incidents import known, sent
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RULES = [each for each in parse_rules(default_rules_text()) if each.name != "own-work"]
OTHER, THIRD, BROKEN = "590238114470022", "590238114470033", 131053


@pytest.fixture
def now(now: datetime) -> datetime:
    """Half past noon."""
    return now.replace(hour=12, minute=30, second=0, microsecond=0)


def look(engine: Engine, at: datetime) -> list[str]:
    """Evaluate for a minute; returns the titles of what begins."""
    before = len(sent(engine))
    for second in (0, 15, 30, 45):
        evaluate(engine, RULES, at + second * SECOND, channels=["slack"])
    return [each.title for each in sent(engine)[before:] if each.reason in ("fired", "again", "escalated")]


def usual_traffic(engine: Engine, traffic: Traffic, now: datetime) -> None:
    for days in range(1, 8):
        for number, account in ((NUMBER, "w1"), (OTHER, "w2")):
            traffic.sent(60, now - days * DAY, number=number, waba=account)
    while sum_hours(engine, now) > 3:
        pass


@pytest.mark.parametrize("dimension", ["template", "campaign"])
def test_an_outage_in_another_account_is_announced_although_its_template_has_the_name_of_one_that_fails(
    engine: Engine, traffic: Traffic, now: datetime, dimension: str
) -> None:
    named = {"biz_opaque_callback_data": json.dumps({dimension: "spring"})}
    usual_traffic(engine, traffic, now)
    traffic.failed(12, now, BROKEN, number=NUMBER, waba="w1", **named)
    assert look(engine, now + MINUTE)
    for minutes in (15, 30, 45, 60):
        traffic.failed(3, now + minutes * MINUTE, BROKEN, number=NUMBER, waba="w1", **named)
        traffic.sent(10, now + minutes * MINUTE, number=OTHER, waba="w2", **named)
        look(engine, now + (minutes + 1) * MINUTE)
    traffic.failed(60, now + 70 * MINUTE, BROKEN, number=OTHER, waba="w2", **named)
    [title] = look(engine, now + 71 * MINUTE)
    assert OTHER in title
    assert len([each for each in known(engine) if each.is_open]) == 2


def test_a_number_that_falls_silent_within_an_hour_of_another_is_told_of(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    for days in range(1, 8):
        for hours in (-3, -2, -1, 0, 1, 2):
            for number, account in ((NUMBER, "w1"), (OTHER, "w2"), (THIRD, "w3")):
                at = now - days * DAY - 25 * MINUTE + hours * HOUR
                traffic.sent(50, at, number=number, waba=account)
    while sum_hours(engine, now) > 3:
        pass
    told = []
    for minutes in range(-70, 130, 5):
        at = now + minutes * MINUTE
        for number, account, until in ((NUMBER, "w1", -35), (OTHER, "w2", 15), (THIRD, "w3", 130)):
            if minutes < until:
                traffic.sent(5, at, number=number, waba=account)
        before = len(sent(engine))
        for second in (0, 25):
            evaluate(engine, RULES, at + (60 + second) * SECOND, channels=["slack"])
        told += [(each.reason, each.title.rpartition(", ")[2]) for each in sent(engine)[before:]]
        if minutes == 0:
            with engine.begin() as connection:
                actions.acknowledge(connection, known(engine)[0].id, actor="ops", now=at + 2 * MINUTE)
    assert told == [("fired", f"business number {NUMBER}"), ("repeated", "2 business numbers")]
