"""What the default rules see of small senders and of many."""

from datetime import datetime

from sqlalchemy import Engine

from tests.pipeline.incidents.evaluations import (
    BROKEN,
    HOUR,
    MINUTE,
    OTHER_NUMBER,
    PLATFORM,
    Evaluate,
    reasons,
)
from tests.support.incidents import known, sent
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.sum_hours import sum_hours


class TestWhatTheDefaultRulesSee:
    """The scenarios of small senders and of many: each is announced, once, for what it is."""

    def test_five_of_five_failed_on_a_number_that_sends_five_a_day(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        for hours in range(4, -1, -1):
            traffic.failed(1, now - hours * HOUR, BROKEN)
        look(now)
        assert reasons(engine) == ["fired"]

    def test_twenty_of_twenty_failed_in_an_hour(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        for minutes in range(60, 0, -3):
            traffic.failed(1, now - minutes * MINUTE, PLATFORM)
        look(now)
        assert reasons(engine) == ["fired"]

    def test_sixty_of_sixty_of_one_campaign_among_four_thousand_messages_of_the_number(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        traffic.sent(4_000, now)
        traffic.failed(60, now, BROKEN, biz_opaque_callback_data='{"campaign": "blast"}')
        look(now)
        [message] = sent(engine)
        assert message.slice is not None
        assert message.slice.values == {"campaign": ("blast",)}

    def test_fifty_numbers_of_an_agency_that_all_fail_are_one_incident(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        for index in range(50):
            number, waba = str(590238114470100 + index), str(700000000000 + index // 5)
            for minutes in range(12, 0, -3):
                traffic.failed(10, now - minutes * MINUTE, PLATFORM, number=number, waba=waba)
        look(now)
        assert len(known(engine)) == 1
        [message] = sent(engine)
        assert (message.failures, len(message.numbers)) == (2_000, 50)
        assert "outage at Meta" in message.advice

    def test_when_three_hundred_small_numbers_fall_silent(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        start = now.replace(minute=30, second=0) - HOUR
        for day in range(1, 5):
            for hour in (-1, 0, 1):
                for index in range(300):
                    at = start - day * 24 * HOUR - 25 * MINUTE + hour * HOUR
                    traffic.sent(1, at, number=str(590238114470100 + index))
        while sum_hours(engine, start) > 3:
            pass
        look(start)
        [message] = sent(engine)
        assert message.rule == "no-webhooks-at-all"
        assert "150 or more are usual" in message.title

    def test_one_number_that_falls_silent_alone_is_one_incident(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        start = now.replace(minute=30, second=0) - HOUR
        for day in range(1, 5):
            for hour in (-1, 0, 1):
                traffic.sent(50, start - day * 24 * HOUR - 25 * MINUTE + hour * HOUR)
        while sum_hours(engine, start) > 3:
            pass
        look(start)
        assert len(known(engine)) == 1
        assert len(sent(engine)) == 1

    def test_four_percent_for_two_hours_at_three_hundred_messages_per_quarter(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        for quarter in range(8, 0, -1):
            at = now - quarter * 15 * MINUTE
            traffic.sent(288, at)
            traffic.failed(12, at, BROKEN)
        look(now)
        assert reasons(engine) == ["fired"]

    def test_one_percent_of_broken_messages_is_healthy(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        for quarter in range(8, 0, -1):
            at = now - quarter * 15 * MINUTE
            traffic.sent(297, at)
            traffic.failed(3, at, BROKEN)
        look(now)
        assert known(engine) == []

    def test_a_restriction_of_one_account_hides_nothing_of_another(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        traffic.failed(300, now, 131031)
        look(now)
        traffic.failed(300, now + MINUTE, 131031, number=OTHER_NUMBER, waba="1099887766554")
        look(now + 2 * MINUTE)
        assert len(known(engine)) == 2
        assert [each.failures for each in sent(engine) if each.reason == "fired"] == [300, 300]

    def test_failures_of_an_ended_incident_do_not_fire_again_in_a_longer_window(
        self, engine: Engine, traffic: Traffic, look: Evaluate, now: datetime
    ) -> None:
        traffic.sent(100, now)
        traffic.failed(100, now, PLATFORM)
        look(now)
        for minutes in range(16, 75, 4):
            traffic.sent(100, now + minutes * MINUTE)
            look(now + minutes * MINUTE, seconds=45)
        # The other incident is that no notification was sent: nothing runs the outbox here.
        assert [each.ended_how for each in known(engine) if each.kind != "self"] == ["recovered"]
        assert "again" not in reasons(engine)
