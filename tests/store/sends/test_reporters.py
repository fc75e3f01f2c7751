"""Which API keys reported failed calls, by code and business number."""

from datetime import datetime, timedelta

from sqlalchemy import Engine

from tests.support.reports import report_accepted, report_failed_calls
from webhook_app.store.sends.reporters import calls_by_key

MINUTE = timedelta(minutes=1)


def test_failed_calls_are_counted_by_key_code_and_number_and_among_others(
    engine: Engine, now: datetime
) -> None:
    report_failed_calls(engine, 3, now, 190, number="N", key="shop")
    report_failed_calls(engine, 2, now, 190, number="N", key="agency")
    report_failed_calls(engine, 4, now, 131042, number="O", key="agency")
    report_failed_calls(engine, 5, now - 90 * MINUTE, 190, number="N", key="early")
    report_accepted(engine, "N", now)
    with engine.connect() as connection:
        found = calls_by_key(connection, now - 60 * MINUTE, now + MINUTE)
    assert found[190, "N"] == {"shop": 3, "agency": 2}
    assert found[131042, "O"] == {"agency": 4}
    assert found[-2, "N"] == found[190, "(other)"] == {"shop": 3, "agency": 2}
    assert found[-2, "(other)"] == {"shop": 3, "agency": 6}
