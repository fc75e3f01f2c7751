"""Told at least once, in order, at the channel's pace, whatever the channel answers and whoever crashes."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from msgspec import to_builtins
from sqlalchemy import Engine, text

from tests.channels.fake_slack import Answer, FakeSlack, fake_slack
from tests.channels.notifications import notification
from webhook_app.channels import Channel, SendError
from webhook_app.channels.notification import Notification
from webhook_app.channels.slack import SlackWebhook
from webhook_app.pipeline.notify import GIVE_UP_AFTER, LEASE, LONGEST_WAIT_S, Summary, backoff, notify
from webhook_app.store import notifications

SECOND = timedelta(seconds=1)


class Told:
    """A channel in memory: keeps what it took, after raising the faults it was given."""

    def __init__(self, engine: Engine | None = None, *faults: Exception, name: str = "log") -> None:
        self.name = name
        self.took: list[int] = []
        self.tries_seen: list[list[str]] = []
        self._engine = engine
        self._faults = list(faults)

    def send(self, notification: Notification) -> None:
        if self._engine:
            with self._engine.connect() as connection:
                rows = connection.execute(
                    text("SELECT outcome FROM notification_tries ORDER BY id")
                ).scalars()
                self.tries_seen.append(list(rows))
        if self._faults:
            raise self._faults.pop(0)
        self.took.append(notification.alert_id)


def add(engine: Engine, now: datetime, alert_id: int = 12, channel: str = "log", **more: Any) -> None:
    told = notification(alert_id=alert_id, **more)
    with engine.begin() as connection:
        notifications.add(connection, alert_id, channel, told.reason, to_builtins(told), now)


def run(engine: Engine, channel: Channel, now: datetime) -> Summary:
    """One run with a clock that stands still and the same jitter every time."""
    return notify(engine, {channel.name: channel}, now, jitter=random.Random(1), stopwatch=lambda: 0.0)


def row(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        return dict(
            connection.execute(text("SELECT * FROM notifications ORDER BY id LIMIT 1")).mappings().one()
        )


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with fake_slack() as server:
        yield server


@pytest.fixture
def channel(slack: FakeSlack) -> Iterator[SlackWebhook]:
    made = SlackWebhook(slack.url, httpx.Timeout(0.3))
    yield made
    made.close()


def test_the_try_is_on_record_before_anything_is_sent(engine: Engine, now: datetime) -> None:
    add(engine, now)
    channel = Told(engine)
    assert run(engine, channel, now) == Summary(1, 0, 0)
    assert (channel.took, channel.tries_seen) == ([12], [[""]])
    assert row(engine)["sent_at"] == now
    with engine.connect() as connection:
        [(outcome, ended_at)] = connection.execute(
            text("SELECT outcome, ended_at FROM notification_tries")
        ).all()
    assert (outcome, ended_at) == ("sent", now)


def test_what_was_sent_is_not_sent_again(engine: Engine, now: datetime) -> None:
    add(engine, now)
    channel = Told()
    run(engine, channel, now)
    assert run(engine, channel, now + timedelta(days=2)) == Summary(0, 0, 0)
    assert channel.took == [12]


def test_a_crash_between_sending_and_marking_means_sent_again_after_the_lease(
    engine: Engine, now: datetime
) -> None:
    add(engine, now)
    with pytest.raises(KeyboardInterrupt):
        run(engine, Told(None, KeyboardInterrupt()), now)
    channel = Told()
    assert run(engine, channel, now + LEASE - SECOND) == Summary(0, 0, 0)
    assert run(engine, channel, now + LEASE) == Summary(1, 0, 0)
    assert channel.took == [12]


def test_a_run_sends_one_message_so_that_its_interval_is_the_pace(engine: Engine, now: datetime) -> None:
    for alert_id in (1, 2, 3):
        add(engine, now, alert_id)
    channel = Told()
    for seconds in range(3):
        run(engine, channel, now + seconds * SECOND)
        assert len(channel.took) == seconds + 1


@pytest.mark.parametrize(
    "answer",
    [Answer(500, "rollup_error"), Answer(200, "not ok"), Answer(429, "rate_limited"), Answer(hang=True)],
    ids=lambda answer: "hang" if answer.hang else f"{answer.status} {answer.body}",
)
def test_slack_gets_it_again_after_an_answer_that_is_not_final(
    engine: Engine, slack: FakeSlack, channel: SlackWebhook, now: datetime, answer: Answer
) -> None:
    add(engine, now, channel="slack")
    slack.answers.append(answer)
    assert run(engine, channel, now) == Summary(0, 1, 0)
    assert row(engine)["sent_at"] is None
    assert now + SECOND / 2 <= row(engine)["next_try_at"] <= now + SECOND
    assert row(engine)["last_error"]
    assert run(engine, channel, now + SECOND) == Summary(1, 0, 0)
    assert len(slack.posted) == 2
    assert slack.posted[0] == slack.posted[1]


def test_a_pause_that_slack_asks_for_holds_for_every_message(
    engine: Engine, slack: FakeSlack, channel: SlackWebhook, now: datetime
) -> None:
    add(engine, now, 1, "slack")
    add(engine, now, 2, "slack")
    slack.answers.append(Answer(429, "rate_limited", "30"))
    run(engine, channel, now)
    assert run(engine, channel, now + 29 * SECOND) == Summary(0, 0, 0)
    assert run(engine, channel, now + 30 * SECOND) == Summary(1, 0, 0)
    assert run(engine, channel, now + 31 * SECOND) == Summary(1, 0, 0)
    assert len(slack.posted) == 3


def test_a_final_refusal_is_recorded_and_the_next_message_goes_on(
    engine: Engine, slack: FakeSlack, channel: SlackWebhook, now: datetime
) -> None:
    add(engine, now, channel="slack")
    add(engine, now, channel="slack", reason="resolved", resolved_at=now)
    slack.answers.append(Answer(404, "no_service"))
    assert run(engine, channel, now) == Summary(0, 0, 1)
    assert row(engine)["failed_at"] == now
    assert "no_service" in row(engine)["last_error"]
    assert run(engine, channel, now) == Summary(1, 0, 0)
    assert run(engine, channel, now + timedelta(days=1)) == Summary(0, 0, 0)


def test_the_end_of_an_alert_is_not_told_before_its_beginning(engine: Engine, now: datetime) -> None:
    add(engine, now)
    add(engine, now, reason="resolved", resolved_at=now)
    busy = Told(None, SendError("busy", permanent=False))
    assert run(engine, busy, now) == Summary(0, 1, 0)
    assert run(engine, busy, now) == Summary(0, 0, 0)
    assert run(engine, busy, now + SECOND) == Summary(1, 0, 0)
    assert row(engine)["sent_at"] is not None


def test_a_channel_that_is_down_holds_up_no_other(engine: Engine, now: datetime) -> None:
    add(engine, now, channel="slack")
    add(engine, now, channel="log")
    down = Told(None, *[SendError("down", permanent=False)] * 9, name="slack")
    log = Told()
    assert notify(engine, {"slack": down, "log": log}, now) == Summary(1, 1, 0)
    assert log.took == [12]


def test_a_channel_without_messages_and_messages_without_a_channel_are_left_alone(
    engine: Engine, now: datetime
) -> None:
    add(engine, now, channel="slack")
    assert run(engine, Told(), now) == Summary(0, 0, 0)
    assert row(engine)["tries"] == 0


def test_a_payload_that_nobody_can_read_any_more_is_final(engine: Engine, now: datetime) -> None:
    with engine.begin() as connection:
        notifications.add(connection, 12, "log", "fired", {"text": "of an older version"}, now)
    assert run(engine, Told(), now) == Summary(0, 0, 1)


def test_news_nobody_could_be_told_for_three_days_is_given_up(engine: Engine, now: datetime) -> None:
    add(engine, now)
    channel = Told()
    assert run(engine, channel, now + GIVE_UP_AFTER + SECOND) == Summary(0, 0, 0)
    assert channel.took == []
    assert row(engine)["failed_at"] == now + GIVE_UP_AFTER + SECOND


def test_how_long_sending_took_is_part_of_the_record(engine: Engine, now: datetime) -> None:
    add(engine, now)
    ticks = iter([100.0, 107.5])
    notify(engine, {"log": Told()}, now, stopwatch=lambda: next(ticks))
    assert row(engine)["sent_at"] == now + 7.5 * SECOND


@pytest.mark.parametrize(
    ("tries", "longest"), [(1, 1), (2, 2), (5, 16), (9, 256), (10, LONGEST_WAIT_S), (10_000, LONGEST_WAIT_S)]
)
def test_waits_double_up_to_five_minutes_and_are_spread(tries: int, longest: float) -> None:
    waits = [backoff(tries, random.Random(seed)) for seed in range(50)]
    assert all(longest / 2 <= wait <= longest for wait in waits)
    assert max(waits) - min(waits) > longest / 4
