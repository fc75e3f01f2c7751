"""What recurs or is chronic raises no incident that people are notified of, unless it is clearly worse."""

from datetime import datetime, timedelta

import pytest
from msgspec import convert
from msgspec.structs import replace
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER, WABA
from tests.support.findings import opened
from tests.support.incidents import known
from tests.support.reports import report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.findings.find import find
from webhook_app.rules.incidents.findings.finding import FoundState, key_of
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.incidents import findings

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BROKEN, UNREACHABLE = 131053, 131026
RULE = Rule(
    name="r",
    threshold=0.02,
    resolve_below=0.015,
    windows=(15, 60),
    min_attempts=0,
    min_failures=3,
    for_evaluations=1,
    resolve_after_evaluations=2,
    channels=("slack",),
)


@pytest.fixture
def noon(now: datetime) -> datetime:
    """Noon of yesterday."""
    return now.replace(hour=12, minute=0, second=0, microsecond=0) - DAY


def look(engine: Engine, at: datetime, times: int = 4) -> None:
    for place in range(times):
        evaluate(engine, [RULE], at + place * 15 * SECOND, channels=["slack", "log"])


def reasons(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT payload FROM notifications ORDER BY id")).scalars()
        return [convert(row, Notification).reason for row in rows]


def job(engine: Engine, traffic: Traffic, at: datetime, failures: int = 8) -> None:
    """A job of which everything fails, until its incident has ended."""
    traffic.failed(failures, at, BROKEN, template="job")
    look(engine, at + MINUTE)
    traffic.sent(400, at + 20 * MINUTE, template="other")
    look(engine, at + 21 * MINUTE)
    look(engine, at + 2 * HOUR)


def test_the_incident_of_the_third_day_belongs_to_a_finding_and_is_not_announced(
    engine: Engine, traffic: Traffic, noon: datetime
) -> None:
    for back in (3, 2):
        job(engine, traffic, noon - back * DAY)
    before = reasons(engine)
    assert before.count("fired") + before.count("again") == 2
    assert opened(engine) == []
    job(engine, traffic, noon - DAY)
    assert reasons(engine) == before
    [finding] = opened(engine)
    assert (finding.kind, finding.slice, finding.codes) == ("recurring", {"template": ["job"]}, [BROKEN])
    last = known(engine)[-1]
    assert (last.finding_id, last.state, last.total_failures) == (finding.id, "ended", 8 * (last.again + 1))
    assert last.title
    job(engine, traffic, noon)
    assert reasons(engine) == before
    assert [each.id for each in opened(engine)] == [finding.id]


def test_a_recurring_failure_that_clearly_rises_is_announced(
    engine: Engine, traffic: Traffic, noon: datetime
) -> None:
    for back in (3, 2, 1):
        job(engine, traffic, noon - back * DAY)
    before = reasons(engine)
    traffic.failed(8, noon, BROKEN, template="job")
    look(engine, noon + MINUTE)
    assert reasons(engine) == before
    traffic.failed(100, noon + MINUTE, BROKEN, template="job")
    look(engine, noon + 2 * MINUTE)
    assert len(reasons(engine)) == len(before) + 1
    assert reasons(engine)[-1] in ("fired", "again")
    assert known(engine)[-1].finding_id is None


def test_failed_calls_of_the_earlier_days_hide_no_rise_of_what_webhooks_show(
    engine: Engine, traffic: Traffic, noon: datetime
) -> None:
    for back in (3, 2, 1):
        report_failed_calls(engine, 300, noon - back * DAY, BROKEN, template="job")
        job(engine, traffic, noon - back * DAY)
    before = reasons(engine)
    traffic.failed(8, noon, BROKEN, template="job")
    look(engine, noon + MINUTE)
    assert reasons(engine) == before
    traffic.failed(100, noon + MINUTE, BROKEN, template="job")
    look(engine, noon + 2 * MINUTE)
    assert len(reasons(engine)) == len(before) + 1


def test_failed_calls_with_another_code_fix_no_finding_of_what_recurs(
    engine: Engine, traffic: Traffic, noon: datetime
) -> None:
    for back in (6, 5, 4):
        job(engine, traffic, noon - back * DAY)
    assert [each.kind for each in opened(engine)] == ["recurring"]
    for back in (3, 2, 1):
        report_failed_calls(engine, 40, noon - back * DAY, 131000, template="job")
    while sum_hours(engine, noon + HOUR) > 3:
        pass
    find(engine, [RULE], noon)
    assert [each.kind for each in opened(engine)] == ["recurring"]


def test_what_only_senders_report_recurs_as_a_finding_of_its_own(
    engine: Engine, traffic: Traffic, noon: datetime
) -> None:
    for back in (3, 2, 1):
        report_failed_calls(engine, 8, noon - back * DAY, BROKEN, template="job")
        look(engine, noon - back * DAY + MINUTE)
        traffic.sent(400, noon - back * DAY + 20 * MINUTE, template="other")
        look(engine, noon - back * DAY + 21 * MINUTE)
        look(engine, noon - back * DAY + 2 * HOUR)
    [made_up] = opened(engine)
    assert made_up.title.endswith("template job (only with reports of senders)")
    with engine.begin() as connection:
        shown = replace(chronic(noon), kind="recurring", key=key_of(BROKEN, {"template": ["job"]}))
        assert findings.add(connection, shown, noon, noon) == (made_up.id + 1, True)


def test_a_chronic_code_is_an_incident_only_above_its_own_usual_share(
    engine: Engine, traffic: Traffic, noon: datetime
) -> None:
    for back in range(8, 0, -1):
        traffic.sent(280, noon - back * DAY)
        traffic.failed(20, noon - back * DAY, BROKEN)
    while sum_hours(engine, noon - HOUR) > 3:
        pass
    traffic.sent(280, noon)
    traffic.failed(20, noon, BROKEN)
    with engine.begin() as connection:
        findings.add(connection, chronic(noon - 8 * DAY), noon, noon)
    look(engine, noon + MINUTE)
    assert known(engine) == []
    traffic.failed(60, noon + MINUTE, BROKEN)
    look(engine, noon + 2 * MINUTE)
    [incident] = known(engine)
    assert reasons(engine) == ["fired"]
    assert incident.threshold == pytest.approx(1.5 * 20 / 300)


def test_without_the_finding_that_share_is_an_incident(
    engine: Engine, traffic: Traffic, noon: datetime
) -> None:
    traffic.sent(280, noon)
    traffic.failed(20, noon, BROKEN)
    look(engine, noon + MINUTE)
    assert len(known(engine)) == 1


def chronic(since: datetime) -> FoundState:
    part = {"phone_number_id": [NUMBER]}
    return FoundState(
        kind="chronic",
        key=key_of(BROKEN, part),
        title="131053 every day",
        waba_id=WABA,
        codes=(BROKEN,),
        slice=part,
        evidence={"threshold": 0.02},
        advice="Fix it.",
        since=since,
    )


def test_an_incident_that_has_lasted_seven_days_becomes_a_finding(
    engine: Engine, traffic: Traffic, noon: datetime
) -> None:
    traffic.sent(300, noon)
    traffic.failed(100, noon, BROKEN)
    look(engine, noon + MINUTE)
    [incident] = known(engine)
    with engine.begin() as connection:
        earlier = text("UPDATE alerts SET fired_at = fired_at - interval '7 days' WHERE state = 'firing'")
        connection.execute(earlier)
    traffic.sent(300, noon + 2 * MINUTE)
    traffic.failed(100, noon + 2 * MINUTE, BROKEN)
    look(engine, noon + 3 * MINUTE, times=1)
    [ended] = known(engine)
    [finding] = opened(engine)
    assert (ended.ended_how, ended.finding_id) == ("chronic", finding.id)
    assert (finding.kind, finding.codes, finding.slice) == ("chronic", [BROKEN], incident.slice)
    assert finding.evidence["incident_id"] == incident.id
    assert finding.impact["failures"] == 200
    assert reasons(engine) == ["fired", "resolved"]
    sum_hours(engine, noon + 3 * HOUR)
    traffic.sent(300, noon + 3 * HOUR)
    traffic.failed(100, noon + 3 * HOUR, BROKEN)
    look(engine, noon + 3 * HOUR + MINUTE)
    assert len(known(engine)) == 1, "what is chronic opens no other incident"
