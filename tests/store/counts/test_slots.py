"""Readers of counts that leave out what senders reported."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.support.factories import status
from tests.support.reports import failed_call, report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.pipeline.sends.merge import MERGED_AT_ONCE, merge_reports
from webhook_app.pipeline.sends.reports import register
from webhook_app.store.counts import baselines, minutes, rates, webhook_counts
from webhook_app.store.counts.rates import Filters
from webhook_app.store.counts.traffic import events_by_series
from webhook_app.store.postgres.engine import driver

HOUR = timedelta(hours=1)
UNREACHABLE, FAULT = 131026, 131000


@pytest.fixture
def hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0) - 3 * HOUR


def test_a_reported_failed_call_is_an_attempt_and_no_webhook(engine: Engine, hour: datetime) -> None:
    report_failed_calls(engine, 5, hour, UNREACHABLE)
    with engine.begin() as connection:
        assert sum(rates.read_window(connection, hour, hour + HOUR).attempts.values()) == 5
        assert events_by_series(connection, hour, hour + HOUR) == {}
        assert [minute.events for minute in minutes.read(connection, hour, hour + HOUR).values()] == [{}]
        baselines.sum_hour(connection, hour, hour + HOUR)
        assert not any(baselines.events_in(connection, [hour])[hour].values())
        assert sum(baselines.read(connection, hour, hour + HOUR).attempts.values()) == 5


def test_webhooks_are_counted_with_reports_beside_them(
    engine: Engine, traffic: Traffic, hour: datetime
) -> None:
    traffic.sent(7, hour)
    report_failed_calls(engine, 5, hour, UNREACHABLE)
    with engine.begin() as connection:
        assert list(events_by_series(connection, hour, hour + HOUR).values()) == [7]
        baselines.sum_hour(connection, hour, hour + HOUR)
        assert sum(baselines.events_in(connection, [hour])[hour].values()) == 7


@pytest.mark.parametrize("first", ["webhook", "report"])
def test_without_reports_a_window_has_only_what_webhooks_say(
    engine: Engine, traffic: Traffic, hour: datetime, first: str
) -> None:
    if first == "report":
        report_failed_calls(engine, 5, hour, UNREACHABLE)
    traffic.sent(10, hour)
    traffic.failed(2, hour, UNREACHABLE)
    if first == "webhook":
        report_failed_calls(engine, 5, hour, UNREACHABLE)
    with engine.connect() as connection:
        found = rates.read_window(connection, hour, hour + HOUR, Filters(with_reports=False))
    assert sum(found.attempts.values()) == 12
    assert found.failures(lambda _: True) == 2


def test_a_message_that_a_report_and_webhooks_say_failed_counts_once_without_reports(
    engine: Engine, traffic: Traffic, hour: datetime
) -> None:
    [once, twice] = traffic.failed(2, hour, UNREACHABLE)
    traffic.store(status(twice, "failed", hour, code=FAULT), at=hour)
    report_failed_calls(engine, 1, hour, 131008, message_id=once)
    with engine.connect() as connection:
        found = rates.read_window(connection, hour, hour + HOUR, Filters(with_reports=False))
    assert sum(found.attempts.values()) == 2
    assert found.failures(lambda _: True) == 2


def test_failed_calls_that_a_writer_of_webhooks_merges_are_left_out(
    engine: Engine, traffic: Traffic, hour: datetime
) -> None:
    ids = traffic.sent(MERGED_AT_ONCE + 3, hour)
    calls = [failed_call(hour, UNREACHABLE, number="other", message_id=each) for each in ids]
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, calls, hour, reported_by="rival")
        counted = rates.read_window(connection, hour, hour + HOUR).failures(lambda _: True)
        merge_reports(driver(connection), ids, now=hour, slot=0, most=None)
        everything = rates.read_window(connection, hour, hour + HOUR).failures(lambda _: True)
        found = rates.read_window(connection, hour, hour + HOUR, Filters(with_reports=False))
    assert (counted, everything) == (MERGED_AT_ONCE, len(ids))
    assert (sum(found.attempts.values()), found.failures(lambda _: True)) == (len(ids), 0)


def test_reports_with_several_codes_are_left_out(engine: Engine, hour: datetime) -> None:
    for code in (UNREACHABLE, FAULT):
        report_failed_calls(engine, 1, hour, code, message_id="wamid.invented")
    with engine.connect() as connection:
        everything = rates.read_window(connection, hour, hour + HOUR)
        found = rates.read_window(connection, hour, hour + HOUR, Filters(with_reports=False))
    assert everything.failures(lambda _: True) == 1
    assert (found.attempts, found.failures(lambda _: True)) == ({}, 0)


@pytest.mark.parametrize("reported_first", [False, True])
def test_a_window_and_an_hour_less_what_is_reported_hold_what_webhooks_say(
    engine: Engine, traffic: Traffic, hour: datetime, *, reported_first: bool
) -> None:
    def report() -> None:
        report_failed_calls(engine, 5, hour, UNREACHABLE)
        for code in (UNREACHABLE, FAULT, 190):
            report_failed_calls(engine, 1, hour, code, message_id="wamid.invented")
        for message, code in (("wamid.T1", FAULT), ("wamid.T9", FAULT), ("wamid.T10", 131008)):
            report_failed_calls(engine, 1, hour - HOUR / 2, code, message_id=message)
            report_failed_calls(engine, 1, hour + HOUR / 2, 190, message_id=message)

    if reported_first:
        report()
    traffic.sent(8, hour)
    traffic.failed(3, hour + HOUR / 2, FAULT)
    if not reported_first:
        report()
    with engine.begin() as connection:
        counted = rates.read_window(connection, hour, hour + HOUR)
        found = counted.less(webhook_counts.read_reported(connection, hour, hour + HOUR))
        shown = webhook_counts.failures(connection, hour, hour + HOUR)
        baselines.sum_hour(connection, hour, hour + HOUR)
        summed = baselines.read(connection, hour, hour + HOUR)
        past = summed.less(baselines.read_reported(connection, hour, hour + HOUR))
    assert counted.failures(lambda _: True) > 3
    assert sorted(found.failed, key=str) == sorted(shown, key=str)
    for each in (found, past):
        # The earliest failure of a message that was not sent says when it was tried: 131008, before the hour.
        assert sum(each.attempts.values()) == 10
        assert each.by_group(("code",), lambda _: True)[(FAULT,)].failures == 3
        assert each.failures(lambda _: True) == 3
