"""Outages of the past become ended incidents, announced once as past: those of a backlog, and those of a gap."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from msgspec import convert
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER, status
from tests.support.reports import failed_call, report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.channels.incident_text import compose
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.counts.measure_lateness import measure
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.past import judge_past as module
from webhook_app.pipeline.incidents.past import replay
from webhook_app.pipeline.incidents.past.judge_past import Unfinished, judge_past, note_gap
from webhook_app.pipeline.sends.reports import register
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.store.incidents import incidents, unjudged_minutes
from webhook_app.store.incidents.incidents import Incident

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
BROKEN = 131000
RULES = parse_rules(default_rules_text())
CHANNELS = ("slack", "log")


def known_incidents(engine: Engine) -> list[Incident]:
    """The incidents about failures, the newest first."""
    with engine.connect() as connection:
        return [each for each in incidents.list_incidents(connection, 100) if each.codes]


def notifications(engine: Engine) -> list[tuple[str, str, Notification]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT channel, reason, payload FROM notifications ORDER BY id"))
        return [(row.channel, row.reason, convert(row.payload, Notification)) for row in rows]


def unjudged(engine: Engine, now: datetime) -> int:
    with engine.connect() as connection:
        span = unjudged_minutes.span(connection, now)
    return 0 if span is None else 1 + (span.last - span.first) // MINUTE


def send(traffic: Traffic, start: datetime, minutes: int, *, failing: bool, received: datetime | None = None):
    """Five messages a minute. `received`: when all of their webhooks arrive, if it is not at once."""
    kind, code = ("failed", {"code": BROKEN}) if failing else ("sent", {})
    for minute in range(minutes):
        at = start + minute * MINUTE
        statuses = [
            status(f"wamid.{at:%H%M}.{place}", kind, at, recipient=f"120255{at:%H%M}{place}", **code)
            for place in range(5)
        ]
        traffic.store(*statuses, at=received or at)


def judge_afterwards(engine: Engine, now: datetime) -> int:
    """What the scheduler's jobs do within some minutes after `now`; returns the number of incidents."""
    measure(engine, now + 2 * MINUTE)
    evaluate(engine, RULES, now + 2 * MINUTE, channels=CHANNELS)
    return judge_past(engine, RULES, now + 6 * MINUTE, channels=CHANNELS)


@pytest.fixture
def healthy(traffic: Traffic, engine: Engine, now: datetime) -> None:
    """Eight hours of messages that arrive, with the exception of the two hours before the last one."""
    send(traffic, now - 8 * HOUR, 300, failing=False)
    send(traffic, now - HOUR, 60, failing=False)
    measure(engine, now)


@pytest.mark.usefixtures("healthy")
def test_an_outage_that_arrives_late_is_one_past_incident(traffic: Traffic, engine: Engine, now: datetime):
    send(traffic, now - 3 * HOUR, 120, failing=True, received=now)
    assert judge_afterwards(engine, now) == 1
    (incident,) = known_incidents(engine)
    assert (incident.state, incident.codes) == ("ended", [BROKEN])
    assert incident.total_failures == 600
    assert timedelta(0) <= incident.opened_at - (now - 3 * HOUR) <= 4 * MINUTE
    assert incident.ended_at is not None
    assert abs(incident.ended_at - (now - HOUR)) <= 20 * MINUTE
    ((channel, reason, message),) = notifications(engine)
    assert (channel, reason) == ("slack", "past")
    assert compose(message).headline.startswith("In the past, for 2 h")
    assert judge_past(engine, RULES, now + HOUR, channels=CHANNELS) == 0
    assert len(known_incidents(engine)) == len(notifications(engine)) == 1


@pytest.mark.usefixtures("healthy")
def test_an_outage_while_no_scheduler_ran_is_one_past_incident(
    traffic: Traffic, engine: Engine, now: datetime
):
    evaluate(engine, RULES, now - 3 * HOUR - MINUTE, channels=CHANNELS)
    send(traffic, now - 3 * HOUR, 120, failing=True)
    note_gap(engine, now)
    evaluate(engine, RULES, now, channels=CHANNELS)
    assert known_incidents(engine) == []
    assert judge_past(engine, RULES, now + 4 * MINUTE, channels=CHANNELS) == 1
    assert [reason for _, reason, _ in notifications(engine)] == ["past"]
    assert unjudged(engine, now) == 0


@pytest.mark.usefixtures("healthy")
def test_what_a_live_incident_explains_is_no_past_incident(traffic: Traffic, engine: Engine, now: datetime):
    send(traffic, now - 3 * HOUR, 60, failing=True)
    for minutes in range(0, 100, 2):
        evaluate(engine, RULES, now - 3 * HOUR + minutes * MINUTE, channels=CHANNELS)
    (live,) = known_incidents(engine)
    before = len(notifications(engine))
    send(traffic, now - 2 * HOUR, 30, failing=True, received=now)
    assert judge_afterwards(engine, now) == 0
    assert [each.id for each in known_incidents(engine)] == [live.id]
    assert len(notifications(engine)) == before
    assert unjudged(engine, now) == 0


