"""A backtest reports the findings that the job of the scheduler would have found."""

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Engine

from tests.support.factories import NUMBER
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.findings.find import find
from webhook_app.pipeline.operations.backtest import as_json, backtest
from webhook_app.pipeline.operations.backtest_text import as_text
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import findings

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNREACHABLE = 131026
LABELS = '{"template": "order"}'


def test_it_reports_what_the_job_would_have_found(engine: Engine, traffic: Traffic, now: datetime) -> None:
    noon = now.replace(hour=12, minute=0, second=0) - DAY
    for back in range(8, 0, -1):
        traffic.sent(92, noon - back * DAY, biz_opaque_callback_data=LABELS)
        traffic.failed(8, noon - back * DAY, UNREACHABLE, biz_opaque_callback_data=LABELS)
    while sum_hours(engine, noon) > 3:
        pass
    rules = parse_rules(default_rules_text())
    report = backtest(engine, rules, noon - 2 * DAY, noon, Thresholds(), step=2 * HOUR)
    [found] = msgspec.json.decode(msgspec.json.encode(as_json(report)))["findings"]
    assert found == {
        "kind": "chronic",
        "title": f"131026 Message Undeliverable: fails every day, business number {NUMBER}",
        "codes": [UNREACHABLE],
        "slice": {"phone_number_id": [NUMBER]},
        "since": found["since"],
        "state": "open",
    }
    assert found["title"] in as_text(report)
    find(engine, rules, noon)
    with engine.connect() as connection:
        [live] = findings.open_findings(connection)
    assert (live.title, live.slice, live.since) == (
        found["title"],
        found["slice"],
        datetime.fromisoformat(found["since"]),
    )
