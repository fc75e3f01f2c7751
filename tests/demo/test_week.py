"""The plan of the week before the demo."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.demo.week import DAYS, week_before
from webhook_app.simulator.payloads import TimedChange
from webhook_app.simulator.send_calls import SimulatedCall

TIMES = [datetime(2026, 11, 20, hour, 5, tzinfo=UTC) for hour in (0, 9, 15, 23)]


@pytest.mark.parametrize("now", TIMES)
def test_every_incident_is_in_the_week_and_over_before_the_next(now):
    week = week_before(now)
    assert week.end == now
    assert week.start == now - timedelta(days=DAYS)
    recovered_at = week.start
    for incident in week.incidents:
        assert incident.starts_at > recovered_at
        recovered_at = incident.recovered_at
    assert recovered_at < now
    shares = [phase.starts_at for phase in week.scenario.phases]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1
    assert all(week.start <= notice.at < now for notice in week.notices)


@pytest.mark.parametrize("now", TIMES)
def test_evaluations_are_frequent_during_incidents_and_at_the_end(now):
    week = week_before(now)
    times = list(week.evaluation_times())
    assert times == sorted(set(times))
    assert times[-1] == now
    assert len(times) < 250
    for incident in week.incidents:
        during = [at for at in times if incident.starts_at <= at <= incident.ends_at]
        assert len(during) >= incident.duration.seconds // 300
    assert sum(at > now - timedelta(minutes=15) for at in times) >= 3


def test_events_are_in_order_of_time_and_of_every_kind():
    week = week_before(TIMES[1])
    events = list(week.events(1))
    times = [event.at for event in events]
    assert times == sorted(times)
    fields = {event.change["field"] for event in events if isinstance(event, TimedChange)}
    assert fields == {
        "messages",
        "user_preferences",
        "message_template_status_update",
        "message_template_quality_update",
        "phone_number_quality_update",
    }
    assert any(isinstance(event, SimulatedCall) and event.code == 190 for event in events)
    assert 40_000 < len(events) < 120_000
