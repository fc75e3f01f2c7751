"""What API keys alone report of many numbers is one incident; what more shows of one of them is announced by itself."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.support.factories import NUMBER
from tests.support.incidents import known, sent
from tests.support.reports import report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.channels.incident_text import compose
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import alerts

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
TOKEN, UNPAID = 190, 131042
DEFAULT = {each.name: each for each in parse_rules(default_rules_text())}
RULES = [DEFAULT[name] for name in ("needs-attention", "failure-rate-per-code", "failure-rate-per-number")]
MADE_UP = [f"F{place}" for place in range(12)]

Evaluate = Callable[..., list[Notification]]


@pytest.fixture
def now(now: datetime) -> datetime:
    """Half past noon."""
    return now.replace(hour=12, minute=30, second=0, microsecond=0)


@pytest.fixture
def look(engine: Engine) -> Evaluate:
    """Evaluates three times from this moment; returns the notifications that this added."""

    def run(at: datetime) -> list[Notification]:
        before = len(sent(engine))
        for second in (0, 15, 30):
            evaluate(engine, RULES, at + second * SECOND, channels=["slack", "log"])
        return sent(engine)[before:]

    return run


def report(engine: Engine, at: datetime, code: int, *numbers: str, key: str = "agency") -> None:
    for number in numbers:
        report_failed_calls(engine, 4, at, code, number=number, key=key)


def brief(messages: list[Notification]) -> list[tuple[str, str]]:
    return [(each.reason, each.title) for each in messages]


def test_one_code_that_a_key_reports_at_many_numbers_is_one_message_with_key_count_and_examples(
    engine: Engine, look: Evaluate, now: datetime
) -> None:
    report(engine, now, TOKEN, *MADE_UP)
    [message] = look(now + 5 * SECOND)
    assert len(known(engine)) == 1
    words = compose(message)
    assert words.headline.startswith("CRITICAL: 190 Access token has expired, 12 business numbers")
    assert "reported only by API key agency" in words.headline
    facts = dict(words.facts)
    assert facts["For whom"].startswith("12 business numbers: F0, F1, F10 and 9 more; 48 failed messages")
    assert facts["Since"].startswith("2")
    assert "Only API key agency reported it" in facts["What to do"]


def test_what_a_key_reports_of_one_number_names_that_number(
    engine: Engine, look: Evaluate, now: datetime
) -> None:
    report(engine, now, TOKEN, NUMBER)
    [message] = look(now + 5 * SECOND)
    assert brief([message]) == [("fired", f"190 Access token has expired, business number {NUMBER}")]


def test_what_different_keys_report_is_one_incident_each(
    engine: Engine, look: Evaluate, now: datetime
) -> None:
    report(engine, now, TOKEN, *MADE_UP[:6])
    report(engine, now, TOKEN, *MADE_UP[6:], key="shop")
    assert len(look(now + 5 * SECOND)) == len(known(engine)) == 2


def test_a_number_of_a_merged_incident_that_webhooks_begin_to_show_is_announced_by_itself(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    report(engine, now, UNPAID, *MADE_UP, NUMBER, "other")
    assert len(look(now + 5 * SECOND)) == 1
    traffic.failed(10, now + MINUTE, UNPAID)
    [message] = look(now + MINUTE)
    assert (message.reason, message.numbers) == ("fired", (NUMBER,))
    traffic.failed(10, now + 2 * MINUTE, UNPAID, number="other", waba="another account")
    [message] = look(now + 2 * MINUTE)
    assert (message.reason, message.numbers) == ("fired", ("other",))
    merged, *shown = known(engine)
    with engine.connect() as connection:
        groups = [alert.group for alert in alerts.of_incidents(connection, [merged.id])]
        assert {"code": UNPAID, "phone_number_id": NUMBER} not in groups
    assert [each.state for each in (merged, *shown)] == ["open"] * 3
    assert look(now + 3 * MINUTE) == []


def test_a_number_of_a_merged_incident_that_another_key_reports_too_is_announced_by_itself(
    engine: Engine, look: Evaluate, now: datetime
) -> None:
    report(engine, now, TOKEN, *MADE_UP, NUMBER, key="rival")
    assert len(look(now + 5 * SECOND)) == 1
    report_failed_calls(engine, 1, now + MINUTE, TOKEN, key="shop")
    assert brief(look(now + MINUTE)) == [("fired", f"190 Access token has expired, business number {NUMBER}")]
    assert look(now + 2 * MINUTE) == []


def test_when_webhooks_show_all_of_a_merged_incident_it_goes_on_as_another(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    report(engine, now, UNPAID, NUMBER, "other")
    look(now + 5 * SECOND)
    for number in (NUMBER, "other"):
        traffic.failed(10, now + MINUTE, UNPAID, number=number)
    ended, message = look(now + MINUTE)
    assert (ended.reason, message.reason) == ("resolved", "fired")
    assert "(goes on as another incident)" in compose(ended).headline
    assert "reported only by" in ended.title
    assert "reported only by" not in message.title
    assert [each.state for each in known(engine)] == ["ended", "open"]
    assert look(now + 2 * MINUTE) == []


def test_of_many_codes_of_a_key_five_have_an_incident_and_the_others_are_counted_in_the_last(
    engine: Engine, look: Evaluate, now: datetime
) -> None:
    for place, code in enumerate((190, 131042, 131031, 131045, 368, 133010, 131005)):
        report(engine, now, code, f"F{place}")
    assert len(look(now + 5 * SECOND)) == 5
    found = known(engine)
    assert [len(each.codes) for each in found] == [1, 1, 1, 1, 3]


def test_a_further_number_that_meta_knows_is_announced_after_half_an_hour_though_acknowledged(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(1, now - timedelta(days=1))
    report(engine, now, TOKEN, "F0")
    assert len(look(now + 5 * SECOND)) == 1
    [first] = known(engine)
    with engine.begin() as connection:
        assert actions.acknowledge(connection, first.id, actor="ops", now=now + MINUTE) is not None
    report(engine, now + 10 * MINUTE, TOKEN, "F0", "F1")
    report(engine, now + 20 * MINUTE, TOKEN, "F0", "F2", NUMBER)
    added = [m for minutes in (10, 20) for m in look(now + minutes * MINUTE + 5 * SECOND)]
    assert added == [], "at most every half an hour"
    report(engine, now + 32 * MINUTE, TOKEN, "F0", "F3", NUMBER)
    [message] = look(now + 32 * MINUTE)
    assert message.reason == "repeated"
    assert NUMBER in message.numbers
    report(engine, now + 64 * MINUTE, TOKEN, "F0", "F4", NUMBER)
    assert look(now + 64 * MINUTE) == [], "made-up numbers are none that Meta knows"


def test_a_wide_alert_that_webhooks_begin_to_show_is_about_the_codes_that_they_show(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    report(engine, now, TOKEN, *MADE_UP)
    rules = [*RULES, DEFAULT["failure-rate-overall"]]
    for second in (5, 20):
        evaluate(engine, rules, now + second * SECOND, channels=["slack"])
    traffic.sent(100, now + MINUTE)
    traffic.failed(40, now + MINUTE, UNPAID)
    for second in (60, 75, 90, 105):
        evaluate(engine, rules, now + second * SECOND, channels=["slack"])
    assert [each.codes for each in known(engine)] == [[TOKEN], [UNPAID]]


def test_a_number_that_moves_to_the_incident_of_both_keys_is_announced_after_half_an_hour(
    engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
) -> None:
    traffic.sent(1, now - timedelta(days=1))
    report(engine, now, TOKEN, "A", key="shop")
    report(engine, now, TOKEN, "A", *MADE_UP, NUMBER, key="rival")
    assert len(look(now + 5 * SECOND)) == 2
    for minutes in (14, 28):
        report(engine, now + minutes * MINUTE, TOKEN, "A", key="shop")
        report(engine, now + minutes * MINUTE, TOKEN, "A", "F0", "F1", NUMBER, key="rival")
        assert look(now + minutes * MINUTE + 5 * SECOND) == []
    report(engine, now + 32 * MINUTE, TOKEN, NUMBER, key="shop")
    [message] = look(now + 32 * MINUTE)
    assert (message.reason, message.numbers) == ("repeated", ("A", NUMBER))
