"""Delivery reports that stop, and slow deliveries, are incidents live and in a backtest."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import convert
from sqlalchemy import event, text

from benchmarks.judgement.scenarios import MONDAY
from benchmarks.judgement.scenarios import number as sender
from benchmarks.judgement.traffic import WEEKDAYS, Fault, SimulatedPast
from tests.support.factories import NUMBER, status
from webhook_app.channels.incident_text import compose
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.counts.count_funnels import count_stages
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.inputs.live_inputs import ReadCache
from webhook_app.pipeline.operations.backtest import BacktestRun, backtest
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import incidents

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
NOON = (datetime.now(UTC) - DAY).replace(hour=12, minute=0, second=0, microsecond=0)
RULES = parse_rules(
    '[[rule]]\nname = "undelivered"\nkind = "undelivered"\n[[rule]]\nname = "slow"\nkind = "slow"\n'
)


def store(traffic, at, messages, *, after=2, received_after=0, start=0, number=NUMBER):
    """Messages sent at `at`, delivered `after` seconds later (None: never), their `sent` received late or at once."""
    ids = [f"wamid.{at:%d%H%M}.{start + place}" for place in range(messages)]
    late = timedelta(seconds=received_after)
    traffic.store(*(status(each, "sent", at) for each in ids), at=at + late, number=number)
    if after is not None:
        then = at + timedelta(seconds=after)
        traffic.store(*(status(each, "delivered", then) for each in ids), at=then + late, number=number)


@pytest.fixture
def usual(traffic):
    """Three days on which all messages of these hours were delivered at once."""
    for back in (1, 2, 3):
        store(traffic, NOON - back * DAY, 60)
        store(traffic, NOON - back * DAY + 50 * MINUTE, 60)


def play(engine, minutes=1, rules=RULES):
    """Count and evaluate every minute from forty minutes after noon on."""
    transitions = {}
    for minute in range(40, 40 + minutes):
        now = NOON + minute * MINUTE
        count_stages(engine, now)
        for name, count in evaluate(engine, rules, now).transitions.items():
            transitions[name] = transitions.get(name, 0) + count
    return transitions


@pytest.mark.usefixtures("usual")
def test_messages_without_a_report_are_an_incident_with_its_place_and_advice(engine, traffic):
    store(traffic, NOON + 20 * MINUTE, 30, after=None)
    assert play(engine, 3) == {"pend": 1, "fire": 1}
    with engine.connect() as connection:
        (incident,) = incidents.open_incidents(connection)
        told = [
            convert(row, Notification)
            for row in connection.execute(text("SELECT payload FROM notifications")).scalars()
        ]
    assert incident.title == f"Delivery reports are missing, business number {NUMBER}"
    assert (incident.kind, incident.codes, incident.attempts, incident.failures) == (
        "undelivered",
        [],
        30,
        30,
    )
    message = compose(told[0])
    facts = dict(message.facts)
    assert message.headline == f"WARNING: {incident.title}: 100 % of messages"
    assert facts["Impact"].startswith(
        "30 of 30 messages sent in 15 min have no delivery report 15 min later: 100 %"
    )
    assert "does not report them delivered" in facts["What to do"]


@pytest.mark.usefixtures("usual")
def test_slow_messages_are_an_incident(engine, traffic):
    store(traffic, NOON + 35 * MINUTE, 30, after=120)
    assert play(engine, 2) == {"pend": 1, "fire": 1}
    with engine.connect() as connection:
        (incident,) = incidents.open_incidents(connection)
    assert incident.title == f"Messages are delivered slowly, business number {NUMBER}"


@pytest.mark.usefixtures("usual")
@pytest.mark.parametrize(
    "told",
    [
        {"after": 10},  # healthy
        {"after": None, "received_after": 180},  # a backlog, whose other half comes later
    ],
)
def test_healthy_messages_and_a_backlog_raise_nothing(engine, traffic, told):
    store(traffic, NOON + 20 * MINUTE, 30, **told)
    assert play(engine, 2) == {}


@pytest.mark.usefixtures("usual")
@pytest.mark.usefixtures("usual")
def test_all_windows_of_outcomes_are_read_in_one_scan_and_only_when_more_is_counted(engine):
    cache, scans = ReadCache(), []

    def evaluate_at(second):
        listener = lambda *sent: scans.append(sent[2]) if "unit = 1" in sent[2] else None  # noqa: E731
        event.listen(engine, "before_cursor_execute", listener)
        evaluate(engine, RULES, NOON + second * timedelta(seconds=1), memory=cache)
        event.remove(engine, "before_cursor_execute", listener)
        read = len(scans)
        scans.clear()
        return read

    count_stages(engine, NOON + 40 * MINUTE)
    assert evaluate_at(2400) > 1, "the windows of the rules are not known before the first evaluation"
    assert evaluate_at(2401) == 0
    count_stages(engine, NOON + 41 * MINUTE)
    assert evaluate_at(2460) == 1


def test_messages_just_sent_raise_nothing(engine, traffic):
    store(traffic, NOON + 30 * MINUTE, 30, after=None)
    assert play(engine, 3) == {}


def test_a_sender_whose_messages_never_have_reports_raises_nothing(engine, traffic):
    for back in (1, 2, 3):
        store(traffic, NOON - back * DAY, 100, after=None)
    store(traffic, NOON + 20 * MINUTE, 100, after=None)
    assert play(engine, 3) == {}


@pytest.mark.usefixtures("usual")
def test_a_backtest_finds_what_the_evaluation_found(engine, traffic):
    store(traffic, NOON + 20 * MINUTE, 30, after=None)
    play(engine, 3)
    report = backtest(engine, RULES, NOON + 40 * MINUTE, NOON + 43 * MINUTE, Thresholds())
    with engine.connect() as connection:
        (incident,) = incidents.open_incidents(connection)
    (found,) = report.incidents
    assert (found.kind, found.title, found.opened_at) == (incident.kind, incident.title, incident.opened_at)


def test_a_number_without_reports_that_sends_more_than_usual_is_no_incident_of_its_account(engine, traffic):
    for back in (1, 2, 3):
        store(traffic, NOON - back * DAY, 60)
        store(traffic, NOON - back * DAY, 20, after=None, number="1002", start=100)
    store(traffic, NOON + 20 * MINUTE, 20)
    store(traffic, NOON + 20 * MINUTE, 60, after=None, number="1002", start=100)
    rules = parse_rules('[[rule]]\nname = "a"\nkind = "undelivered"\ngroup_by = ["waba_id"]\n')
    assert play(engine, 3, rules) == {}


def incidents_of(begin, evaluations, per_day, **more):
    """The incidents of a number whose reports stop at `begin` for days, evaluated at these times in a backtest."""
    stop = Fault(start=begin, end=begin + 9 * DAY, undelivered=True)
    past = SimulatedPast([sender("n", per_day, **more)], [stop], MONDAY)
    run = BacktestRun(past, RULES, begin)
    for after in evaluations:
        run.evaluate(begin + after)
        run.evaluate(begin + after + MINUTE)
    return run.found_incidents(begin + evaluations[-1])


def test_a_number_that_is_quiet_for_most_of_the_day_has_one_incident_while_reports_are_missing():
    at_nine = (0.0,) * 9 + (24.0,) + (0.0,) * 14
    times = [day * DAY + minute * MINUTE for day in range(4) for minute in (240, *range(560, 660, 20))]
    (incident,) = incidents_of(MONDAY + 8 * DAY, times, 4, hours=at_nine)
    reasons = [message.reason for message in incident.messages if message.reason != "reminder"]
    assert reasons[:3] == ["opened", "ended", "again"]
    assert incident.ended_at is None


def test_messages_from_before_the_stop_do_not_end_its_incident():
    times = [15 * place * MINUTE for place in range(24, 36)]
    (incident,) = incidents_of(MONDAY + 15 * DAY + 10 * 60 * MINUTE, times, 20, weekdays=WEEKDAYS)
    assert incident.ended_at is None
