"""An evening instead of a week, replayed through the real pipeline."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from webhook_app.channels.slack import SlackWebhook
from webhook_app.demo.history import ACTOR, fill
from webhook_app.demo.week import PlannedIncident, Week
from webhook_app.simulator.messages import NUMBERS, SEASONAL_OFFER
from webhook_app.simulator.payloads import (
    TimedChange,
    number_quality_change,
    template_quality_change,
    unknown_status_change,
)
from webhook_app.simulator.scenarios import Phase, Scenario
from webhook_app.simulator.send_calls import TOKEN_EXPIRED
from webhook_app.simulator.slack import SlackReceiver
from webhook_app.store.incidents import alerts, findings, incidents, silences
from webhook_app.store.receiving import books

HOUR = timedelta(hours=1)
Evening = Callable[[], list[str]]


@pytest.fixture
def evening(engine: Engine, database_url: str, now: datetime) -> Evening:
    def fill_evening() -> list[str]:
        start = now - 3 * HOUR
        token = PlannedIncident("token", start + HOUR, HOUR / 3, Phase(1 / 3, refused_with=TOKEN_EXPIRED))
        phases = (Phase(0), token.phase, Phase(4 / 9))
        scenario = Scenario("evening", "", phases=phases, opt_outs_share=0.1)
        notices_at = (
            (start + HOUR / 2, number_quality_change(NUMBERS[0], "FLAGGED", "TIER_10K")),
            (start + HOUR / 2, template_quality_change(SEASONAL_OFFER, "GREEN", "YELLOW")),
            (start + HOUR / 2, unknown_status_change(NUMBERS[0], "queued_on_device", start)),
        )
        notices = tuple(TimedChange(at, NUMBERS[0].waba_id, change) for at, change in notices_at)
        week = Week(start, 3 * 3600.0, scenario, (token,), notices)
        shares: list[float] = []
        with SlackReceiver(show=lambda _: None) as slack:
            channel = SlackWebhook(slack.url)
            items = fill(database_url, {"slack": channel}, week, progress=shares.append)
        assert shares == sorted(shares)
        assert shares[-1] == 1
        with engine.connect() as connection:
            assert books.totals(connection).received == items > 500
        return slack.texts

    return fill_evening


def test_an_evening_fills_every_page(evening, engine, now):
    texts = evening()
    assert any("190" in message for message in texts)
    with engine.connect() as connection:
        found = alerts.list_alerts(connection, limit=100)
        fired = {alert.kind: alert for alert in found if alert.fired_at}
        assert {"attention", "health", "signature"} <= set(fired)
        assert fired["attention"].incident_id is not None
        incident = incidents.get(connection, fired["attention"].incident_id)
        assert incident is not None
        assert incident.acknowledged_by == ACTOR
        assert fired["attention"].fired_at is not None
        assert now - 2 * HOUR <= fired["attention"].fired_at <= now - HOUR
        assert [silence.author for silence in silences.list_page(connection, 10, None, now)] == [ACTOR]

        assert [finding.kind for finding in findings.open_findings(connection)] == ["template_quality"]

        def count(table: str) -> int:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())

        assert count("quarantine") == 1
        assert count("suppressions") > 0
        assert count("inbound_messages") > 0
        assert count("health_changes") > 0
        unsent = "SELECT count(*) FROM notifications WHERE sent_at IS NULL"
        assert connection.execute(text(unsent)).scalar_one() == 0
        latest = connection.execute(text("SELECT max(received_at) FROM status_events")).scalar_one()
        assert latest <= now