@pytest.fixture
def made_up(
    engine: Engine, healthy: None, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], list[Incident]]:
    """Reports made-up failures 80 minutes ago and evaluates for some minutes; returns the incidents."""
    del healthy
    monkeypatch.setattr(replay, "_EVALUATIONS_PER_MINUTE_UP_TO", timedelta(0))

    def make(minutes: int) -> list[Incident]:
        for minute in range(0, 15, 5):
            report_failed_calls(engine, 20, now - (80 - minute) * MINUTE, BROKEN)
        for minute in range(0, minutes, 5):
            evaluate(engine, RULES, now - (80 - minute) * MINUTE, channels=CHANNELS)
        return known_incidents(engine)

    return make


@pytest.mark.parametrize("has_ended", [False, True])
def test_late_failures_of_the_same_groups_as_a_made_up_incident_are_announced(
    made_up: Callable[[int], list[Incident]], traffic: Traffic, engine: Engine, now: datetime, has_ended: bool
):
    known = made_up(80 if has_ended else 20)
    assert {each.is_open for each in known} == {not has_ended}
    before = len(notifications(engine))
    send(traffic, now - 75 * MINUTE, 30, failing=True, received=now)
    assert judge_afterwards(engine, now) == 1
    assert [reason for _, reason, _ in notifications(engine)[before:]].count("past") == 1
    ids = {each.id for each in known}
    (past,) = [each for each in known_incidents(engine) if each.id not in ids]
    assert past.total_failures >= 150


@pytest.mark.usefixtures("healthy")
def test_made_up_incidents_of_the_past_take_the_place_of_none_that_webhooks_show(
    traffic: Traffic, engine: Engine, now: datetime
):
    send(traffic, now - 3 * HOUR, 120, failing=False, received=now)
    late = [
        status(f"wamid.f{n}", "failed", now - (150 - n) * MINUTE, code=BROKEN, recipient=f"1202556{n:04}")
        for n in range(80)
    ]
    traffic.store(*late, at=now)
    for place, code in enumerate((190, 131031, 131042, 133010, 368, 131045, 10, 200)):
        calls = [
            failed_call(now - 170 * MINUTE, code, message_id=f"send:{code}.{n}", number=f"made up {place}")
            for n in range(3)
        ]
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            register(connection, calls, now, reported_by="rival")
    assert judge_afterwards(engine, now) > module.MAX_MESSAGES
    assert notifications(engine)[0][2].title.startswith(str(BROKEN))


@pytest.mark.usefixtures("healthy")
def test_a_past_incident_of_made_up_calls_of_which_all_goes_on_in_a_real_one_is_not_stored(
    traffic: Traffic, engine: Engine, now: datetime
):
    calls = [
        failed_call(
            now - (170 - n % 5) * MINUTE, BROKEN, message_id=f"send:rival.{n}", contact=f"1404555{n:04}"
        )
        for n in range(40)
    ]
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, calls, now, reported_by="rival")
    send(traffic, now - 165 * MINUTE, 40, failing=True, received=now)
    assert judge_afterwards(engine, now) == 1
    (incident,) = known_incidents(engine)
    assert incident.total_failures == 200
    assert incident.began_at >= (now - 165 * MINUTE).replace(second=0)


@pytest.mark.usefixtures("healthy")
def test_failed_calls_that_a_key_goes_on_making_up_delay_no_past_incident(
    traffic: Traffic, engine: Engine, now: datetime
):
    unfinished = Unfinished()
    send(traffic, now - 3 * HOUR, 120, failing=True, received=now)
    judged = 0
    for minutes in range(0, 16, 3):
        at = now + minutes * MINUTE
        report_failed_calls(engine, 40, at - MINUTE, 131008, number="made up")
        report_failed_calls(engine, 40, at - MINUTE, BROKEN)
        measure(engine, at + 2 * MINUTE)
        evaluate(engine, RULES, at + 2 * MINUTE, channels=CHANNELS)
        judged += judge_past(engine, RULES, at + 2 * MINUTE, channels=CHANNELS, unfinished=unfinished)
    assert judged
    past = [
        message
        for channel, reason, message in notifications(engine)
        if (channel, reason) == ("slack", "past")
    ]
    assert [message.title.split()[0] for message in past] == [str(BROKEN)]


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_made_up_incident_is_announced_once_although_its_time_is_judged_again(
    made_up: Callable[[int], list[Incident]], traffic: Traffic, engine: Engine, now: datetime, has_ended: bool
):
    known = made_up(80 if has_ended else 20)
    late = [status(f"wamid.x{n}", "failed", now - 75 * MINUTE, code=131026) for n in range(3)]
    late += [status(f"wamid.y{n}", "sent", now - 75 * MINUTE) for n in range(60)]
    traffic.store(*late, at=now)
    assert judge_afterwards(engine, now) == 0
    assert len(known_incidents(engine)) == len(known)


