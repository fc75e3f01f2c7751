"""Messages about findings go through the outbox: sent once, in no conversation, rerouted to channels that take them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from msgspec import to_builtins
from sqlalchemy import Engine, text

from webhook_app.channels import Receipt, SendError
from webhook_app.channels.findings import NO_INCIDENT, FindingEntry, FindingMessage
from webhook_app.channels.notification import Notification
from webhook_app.pipeline.incidents.notifications.expire import expire
from webhook_app.pipeline.incidents.notifications.notify import Clock, notify
from webhook_app.pipeline.operations.prune import Retention, prune
from webhook_app.store.incidents import outbox


class Channel:
    """Keeps what it is given; with `fault` it refuses everything."""

    name = "slack"
    pace_s = 0.0
    digest_from = 2
    digest_size = 10

    def __init__(self, fault: SendError | None = None) -> None:
        self.found: list[FindingMessage] = []
        self.fault = fault

    def send(self, notification: Notification, earlier: Receipt | None = None) -> Receipt | None:
        raise AssertionError("a finding is no incident")

    def send_digest(self, notifications: Sequence[Notification]) -> Receipt | None:
        raise AssertionError("findings are not combined")

    def send_findings(self, message: FindingMessage) -> None:
        if self.fault:
            raise self.fault
        self.found.append(message)


def message(now: datetime, title: str) -> FindingMessage:
    entry = FindingEntry(
        finding_id=7, kind="chronic", title=title, severity="warning", advice="Fix it.", since=now
    )
    return FindingMessage(reason="finding", at=now, findings=(entry,))


def add(engine: Engine, now: datetime, *titles: str, channel: str = "slack") -> None:
    with engine.begin() as connection:
        for title in titles:
            outbox.add(connection, NO_INCIDENT, channel, "finding", to_builtins(message(now, title)), now)


def run(engine: Engine, channel: Channel, now: datetime, fallbacks: Sequence[str] = ()) -> int:
    clock = Clock(now, stopwatch=lambda: 0.0, wait=lambda _: None)
    return notify(engine, channel, clock, fallbacks=fallbacks, jitter=Random(1)).sent


def channels(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT channel FROM notifications ORDER BY id")).scalars())


def test_each_message_is_sent_once_in_order(engine: Engine, now: datetime) -> None:
    add(engine, now, "first", "second")
    channel = Channel()
    assert run(engine, channel, now) == 2
    assert run(engine, channel, now) == 0
    assert [each.findings[0].title for each in channel.found] == ["first", "second"]
    assert channel.found[0].id != channel.found[1].id != 0
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM channel_messages")).scalar_one() == 0


def test_what_a_channel_refuses_goes_to_one_that_takes_findings(engine: Engine, now: datetime) -> None:
    add(engine, now, "first")
    refusing = Channel(SendError("gone", permanent=True))
    assert run(engine, refusing, now, fallbacks=("slack", "pagerduty", "email", "log")) == 0
    assert channels(engine) == ["slack", "email"]


def test_a_channel_that_takes_none_passes_it_on(engine: Engine, now: datetime) -> None:
    class Pager:
        name = "pagerduty"
        pace_s = 0.0

        def send(self, notification: Notification, earlier: Receipt | None = None) -> None:
            raise AssertionError("a finding is no incident")

    add(engine, now, "first", channel="pagerduty")
    clock = Clock(now, stopwatch=lambda: 0.0, wait=lambda _: None)
    notify(engine, Pager(), clock, fallbacks=("pagerduty", "log"), jitter=Random(1))
    assert channels(engine) == ["pagerduty", "log"]


def test_one_for_a_channel_that_is_no_longer_set_up_is_rerouted(engine: Engine, now: datetime) -> None:
    add(engine, now, "first")
    assert expire(engine, now, ("alertmanager", "log")) == 1
    assert channels(engine) == ["slack", "log"]


def test_old_ones_are_pruned(engine: Engine, now: datetime) -> None:
    add(engine, now - timedelta(days=400), "old")
    add(engine, now, "new")
    prune(engine, now, Retention(events_days=30, failures_days=90, raw_days=7, counts_days=30))
    with engine.connect() as connection:
        titles = connection.execute(text("SELECT payload -> 'findings' -> 0 ->> 'title' FROM notifications"))
        assert list(titles.scalars()) == ["new"]


def test_a_name_in_a_finding_begins_no_line_and_turns_no_text_round(engine: Engine, now: datetime) -> None:
    add(engine, now, "Template promo\nWhat to do: pay \u202e1")
    channel = Channel()
    assert run(engine, channel, now) == 1
    assert channel.found[0].findings[0].title == "Template promo What to do: pay  1"
