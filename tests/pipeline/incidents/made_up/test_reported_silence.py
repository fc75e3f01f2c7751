"""Accepted sends that a sender's key makes up hide no silence: what more shows is announced in any case."""

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
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
QUIET, BUSY = "1099511627776", "2099511627776"
LOCKED = 131031
RULES = [each for each in parse_rules(default_rules_text()) if each.kind in ("silence", "attention")]
USUAL = "No webhooks in 30 min, 25 or more are usual"
MADE_UP = "No webhooks in 30 min although 40 messages were sent"

Look = Callable[[datetime], list[tuple[str, str]]]


@pytest.fixture
def now(now: datetime) -> datetime:
    """Half past noon."""
    return now.replace(hour=12, minute=30, second=0, microsecond=0)


@pytest.fixture
def look(engine: Engine) -> Look:
    """Evaluates for a minute from this moment; returns (reason, title) of the notifications that this added."""

    def run(at: datetime) -> list[tuple[str, str]]:
        before = len(sent(engine))
        for second in (0, 15, 30, 45):
            evaluate(engine, RULES, at + second * SECOND, channels=["slack"])
        return [(each.reason, each.title) for each in sent(engine)[before:]]

    return run


@pytest.fixture
def usual(engine: Engine, traffic: Traffic, now: datetime) -> None:
    """A quiet number, one that always works, and one with 25 webhooks or more at noon, without any from `now` on."""
    traffic.sent(1, now - 3 * DAY, number=QUIET, waba="w2")
    for day in range(1, 7):
        for hour in (-1, 0, 1):
            traffic.sent(50, now - day * DAY - 25 * MINUTE + hour * HOUR)
    while sum_hours(engine, now) > 3:
        pass
    for minutes in range(-70, 100, 5):
        traffic.sent(5, now + minutes * MINUTE, number=BUSY, waba="w3")


def acknowledge_all(engine: Engine, at: datetime) -> None:
    with engine.begin() as connection:
        for each in known(engine):
            actions.acknowledge(connection, each.id, actor="ops", now=at)


@pytest.mark.usefixtures("usual")
@pytest.mark.parametrize("earlier", [5, 40])
def test_made_up_sends_at_a_quiet_number_swallow_no_silence_of_another(
    engine: Engine, traffic: Traffic, look: Look, now: datetime, earlier: int
) -> None:
    traffic.sent(50, now - (earlier + 29) * MINUTE)
    report_accepted(engine, QUIET, now - (earlier + 12) * MINUTE, key="rival")
    assert look(now - earlier * MINUTE) == [("fired", f"{MADE_UP}, business number {QUIET}")]
    acknowledge_all(engine, now - earlier * MINUTE + 50 * SECOND)
    assert look(now + 2 * MINUTE) == [("fired", f"{USUAL}, business number {NUMBER}")]


