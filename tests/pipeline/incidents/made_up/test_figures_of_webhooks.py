"""An incident that webhooks show has their figures, start and place: what senders report is counted beside them."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.support.factories import NUMBER
from tests.support.incidents import sent, store_incident
from tests.support.reports import report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.channels.incident_text import compose, plain_text
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
BROKEN = 132000
RULES = parse_rules(default_rules_text())
SPIKE = next(each for each in RULES if each.kind == "spike")


@pytest.fixture
def now(now: datetime) -> datetime:
    """Half past noon."""
    return now.replace(hour=12, minute=30, second=0, microsecond=0)


def first_message(engine: Engine, at: datetime) -> Notification:
    """The first notification of evaluations from a minute before this moment on."""
    for second in range(-60, 75, 15):
        evaluate(engine, RULES, at + second * SECOND, channels=["slack"])
    [message] = [
        each for each in sent(engine) if each.reason == "fired" and "Only API key" not in each.advice
    ]
    return message


def outage(traffic: Traffic, at: datetime) -> None:
    traffic.sent(60, at - MINUTE)
    traffic.sent(24, at - MINUTE, template="invoice")
    traffic.failed(20, at - MINUTE, BROKEN, template="invoice")


@pytest.mark.parametrize(
    ("calls", "before"), [(0, 0), (3, 4), (600, 3)], ids=["none", "a few before it", "hundreds"]
)
def test_made_up_calls_change_no_figure_start_or_place(
    engine: Engine, traffic: Traffic, now: datetime, calls: int, before: int
) -> None:
    outage(traffic, now)
    if calls:
        report_failed_calls(
            engine, calls, now - before * MINUTE, BROKEN, template="promo", campaign="bigsale"
        )
    message = first_message(engine, now)
    assert message.figures is not None
    assert (message.figures.attempts, message.figures.failures) == (44, 20)
    assert (message.failures, message.contacts, bool(message.reported)) == (20, 20, calls == 600)
    assert (message.since, message.templates) == (now - MINUTE, ("invoice",))
    assert message.title.endswith("template invoice")
    assert all(code.failures == 20 for code in message.codes)
    assert not any(each.startswith("send:") for each in message.samples)
    text = plain_text(compose(message))
    assert "45.5 % of" in text
    assert ("more that only senders report" in text) == (calls == 600)
    assert "bigsale" not in text


def test_an_alert_that_only_reports_have_opened_raises_no_limit_of_webhooks(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    group = {"code": BROKEN, "phone_number_id": NUMBER}
    held = {"rule": SPIKE.name, "kind": "spike", "group": group, "codes": [BROKEN], "webhook_codes": []}
    store_incident(engine, now, held | {"threshold": 0.9}, codes=[BROKEN], details={"reporters": ["rival"]})
    for day in range(1, 7):
        traffic.sent(800, now - timedelta(days=day))
    while sum_hours(engine, now) > 3:
        pass
    traffic.sent(400, now - 2 * MINUTE)
    traffic.failed(120, now - 2 * MINUTE, BROKEN)
    report_failed_calls(engine, 3, now - 2 * MINUTE, BROKEN)
    for second in range(15, 60, 15):
        evaluate(engine, [SPIKE], now + second * SECOND, channels=["slack"])
    assert [each.reason for each in sent(engine)] == ["fired"]
