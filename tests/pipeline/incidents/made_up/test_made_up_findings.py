"""What a sender's key makes up hides no finding of what webhooks show, and is none of it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER
from tests.support.findings import opened
from tests.support.incidents import store_incident
from tests.support.reports import report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.findings.find import MAX_CAMPAIGNS, MAX_COUNTED, find
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

RULES = parse_rules(default_rules_text())
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNREACHABLE, BROKEN, FAULT = 131026, 131053, 131000
ORDER = {"biz_opaque_callback_data": '{"template": "order"}'}
SPRING = {"biz_opaque_callback_data": '{"campaign": "spring"}'}

Look = Callable[[datetime], list[str]]


@pytest.fixture
def noon(now: datetime) -> datetime:
    """Today at noon: the days before it are complete."""
    return now.replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def look(engine: Engine) -> Look:
    """Sums the hours, and runs the job; returns the titles of the open findings."""

    def run(now: datetime) -> list[str]:
        while sum_hours(engine, now) > 3:
            pass
        find(engine, RULES, now, channels=("log",))
        return [each.title for each in opened(engine)]

    return run


@pytest.fixture
def spring(traffic: Traffic, noon: datetime) -> datetime:
    """A campaign of a hundred contacts, 30 of whom were never reached; the time at which it was sent."""
    at = noon - 2 * DAY
    traffic.sent(70, at, **SPRING)
    traffic.failed(30, at, UNREACHABLE, **SPRING)
    return at


SPRING_FOUND = "Many contacts of campaign spring were never reached"


def test_failed_calls_of_a_campaign_make_no_smaller_share_of_its_contacts_unreachable(
    engine: Engine, look: Look, noon: datetime, spring: datetime
) -> None:
    report_failed_calls(engine, 80, spring, FAULT, campaign="spring")
    assert look(noon) == [SPRING_FOUND]


def test_campaigns_with_more_failed_calls_take_no_campaign_s_place(
    engine: Engine, look: Look, noon: datetime, spring: datetime
) -> None:
    for place in range(MAX_CAMPAIGNS):
        report_failed_calls(engine, 120, spring, UNREACHABLE, campaign=f"made up {place}")
    assert look(noon) == [SPRING_FOUND]


def test_contacts_of_failed_calls_are_no_unreached_contacts(
    engine: Engine, look: Look, noon: datetime, spring: datetime
) -> None:
    report_failed_calls(engine, 60, spring, UNREACHABLE, campaign="spring")
    look(noon)
    [finding] = opened(engine)
    assert finding.evidence == {"contacts": 100, "unreached": 30}


def test_failed_calls_without_labels_do_not_make_messages_of_an_account_unlabelled(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    for back in range(5, 0, -1):
        traffic.sent(100, noon - back * DAY, **ORDER)
        report_failed_calls(engine, 300, noon - back * DAY, 131047)
    assert not [each for each in look(noon) if "name neither" in each]


def order(traffic: Traffic, engine: Engine, noon: datetime, *, made_up: int = 0) -> None:
    """A week in which 8 of 20 messages of one template fail, of 220 of its number, beside made-up failed calls."""
    for back in range(7, 0, -1):
        at = noon - back * DAY
        traffic.sent(200, at, biz_opaque_callback_data='{"template": "news"}')
        traffic.sent(12, at, **ORDER)
        traffic.failed(8, at, BROKEN, **ORDER)
        if made_up:
            report_failed_calls(engine, made_up, at, BROKEN, template="fake")


def test_a_made_up_chronic_state_is_marked_and_covers_no_real_one_inside_it(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    for back in range(14, 7, -1):
        traffic.sent(100, noon - back * DAY, **ORDER)
        report_failed_calls(engine, 60, noon - back * DAY, BROKEN)
    [made_up] = look(noon - 7 * DAY)
    assert (
        made_up
        == f"131053 Media upload error: fails every day, business number {NUMBER} (only with reports of senders)"
    )
    for back in range(7, 0, -1):
        at = noon - back * DAY
        traffic.sent(600, at, biz_opaque_callback_data='{"template": "news"}')
        traffic.sent(12, at, **ORDER)
        traffic.failed(8, at, BROKEN, **ORDER)
        report_failed_calls(engine, 60, at, BROKEN)
    assert "131053 Media upload error: fails every day, template order" in look(noon)


def test_what_webhooks_begin_to_show_of_a_made_up_chronic_state_is_a_new_finding(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    for back in range(14, 0, -1):
        traffic.sent(100, noon - back * DAY, **ORDER)
        report_failed_calls(engine, 60, noon - back * DAY, BROKEN)
        if back < 8:
            traffic.failed(20, noon - back * DAY, BROKEN, **ORDER)
    look(noon - 7 * DAY)
    assert [each for each in look(noon) if "131053" in each] == [
        f"131053 Media upload error: fails every day, business number {NUMBER}"
    ]
    [found] = [each for each in opened(engine) if each.kind == "chronic"]
    assert (found.impact["failures"], found.evidence["days"][0]["attempts"]) == (140, 120)
    assert found.notified_at == noon


def test_an_incident_that_only_reports_show_hides_no_chronic_state(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    order(traffic, engine, noon, made_up=1)
    store_incident(engine, noon - 2 * DAY, codes=[BROKEN], details={"reporters": ["rival"]})
    assert "131053 Media upload error: fails every day, template order" in look(noon)


def test_contacts_are_counted_first_for_what_webhooks_show(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    order(traffic, engine, noon)
    for back in range(7, 0, -1):
        for place in range(MAX_COUNTED + 1):
            report_failed_calls(engine, 40, noon - back * DAY, FAULT, number=f"1999{place:08}")
    look(noon)
    [found] = [each for each in opened(engine) if each.codes == [BROKEN]]
    assert found.impact["contacts"] == 56


def test_made_up_findings_make_no_real_one_a_line_of_a_list(
    engine: Engine, traffic: Traffic, look: Look, noon: datetime
) -> None:
    order(traffic, engine, noon)
    for back in range(7, 0, -1):
        for place in range(4):
            report_failed_calls(engine, 40, noon - back * DAY, FAULT, number=f"1999{place:08}")
    look(noon)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT payload -> 'findings' FROM notifications ORDER BY id")
        ).scalars()
        assert [len(each) for each in found] == [1, 4]
