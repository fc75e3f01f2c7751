"""Failed calls that a sender's key makes up for messages of others are no delivery reports of them."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from tests.support.factories import status
from tests.support.incidents import sent
from tests.support.reports import failed_call
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.count_funnels import count_stages
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.sends.reports import register
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
START = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - DAY
RULES = [each for each in parse_rules(default_rules_text()) if each.kind == "undelivered"]
WITHHELD, EXPERIMENT = 131049, 130472


@pytest.mark.parametrize("codes", [(), (WITHHELD,), (WITHHELD, EXPERIMENT)])
def test_delivery_reports_that_stop_are_told_whatever_is_made_up_of_their_messages(
    engine: Engine, traffic: Traffic, codes: tuple[int, ...]
) -> None:
    for day in (1, 2, 3):
        before = START - day * DAY
        for what in ("sent", "delivered"):
            traffic.store(*(status(f"wamid.{day}.{each}", what, before) for each in range(60)), at=before)
    for minute in range(0, 50, 2):
        now = START + minute * MINUTE
        ids = [f"wamid.{minute}.{place}" for place in range(20)]
        traffic.store(*(status(each, "sent", now) for each in ids), at=now)
        calls = [failed_call(now, code, message_id=each) for code in codes for each in ids]
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            register(connection, calls, now, reported_by="rival")
        count_stages(engine, now)
        evaluate(engine, RULES, now, channels=["slack"])
    told = sent(engine)
    assert [each.reason for each in told][:1] == ["fired"]
    assert "Delivery reports are missing" in told[0].title
