"""Findings are found from stored webhooks, announced once and fixed, through the job of the scheduler."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import convert
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER, WABA, document, status
from tests.support.findings import opened
from tests.support.traffic import Traffic
from webhook_app.channels.findings import FindingMessage
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.findings.find import LastSearch, find
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import findings, incidents
from webhook_app.store.postgres.engine import connect

RULES = parse_rules(default_rules_text())
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
UNREACHABLE, BROKEN = 131026, 131053
LABELS: dict[str, Any] = {"biz_opaque_callback_data": '{"template": "order"}'}

Look = Callable[..., list[str]]


@pytest.fixture
def noon(now: datetime) -> datetime:
    """Today at noon: the days before it are complete."""
    return now.replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def look(engine: Engine) -> Look:
    """Sums the hours, and runs the job; returns the titles of the open findings."""

    def run(now: datetime, channels: tuple[str, ...] = ("slack", "pagerduty", "log")) -> list[str]:
        while sum_hours(engine, now) > 3:
            pass
        find(engine, RULES, now, channels=channels, public_url="https://alerts.example")
        return [each.kind for each in opened(engine)]

    return run


def sent(engine: Engine) -> list[tuple[str, FindingMessage]]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT channel, payload FROM notifications WHERE incident_id = 0 ORDER BY id")
        )
        return [(row.channel, convert(row.payload, FindingMessage)) for row in rows]


def day(traffic: Traffic, at: datetime, failures: int, number: str = NUMBER, **more: Any) -> None:
    """A hundred messages of one day, of which some fail."""
    labels = LABELS | more
    traffic.sent(100 - failures, at, number=number, **labels)
    if failures:
        traffic.failed(failures, at, UNREACHABLE, number=number, **labels)


def test_a_share_that_is_high_for_a_week_is_found_and_told_once(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    for back in range(8, 1, -1):
        day(traffic, noon - back * DAY, 8)
    assert look(noon - DAY) == ["chronic"]
    [finding] = opened(engine)
    assert finding.slice == {"phone_number_id": [NUMBER]}
    assert finding.impact == {"failures": 56, "share": 0.08, "contacts": 56}
    assert finding.since == (noon - 8 * DAY).replace(hour=0)
    [(channel, message)] = sent(engine)
    assert channel == "slack"
    assert message.findings[0].link == f"https://alerts.example/findings#finding-{finding.id}"
    day(traffic, noon - DAY, 8)
    assert look(noon) == ["chronic"]
    assert [each for _, each in sent(engine) if each.reason == "finding"] == [message]


def test_it_is_fixed_silently_after_a_week_below_the_threshold(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    start = noon - 15 * DAY
    for after in range(15):
        day(traffic, start + after * DAY, 8 if after < 7 else 1)
    assert look(start + 7 * DAY) == ["chronic"]
    assert look(start + 13 * DAY) == ["chronic"]
    assert look(start + 14 * DAY) == []
    with engine.connect() as connection:
        [fixed] = findings.fixed_since(connection, start)
    assert fixed.fixed_at == start + 14 * DAY
    assert sum(each.reason == "finding" for _, each in sent(engine)) == 1


def test_many_findings_at_once_are_one_message(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    for back in range(7, 0, -1):
        for number in ("1", "2", "3", "4"):
            day(traffic, noon - back * DAY, 8, number=number)
    assert look(noon) == ["chronic"] * 4
    [message] = [each for _, each in sent(engine) if each.reason == "finding"]
    assert len(message.findings) == 4
    assert len({each.title for each in message.findings}) == 4


def test_a_healthy_sender_has_no_finding(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    for back in range(7, 0, -1):
        day(traffic, noon - back * DAY, 1)
    assert look(noon) == []
    assert sent(engine) == []


def test_messages_without_labels_are_found_until_they_have_some(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    for back in range(10, 6, -1):
        traffic.sent(100, noon - back * DAY)
    assert look(noon - 6 * DAY) == ["unlabelled_sends"]
    [finding] = opened(engine)
    assert finding.waba_id == WABA
    for back in range(6, 0, -1):
        traffic.sent(100, noon - back * DAY, **LABELS)
    assert look(noon) == []


def test_a_yellow_template_is_found_and_no_incident_and_fixed_when_it_is_green(
    engine: Engine, database_url: str, look: Look, noon: datetime
) -> None:
    writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
    writer.store([Delivery(quality("GREEN", "YELLOW"))], noon - HOUR)
    assert look(noon) == ["template_quality"]
    [(_, message)] = [each for each in sent(engine) if each[1].reason == "finding"]
    assert "order_update YELLOW" in message.findings[0].title
    for seconds in range(0, 120, 15):
        evaluate(engine, RULES, noon + timedelta(seconds=seconds), channels=["slack", "log"])
    with engine.connect() as connection:
        assert incidents.list_incidents(connection, 10) == []
    writer.store([Delivery(quality("YELLOW", "GREEN"))], noon + HOUR)
    writer.close()
    assert look(noon + 2 * HOUR) == []


def quality(before: str, after: str) -> bytes:
    value = {
        "previous_quality_score": before,
        "new_quality_score": after,
        "message_template_id": 918273645501928,
        "message_template_name": "order_update",
        "message_template_language": "en",
    }
    return json.dumps(document(value, field="message_template_quality_update")).encode()


def test_a_list_of_people_who_were_never_reached_is_found(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    labels = {"biz_opaque_callback_data": '{"campaign": "spring"}'}
    at = noon - 2 * DAY
    traffic.sent(70, at, **labels)
    known = traffic.failed(30, at, UNREACHABLE, **labels)
    assert len(known) == 30
    assert look(noon) == ["unreached_list"]
    [finding] = opened(engine)
    assert finding.evidence == {"contacts": 100, "unreached": 30}


def test_a_list_whose_people_were_reached_before_is_not_found(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    labels = {"biz_opaque_callback_data": '{"campaign": "spring"}'}
    at = noon - 2 * DAY
    traffic.sent(70, at, **labels)
    for place in range(30):
        recipient = f"1303555{place:04}"
        traffic.failed(1, at, UNREACHABLE, recipient=recipient, **labels)
        reached = status(f"wamid.R{place}", "delivered", at - 3 * DAY, recipient=recipient)
        traffic.store(reached, at=at - 3 * DAY)
    assert look(noon) == []


def test_a_look_without_a_newly_summed_hour_only_announces(
    engine: Engine, traffic: Traffic, noon: datetime
) -> None:
    last = LastSearch()
    day(traffic, noon - DAY, 1)
    sum_hours(engine, noon)
    find(engine, RULES, noon, last=last)
    hour = last.hour
    assert hour is not None
    with engine.begin() as connection:
        connection.execute(text("UPDATE hourly_counts SET attempts = attempts * 10"))
    find(engine, RULES, noon, last=last)
    assert last.hour == hour


def test_the_digest_of_monday_lists_open_and_fixed_findings_once(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    monday = noon - noon.weekday() * DAY - 4 * HOUR
    for back in range(8, 1, -1):
        day(traffic, monday - back * DAY, 8)
    look(monday - DAY)
    look(monday - HOUR)
    assert [each.reason for _, each in sent(engine)] == ["finding"]
    look(monday + HOUR)
    look(monday + 2 * HOUR)
    assert [each.reason for _, each in sent(engine)] == ["finding", "digest"]
    assert len(sent(engine)[1][1].findings) == 1


def test_a_digest_without_anything_to_say_is_not_sent(engine: Engine, look: Look, noon: datetime) -> None:
    look(noon - noon.weekday() * DAY - 3 * HOUR)
    assert sent(engine) == []


def test_only_the_log_takes_findings_where_nothing_else_does(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    for back in range(7, 0, -1):
        day(traffic, noon - back * DAY, 8)
    look(noon, ("pagerduty", "alertmanager", "log"))
    assert {channel for channel, _ in sent(engine)} == {"log"}
