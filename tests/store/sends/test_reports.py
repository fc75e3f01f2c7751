"""Accepted sends without a webhook are found, and repeated reports complete each other."""

from datetime import datetime, timedelta

from msgspec.structs import replace
from sqlalchemy import Engine

from tests.support.factories import NUMBER, status
from tests.support.traffic import Traffic
from webhook_app.pipeline.sends import reports as step
from webhook_app.pipeline.sends.reports import follow_up
from webhook_app.store.postgres.engine import driver
from webhook_app.store.sends import reports as sends
from webhook_app.whatsapp.sends.graph_errors import read_graph_error
from webhook_app.whatsapp.sends.send_reports import SendReport

MINUTE = timedelta(minutes=1)


def register(engine: Engine, reports: list[SendReport], now: datetime) -> list[step.Outcome]:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        return step.register(connection, reports, now, reported_by="shop")


def accepted(message_id: str, at: datetime, number: str = NUMBER) -> SendReport:
    return SendReport(
        message_id=message_id,
        phone_number_id=number,
        contact="12025550117",
        template="",
        campaign="",
        category="",
        sent_at=at,
        error=None,
        endpoint="",
        request_json="",
    )


def test_accepted_sends_without_a_webhook_for_half_an_hour_are_unreported(
    engine: Engine, traffic: Traffic, now: datetime
) -> None:
    ages = {"old": 40, "older": 70, "young": 20, "heard": 45, "only delivered": 50, "beyond a day": 1500}
    register(engine, [accepted(name, now - minutes * MINUTE) for name, minutes in ages.items()], now)
    traffic.store(status("heard", "sent", now), status("only delivered", "delivered", now), at=now)
    with engine.connect() as connection:
        (found,) = sends.unreported(connection, now)
        assert (found.phone_number_id, found.silent) == (NUMBER, 2)
        assert (found.first_at, found.last_at) == (now - 70 * MINUTE, now - 40 * MINUTE)
        assert sends.accepted_by_number(connection, now - 60 * MINUTE, now - 30 * MINUTE) == {
            NUMBER: {"shop": 3}
        }
        assert sends.count_accepted(connection, now - 60 * MINUTE, now - 30 * MINUTE) == 3
    follow_up(engine, now + 2 * MINUTE)
    with engine.connect() as connection:
        assert [each.silent for each in sends.unreported(connection, now)] == [2]
    traffic.store(status("old", "sent", now), status("older", "sent", now), at=now)
    with engine.connect() as connection:
        assert sends.unreported(connection, now) == []


def test_unreported_sends_are_counted_by_business_number(engine: Engine, now: datetime) -> None:
    at = now - 40 * MINUTE
    register(engine, [accepted("a", at), accepted("b", at, "2"), accepted("c", at, "2")], now)
    with engine.connect() as connection:
        found = sends.unreported(connection, now)
    assert {each.phone_number_id: each.silent for each in found} == {NUMBER: 1, "2": 2}


def test_a_repeated_report_fills_in_and_never_overwrites(engine: Engine, now: datetime) -> None:
    whole = SendReport(
        message_id="a",
        phone_number_id=NUMBER,
        contact="12025550117",
        template="offer",
        campaign="autumn",
        category="marketing",
        sent_at=now - MINUTE,
        error=None,
        endpoint="",
        request_json="",
    )
    assert register(engine, [accepted("a", now)], now) == ["stored"]
    assert register(engine, [whole], now) == ["duplicate"]
    assert register(engine, [accepted("a", now)], now) == ["duplicate"]
    with engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT template, campaign, category, sent_at FROM sends").one()
    assert tuple(row) == ("offer", "autumn", "marketing", now - MINUTE)


def test_a_send_reported_twice_in_one_call_has_the_values_of_both(engine: Engine, now: datetime) -> None:
    later, earlier = accepted("a", now), accepted("a", now - MINUTE)
    outcomes = register(engine, [later, earlier, replace(later, template="offer")], now)
    assert outcomes == ["stored", "duplicate", "duplicate"]
    with engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT template, sent_at FROM sends").one()
    assert tuple(row) == ("offer", now - MINUTE)


def test_error_objects_are_read_for_the_calls_that_are_named(engine: Engine, now: datetime) -> None:
    errors = {code: read_graph_error({"code": code, "message": f"no {code}"}) for code in (1, 2, 3)}
    register(engine, [replace(accepted("a", now), error=error) for error in errors.values()], now)
    with engine.connect() as connection:
        found = sends.errors_of(driver(connection), "a", [(NUMBER, 1), (NUMBER, 3)])
    assert {key: error["message"] for key, error in found.items()} == {
        (NUMBER, 1): "no 1",
        (NUMBER, 3): "no 3",
    }


def test_of_many_due_failed_calls_as_many_of_each_key_are_checked(engine: Engine, now: datetime) -> None:
    error = read_graph_error({"code": 131026, "message": "no"})
    with engine.begin() as connection:
        for key, calls, at in (("rival", 30, now - MINUTE), ("shop", 3, now)):
            reports = [replace(accepted(f"wamid.{key}.{n}", now), error=error) for n in range(calls)]
            sends.insert(connection, reports, at, now, reported_by=key)
        for limit, own in ((10, 3), (4, 2), (40, 3)):
            due = [key[0] for key, _ in sends.due_checks(connection, now, limit)]
            assert len(due) == min(limit, 33)
            assert len([each for each in due if each.startswith("wamid.shop")]) == own