@pytest.mark.usefixtures("healthy")
def test_late_failures_like_any_other_day_are_no_incident(traffic: Traffic, engine: Engine, now: datetime):
    send(traffic, now - 3 * HOUR, 120, failing=False, received=now)
    late = [status(f"wamid.x{n}", "failed", now - 2 * HOUR, code=131026) for n in range(3)]
    traffic.store(*late, at=now)
    measure(engine, now + 2 * MINUTE)
    assert unjudged(engine, now) == 1
    assert judge_afterwards(engine, now) == 0
    assert unjudged(engine, now) == 0


@pytest.mark.usefixtures("healthy")
def test_a_backlog_is_judged_when_it_has_arrived(traffic: Traffic, engine: Engine, now: datetime):
    send(traffic, now - 3 * HOUR, 20, failing=True, received=now)
    measure(engine, now + 2 * MINUTE)
    assert judge_past(engine, RULES, now + 3 * MINUTE, channels=CHANNELS) == 0
    assert unjudged(engine, now) == 20
    assert judge_past(engine, RULES, now + 6 * MINUTE, channels=CHANNELS) == 1


@pytest.mark.usefixtures("healthy")
def test_a_run_that_fails_leaves_nothing_and_is_repeated(
    traffic: Traffic, engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    send(traffic, now - 3 * HOUR, 20, failing=True, received=now)
    measure(engine, now + 2 * MINUTE)
    with monkeypatch.context() as broken:
        broken.setattr(module.unjudged_minutes, "remove", lambda *_: {}["gone"])
        with pytest.raises(KeyError):
            judge_past(engine, RULES, now + 6 * MINUTE, channels=CHANNELS)
    assert known_incidents(engine) == []
    assert judge_past(engine, RULES, now + 7 * MINUTE, channels=CHANNELS) == 1


@pytest.mark.usefixtures("healthy")
def test_many_minutes_are_judged_in_several_runs_and_are_one_incident_as_in_a_single_run(
    traffic: Traffic, engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    send(traffic, now - 90 * MINUTE, 30, failing=True, received=now)
    measure(engine, now + 2 * MINUTE)
    monkeypatch.setattr(module, "RUN_SECONDS", 0.0)
    first, second = Unfinished(), Unfinished()

    def run(unfinished: Unfinished) -> int:
        return judge_past(engine, RULES, now + 6 * MINUTE, channels=CHANNELS, unfinished=unfinished)

    assert [run(first), run(first), run(second)] == [0, 0, 0]
    assert first.replay is not second.replay is not None, "another process begins anew"
    assert unjudged(engine, now) == 30
    monkeypatch.setattr(module, "RUN_SECONDS", 99.0)
    assert run(first) == 1
    (incident,) = known_incidents(engine)
    assert (incident.total_failures, unjudged(engine, now)) == (150, 0)
    assert run(second) == 0, "the first has judged what the second has begun with"
    assert [reason for _, reason, _ in notifications(engine)] == ["past"]


@pytest.mark.usefixtures("healthy")
def test_what_arrives_while_minutes_are_judged_is_judged_next(
    traffic: Traffic, engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    send(traffic, now - 70 * MINUTE, 10, failing=True, received=now)
    measure(engine, now + 2 * MINUTE)
    monkeypatch.setattr(module, "RUN_SECONDS", 0.0)
    unfinished = Unfinished()
    judge_past(engine, RULES, now + 6 * MINUTE, channels=CHANNELS, unfinished=unfinished)
    late = status("wamid.later", "failed", now - 65 * MINUTE, code=BROKEN, recipient="12025550177")
    traffic.store(late, at=now + 6 * MINUTE)
    measure(engine, now + 8 * MINUTE)
    monkeypatch.setattr(module, "RUN_SECONDS", 99.0)
    assert judge_past(engine, RULES, now + 8 * MINUTE, channels=CHANNELS, unfinished=unfinished) == 1
    assert unjudged(engine, now) == 1
    assert judge_past(engine, RULES, now + 12 * MINUTE, channels=CHANNELS, unfinished=unfinished) == 0
    assert (unjudged(engine, now), len(known_incidents(engine))) == (0, 1)


def test_what_is_older_than_a_day_is_not_judged(traffic: Traffic, engine: Engine, now: datetime):
    send(traffic, now - 30 * HOUR, 60, failing=True, received=now)
    assert judge_afterwards(engine, now) == 0
    assert known_incidents(engine) == []


def test_five_of_five_of_a_small_sender_are_found_afterwards(traffic: Traffic, engine: Engine, now: datetime):
    for day in range(1, 8):
        for place in range(5):
            traffic.sent(1, now - day * 24 * HOUR - place * HOUR)
    late = [
        status(f"wamid.s{n}", "failed", now - (6 - n) * HOUR, code=BROKEN, recipient=f"1202555020{n}")
        for n in range(5)
    ]
    traffic.store(*late, at=now)
    assert judge_afterwards(engine, now) == 1
    (incident,) = known_incidents(engine)
    assert incident.names["phone_number_id"] == [NUMBER]