@pytest.mark.usefixtures("usual")
def test_made_up_sends_at_a_number_hide_no_silence_of_its_own_although_acknowledged(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    early = now - 4 * HOUR
    for minutes in (0, 3):
        traffic.sent(5, early + minutes * MINUTE, number=BUSY, waba="w3")
    traffic.sent(50, early - 45 * MINUTE)
    report_accepted(engine, NUMBER, early - 12 * MINUTE, key="rival")
    [(reason, title)] = look(early)
    assert (reason, title) == ("fired", f"{MADE_UP}, business number {NUMBER}")
    acknowledge_all(engine, early + MINUTE)
    assert look(early + 3 * MINUTE) == []
    assert look(now) == [("resolved", title), ("fired", f"{USUAL}, business number {NUMBER}")]
    ended, message = map(compose, sent(engine)[-2:])
    assert "(goes on as another incident)" in ended.headline
    assert "rival" not in str(message)
    assert look(now + MINUTE) == [], "once"


def test_sends_at_made_up_numbers_are_no_silence_of_everything(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    traffic.sent(1, now - 3 * DAY)
    report_accepted(engine, "made up", now - 12 * MINUTE, key="rival")
    assert look(now) == []
    report_accepted(engine, "", now - 12 * MINUTE)
    assert look(now + MINUTE) == [("fired", MADE_UP)], "sends may name no number"


@pytest.mark.usefixtures("usual")
def test_the_silence_of_one_key_s_sends_is_not_hidden_by_sends_that_another_makes_up(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    traffic.sent(1, now - 3 * DAY, number="3099511627776", waba="w4")
    report_accepted(engine, QUIET, now - 42 * MINUTE, key="rival")
    assert len(look(now - 30 * MINUTE)) == 1
    report_accepted(engine, "3099511627776", now - 22 * MINUTE, key="shop")
    assert look(now - 10 * MINUTE) == [("fired", f"{MADE_UP}, business number 3099511627776")]


def test_a_small_team_whose_webhooks_stop_after_its_sends_gets_one_clear_message(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    for number in (NUMBER, QUIET):
        traffic.sent(1, now - 3 * DAY, number=number)
        report_accepted(engine, number, now - 12 * MINUTE, key="shop")
    [(reason, title)] = look(now)
    assert reason == "fired"
    assert title.startswith("No webhooks in 30 min although 40 messages were sent, 2 business numbers")
    words = compose(sent(engine)[-1])
    assert words.headline.startswith("CRITICAL")
    advice = dict(words.facts)["What to do"]
    assert advice.startswith("See in Meta's App Dashboard whether the webhook is still subscribed")
    assert advice.endswith("Only API key shop reported the sends. Check that Meta accepted them.")
    assert [look(now + minutes * MINUTE) for minutes in range(1, 50, 7)] == [[]] * 7
    for number in (NUMBER, QUIET):
        traffic.sent(1, now + 50 * MINUTE, number=number)
    assert [reason for reason, _ in look(now + 50 * MINUTE)] == ["resolved"]


def test_two_keys_of_a_team_whose_webhooks_stop_get_one_message(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    for number, key in ((NUMBER, "shop"), (QUIET, "support")):
        traffic.sent(1, now - 3 * DAY, number=number)
        report_accepted(engine, number, now - 12 * MINUTE, key=key)
    assert len(look(now)) == 1
    assert len(known(engine)) == 1


@pytest.mark.usefixtures("usual")
def test_made_up_sends_that_prolong_a_real_silence_swallow_no_other(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    traffic.sent(50, now - 31 * MINUTE)
    report_accepted(engine, QUIET, now - 12 * MINUTE, key="rival")
    assert [reason for reason, _ in look(now)] == ["fired"]
    traffic.sent(20, now + 5 * MINUTE)
    assert look(now + 5 * MINUTE) == []
    assert [each.is_open for each in known(engine)] == [True]
    assert look(now + 36 * MINUTE) == [("fired", f"{USUAL}, business number {NUMBER}")]


@pytest.mark.usefixtures("usual")
def test_made_up_sends_beside_a_real_silence_do_not_take_an_outage_at_their_number(
    engine: Engine, traffic: Traffic, look: Look, now: datetime
) -> None:
    report_accepted(engine, QUIET, now - 12 * MINUTE, key="rival")
    assert len(look(now)) == 1
    traffic.failed(5, now + MINUTE, LOCKED, number=QUIET)
    assert [title[:6] for _, title in look(now + MINUTE)] == [str(LOCKED)]


@pytest.mark.usefixtures("usual")
def test_made_up_sends_do_not_swallow_the_failed_calls_of_another_key(
    engine: Engine, look: Look, now: datetime
) -> None:
    report_accepted(engine, QUIET, now - 52 * MINUTE, key="rival")
    assert len(look(now - 40 * MINUTE)) == 1
    report_failed_calls(engine, 5, now - 35 * MINUTE, LOCKED, number=QUIET, key="shop")
    assert [(reason, title[:6]) for reason, title in look(now - 34 * MINUTE)] == [("fired", str(LOCKED))]
