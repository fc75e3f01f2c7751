"""Ceilings on what webhooks and senders can make up: beyond them is one bucket, and totals stay exact."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.sends.reports import register
from webhook_app.store.counts import rates, series
from webhook_app.store.counts.failures import failures
from webhook_app.store.counts.failures.failure_filters import FailureFilters, errors_of
from webhook_app.store.counts.series import OTHER
from webhook_app.store.postgres.engine import connect
from webhook_app.whatsapp.sends.graph_errors import read_graph_error
from webhook_app.whatsapp.sends.send_reports import SendReport

HOUR = timedelta(hours=1)


@pytest.fixture
def writer(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchWriter]:
    monkeypatch.setattr(series, "MAX_NEW_PER_ACCOUNT", 5)
    monkeypatch.setattr(series, "MAX_NEW", 8)
    made = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
    yield made
    made.close()


def sent(now: datetime, first: int, count: int, **more: str) -> bytes:
    items = [
        status(f"wamid.{n}", "sent", now, biz_opaque_callback_data=f"template=t{n};campaign=c{n}")
        for n in range(first, first + count)
    ]
    return body(*items, **more)


def templates(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT template FROM series ORDER BY id")).scalars())


def attempts(engine: Engine, now: datetime) -> dict[str, int]:
    with engine.connect() as connection:
        found = rates.rates(connection, now - HOUR, now + HOUR, ("template",))
    assert found.attempts == sum(group["attempts"] for group in found.groups)
    return {str(group["template"]): group["attempts"] for group in found.groups}


def test_beyond_the_ceiling_of_an_hour_templates_are_counted_as_other_and_in_the_next_by_name(
    writer, engine, now
):
    for _ in range(2):
        writer.store([Delivery(sent(now, 0, 12))], now)
    assert sorted(templates(engine)) == [OTHER, "t0", "t1", "t10", "t11", "t2"]
    found = attempts(engine, now)
    assert found.pop(OTHER) == 7
    assert set(found.values()) == {1}
    with engine.begin() as connection:
        connection.execute(text("UPDATE series SET created_at = created_at - interval '1 hour'"))
    writer._rows._series.clear()
    writer.store([Delivery(sent(now, 20, 3))], now)
    assert {"t20", "t21", "t22"} <= set(attempts(engine, now))


def test_a_known_template_keeps_its_name_and_another_account_its_own_ceiling(writer, engine, now):
    writer.store([Delivery(sent(now, 0, 1))], now)
    writer.store([Delivery(sent(now, 100, 9))], now)
    writer.store(
        [Delivery(body(status("wamid.A", "sent", now, biz_opaque_callback_data="template=t0;campaign=c0")))],
        now,
    )
    assert attempts(engine, now)["t0"] == 2
    writer.store([Delivery(sent(now, 0, 1, number="1", waba="2"))], now)
    with engine.connect() as connection:
        assert (
            connection.execute(text("SELECT template FROM series WHERE waba_id = '2'")).scalar_one() == "t0"
        )


def test_numbers_that_are_made_up_end_in_one_series(writer, engine, now):
    for n in range(30):
        raw = body(status(f"wamid.{n}", "sent", now), number=str(1000 + n), waba=str(10 + n))
        writer.store([Delivery(raw)], now)
    assert len(templates(engine)) < 20
    assert sum(attempts(engine, now).values()) == 30
    with engine.connect() as connection:
        assert series.is_at_ceiling(connection, now - HOUR)
        assert not series.is_at_ceiling(connection, now + HOUR)


def test_long_names_do_not_fill_the_cache_of_a_connection(writer, engine, now, monkeypatch):
    monkeypatch.setattr(series, "_MAX_CACHED_BYTES", 1_000)
    writer.store([Delivery(sent(now, 0, 6))], now)
    with engine.connect() as connection:
        ids = connection.execute(text("SELECT id FROM series ORDER BY id")).scalars().all()
        sizes = [len(series.series_keys(connection, {each})) for each in ids]
        assert series.series_keys(connection, set(ids)).keys() >= set(ids)
    assert max(sizes) <= 3 < len(ids)


def report_failed(engine: Engine, now: datetime, *calls: dict[str, str], key: str = "shop") -> None:
    """Report a failed call of each; they all fail for another reason, so that none is repeated."""
    plain = dict.fromkeys(("template", "campaign", "category", "endpoint", "request_json"), "")
    reports = [
        SendReport(
            **{"message_id": f"send:{key}{n}", "phone_number_id": NUMBER, "contact": "12025550117"}
            | plain
            | call,
            sent_at=now,
            error=read_graph_error({"code": 131000}),
        )
        for n, call in enumerate(calls)
    ]
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, reports, now, reported_by=key)


@pytest.fixture
def few_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MAX_REPORTED_PER_ACCOUNT", 1)
    monkeypatch.setattr(series, "MAX_REPORTED", 3)


@pytest.mark.usefixtures("few_reported")
def test_names_that_senders_make_up_leave_room_for_those_of_webhooks(writer, engine, now):
    writer.store([Delivery(body(status("wamid.A", "sent", now)))], now)
    made_up = [
        {"template": f"made up {n}", "contact": contact}
        for n, contact in enumerate(["12025550117", "491715555555", "33612345678", "5511987654321"] * 5)
    ]
    report_failed(engine, now, *made_up)
    writer.store([Delivery(sent(now, 0, 1))], now)
    found = attempts(engine, now)
    assert found["t0"] == 1
    assert found[OTHER] == 20
    with engine.connect() as connection:
        others = "SELECT DISTINCT phone_number_id FROM series WHERE template = :other"
        assert connection.execute(text(others), {"other": OTHER}).scalars().all() == [NUMBER]
        assert series.is_at_ceiling(connection, now - HOUR, reported=True)
        assert failures.reported_as_other(connection, now - HOUR)


@pytest.mark.parametrize("order", ["report", "webhook"])
def test_names_that_one_key_makes_up_leave_room_for_those_of_another(writer, engine, now, monkeypatch, order):
    monkeypatch.setattr(series, "MAX_REPORTED_PER_ACCOUNT", 20)
    ids = ["wamid.A", *(f"wamid.B{n}" for n in range(30))]
    countries = ("12025550117", "491715555555", "33612345678")
    writer.store([Delivery(body(*(status(each, "sent", now) for each in ids)))], now)
    made_up = [{"template": f"made up {n}", "contact": countries[n % 3]} for n in range(30)]
    if order == "webhook":
        made_up = [{"template": f"made up {n}", "message_id": each} for n, each in enumerate(ids[1:])]
    report_failed(engine, now, *made_up, key="rival")
    report_failed(engine, now, {"template": "autumn", "message_id": "wamid.A"})
    assert "autumn" in templates(engine)
    assert sum(name.startswith("made up") for name in templates(engine)) == 16
    with engine.connect() as connection:
        assert series.is_at_ceiling(connection, now - HOUR, reported=True)


@pytest.mark.usefixtures("few_reported")
def test_business_numbers_that_senders_make_up_leave_room_for_those_of_webhooks(writer, engine, now):
    report_failed(engine, now, *({"phone_number_id": str(1000 + n)} for n in range(30)))
    assert len(templates(engine)) <= 5
    writer.store([Delivery(sent(now, 0, 1))], now)
    assert attempts(engine, now)["t0"] == 1


@pytest.mark.usefixtures("few_reported")
def test_messages_of_webhooks_that_a_report_names_later_count_under_a_limited_number_of_names(
    writer, engine, now
):
    ids = [f"wamid.{n}" for n in range(9)]
    writer.store([Delivery(body(*(status(each, "sent", now) for each in ids)))], now)
    report_named = [{"message_id": each, "template": f"named {each}"} for each in ids]
    report_failed(engine, now, *report_named)
    writer.store([Delivery(sent(now, 100, 1))], now)
    assert attempts(engine, now)["t100"] == 1


def test_error_texts_beyond_the_ceiling_share_a_row_and_stay_found_by_code(writer, engine, now):
    count = failures.MAX_NEW_ERRORS + 50
    failed = [status(f"wamid.{n}", "failed", now, code=131026, details=f"text {n}") for n in range(count)]
    failed.append(status("wamid.odd", "failed", now, code=987_654))
    writer.store([Delivery(body(*failed))], now)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT count(*) FROM failure_errors")).scalar_one()
        assert rows == failures.MAX_NEW_ERRORS + 2
        assert failures.is_at_ceiling(connection, now - HOUR)
        ids = errors_of(connection, FailureFilters(code=131026)).wanted
        found = "SELECT count(*) FROM failures WHERE error_id = ANY(:ids) AND error_code = 131026"
        assert connection.execute(text(found), {"ids": ids}).scalar_one() == count
