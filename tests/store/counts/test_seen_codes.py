"""The ceiling on error codes that somebody makes up: beyond it they count as one code, and totals stay exact."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from tests.support.factories import body, status
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.sends.reports import register
from webhook_app.store.counts import baselines, minutes, rates, seen_codes
from webhook_app.store.counts.code_counts import failures_by_code, per_day
from webhook_app.store.counts.failures import failures
from webhook_app.store.postgres.engine import connect
from webhook_app.whatsapp.events import NO_CODE, OTHER_CODE
from webhook_app.whatsapp.sends.graph_errors import read_graph_error
from webhook_app.whatsapp.sends.send_reports import SendReport

HOUR = timedelta(hours=1)
MADE_UP = 50_000_000


@pytest.fixture
def writer(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchWriter]:
    monkeypatch.setattr(seen_codes, "MAX_NEW_CODES", 5)
    made = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
    yield made
    made.close()


def failed(now: datetime, codes: range, prefix: str = "wamid") -> bytes:
    return body(*(status(f"{prefix}.{code}", "failed", now, code=code) for code in codes))


def counted(engine: Engine, now: datetime) -> dict[int, int]:
    with engine.connect() as connection:
        found = rates.rates(connection, now - HOUR, now + HOUR, ("code",))
        by_code = {row["code"]: row["failures"] for row in found.groups}
        assert {
            code: each.last_30_days for code, each in failures_by_code(connection, now).items()
        } == by_code
        assert found.failures == found.attempts
    return by_code


def test_beyond_the_ceiling_of_an_hour_unknown_codes_count_as_one_and_in_the_next_by_themselves(
    writer, engine, now
):
    for _ in range(2):
        writer.store([Delivery(failed(now, range(MADE_UP, MADE_UP + 12)))], now)
    found = counted(engine, now)
    assert found.pop(OTHER_CODE) == 7
    assert found == dict.fromkeys(range(MADE_UP, MADE_UP + 5), 1)
    with engine.begin() as connection:
        assert seen_codes.is_at_ceiling(connection, now - HOUR)
        codes = connection.execute(text("SELECT error_code FROM failures ORDER BY 1")).scalars().all()
        connection.execute(text("UPDATE seen_codes SET first_at = first_at - interval '1 hour'"))
    assert codes == list(range(MADE_UP, MADE_UP + 12))
    writer._rows._series_of = None
    writer.store([Delivery(failed(now, range(MADE_UP, MADE_UP + 12), "again"))], now)
    assert counted(engine, now)[MADE_UP + 9] == 1


def test_codes_of_the_catalogue_and_the_absence_of_a_code_have_no_ceiling(writer, engine, now):
    writer.store([Delivery(failed(now, range(MADE_UP, MADE_UP + 9)))], now)
    writer.store(
        [Delivery(body(status("wamid.A", "failed", now, code=131026), status("wamid.B", "failed", now)))], now
    )
    found = counted(engine, now)
    assert (found[131026], found[NO_CODE], found[OTHER_CODE]) == (1, 1, 4)


def test_messages_that_failed_several_times_are_bound_too(writer, engine, now):
    items = [status(f"wamid.{n // 2}", "failed", now, code=MADE_UP + n) for n in range(40)]
    writer.store([Delivery(body(*items))], now)
    with engine.connect() as connection:
        found = failures_by_code(connection, now)
        read = minutes.read(connection, now - HOUR, now + HOUR)
        table = rates.rates(connection, now - HOUR, now + HOUR, ("code",))
        (group,) = [row for row in table.groups if row["code"] == OTHER_CODE]
        assert group["failures"] == found[OTHER_CODE].last_30_days == 18
        today = per_day(connection, OTHER_CODE, OTHER_CODE, 1, now)
        assert list(today.values()) == [18]
    assert len(found) == 6
    assert {mark.code for each in read.values() for _, mark in each.again} == set(found)
    with engine.begin() as connection:
        hour = now.replace(minute=0, second=0, microsecond=0)
        baselines.sum_hour(connection, hour, now)
        codes = connection.execute(text("SELECT DISTINCT error_code FROM hourly_failures")).scalars().all()
    assert set(codes) == set(found)


def report_failed(engine: Engine, now: datetime, codes: range) -> None:
    reports = [
        SendReport(
            message_id=f"send:{code}", phone_number_id="1", contact="12025550117", template="", campaign="",
            category="", sent_at=now, error=read_graph_error({"code": code}), endpoint="", request_json="",
        )
        for code in codes
    ]  # fmt: skip
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, reports, now, reported_by="shop")


def test_reports_of_senders_are_bound_too(engine, now, monkeypatch):
    monkeypatch.setattr(seen_codes, "MAX_REPORTED_CODES", 5)
    report_failed(engine, now, range(MADE_UP, MADE_UP + 12))
    found = counted(engine, now)
    assert (len(found), found[OTHER_CODE]) == (6, 7)
    with engine.connect() as connection:
        assert seen_codes.is_at_ceiling(connection, now - HOUR, reported=True)
        assert not seen_codes.is_at_ceiling(connection, now - HOUR)
        assert failures.reported_as_other(connection, now - HOUR)
        assert not failures.reported_as_other(connection, now + HOUR)


def test_codes_that_senders_make_up_leave_room_for_those_of_webhooks(writer, engine, now, monkeypatch):
    monkeypatch.setattr(seen_codes, "MAX_REPORTED_CODES", 2)
    report_failed(engine, now, range(MADE_UP, MADE_UP + 12))
    writer.store([Delivery(failed(now, range(MADE_UP + 100, MADE_UP + 103)))], now)
    found = counted(engine, now)
    assert found == {MADE_UP: 1, MADE_UP + 1: 1, OTHER_CODE: 10} | {MADE_UP + n: 1 for n in (100, 101, 102)}


def test_the_most_frequent_unknown_codes_are_listed_and_all_known_ones(writer, engine, now):
    twice = [status(f"wamid.{n}", "failed", now, code=MADE_UP + 3) for n in range(2)]
    writer.store([Delivery(failed(now, range(MADE_UP, MADE_UP + 5), "x")), Delivery(body(*twice))], now)
    writer.store([Delivery(body(status("wamid.A", "failed", now, code=131026)))], now)
    with engine.connect() as connection:
        assert set(failures_by_code(connection, now, limit=1)) == {131026, MADE_UP + 3}
        assert set(failures_by_code(connection, now, MADE_UP + 1)) == {MADE_UP + 1}
