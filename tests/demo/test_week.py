"""The week before the demo, on paper."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.demo.week import DAYS, week_before
from webhook_app.simulator.plan import Timed
from webhook_app.simulator.send_calls import SimulatedCall

MOMENTS = [datetime(2026, 11, 20, hour, 5, tzinfo=UTC) for hour in (0, 9, 15, 23)]


@pytest.mark.parametrize("now", MOMENTS)
def test_every_trouble_lies_in_the_week_and_is_over_before_the_next(now: datetime) -> None:
    week = week_before(now)
    assert week.ends == now
    assert week.start == now - timedelta(days=DAYS)
    begun = week.start
    for one in week.troubles:
        assert one.begins > begun
        begun = one.begins + one.lasts + one.settles
    assert begun < now
    shares = [phase.begins for phase in week.scenario.phases]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1
    assert all(week.start <= told.at < now for told in week.notices)


@pytest.mark.parametrize("now", MOMENTS)
def test_the_week_is_looked_at_closely_where_something_is_wrong_and_at_its_end(now: datetime) -> None:
    week = week_before(now)
    looks = list(week.looks())
    assert looks == sorted(set(looks))
    assert looks[-1] == now
    assert len(looks) < 250
    for one in week.troubles:
        assert sum(one.begins <= look <= one.begins + one.lasts for look in looks) >= one.lasts.seconds // 300
    assert sum(look > now - timedelta(minutes=15) for look in looks) >= 3


def test_what_was_told_comes_in_the_order_of_time_and_holds_every_kind_of_news() -> None:
    week = week_before(MOMENTS[1])
    told = list(week.told(1))
    moments = [one.at for one in told]
    assert moments == sorted(moments)
    fields = {one.change["field"] for one in told if isinstance(one, Timed)}
    assert fields == {
        "messages",
        "user_preferences",
        "message_template_status_update",
        "message_template_quality_update",
        "phone_number_quality_update",
    }
    assert any(isinstance(one, SimulatedCall) and one.code == 190 for one in told)
    assert 40_000 < len(told) < 120_000
