"""Notifications are sent at least once, in order, at the channel's pace, in spite of faults and crashes."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import to_builtins
from sqlalchemy import Engine, text

from tests.channels.fake_slack import Answer, FakeSlack
from tests.channels.notifications import NUMBER, notification
from tests.support.clocks import Stopwatch
from tests.support.incidents import store_incident
from webhook_app.channels import Channel, Receipt, SendError
from webhook_app.channels.incident_text import compose
from webhook_app.channels.notification import AffectedPart, Evidence, Notification, Undelivered
from webhook_app.channels.slack import DIGEST_FROM, DIGEST_SIZE, SlackWebhook
from webhook_app.pipeline.incidents.notifications.expire import GIVE_UP_AFTER, OVERDUE_AFTER, expire
from webhook_app.pipeline.incidents.notifications.notify import (
    LEASE,
    LONGEST_WAIT_S,
    NotifySummary,
    backoff,
    notify,
)
from webhook_app.store.accounts import numbers
from webhook_app.store.accounts.numbers import ListedNumber
from webhook_app.store.incidents import outbox
from webhook_app.store.postgres.engine import driver
from webhook_app.store.receiving import health_signals

SECOND = timedelta(seconds=1)


class Longest(random.Random):
    """Every wait is as long as it may be."""

    def uniform(self, a: float, b: float) -> float:
        return b


class MemoryChannel:
    """A channel in memory: raises the given faults, then keeps what is sent."""

    def __init__(self, *faults: Exception, name: str = "log", pace_s: float = 0.0) -> None:
        self.name = name
        self.pace_s = pace_s
        self.accepted: list[Notification] = []
        self.earlier: list[Receipt | None] = []
        self.receipt: Receipt | None = None
        self.hands = Stopwatch()
        self.sent_after: list[float] = []
        self._faults = list(faults)

    def send(self, notification: Notification, earlier: Receipt | None = None) -> Receipt | None:
        self.sent_after.append(self.hands.seconds)
        self.earlier.append(earlier)
        if self._faults:
            raise self._faults.pop(0)
        self.accepted.append(notification)
        return self.receipt

    @property
    def incidents(self) -> list[int]:
        return [sent.incident_id for sent in self.accepted]


class DigestMemoryChannel(MemoryChannel):
    """A channel in memory with digests."""

    digest_from = 3
    digest_size = 4

    def __init__(self, *faults: Exception, **more: Any) -> None:
        super().__init__(**more)
        self.digests: list[list[int]] = []
        self.digest_receipt: Receipt | None = None
        self._digest_faults = list(faults)

    def send_digest(self, sent: Sequence[Notification]) -> Receipt | None:
        if self._digest_faults:
            raise self._digest_faults.pop(0)
        self.sent_after.append(self.hands.seconds)
        self.digests.append([one.incident_id for one in sent])
        return self.digest_receipt


class RecordReadingChannel(MemoryChannel):
    """Reads the recorded tries while it sends."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self.seen: list[list[str]] = []

    def send(self, notification: Notification, earlier: Receipt | None = None) -> Receipt | None:
        with self._engine.connect() as connection:
            rows = connection.execute(text("SELECT outcome FROM notification_tries ORDER BY id"))
            self.seen.append(list(rows.scalars()))
        return super().send(notification, earlier)


def add(engine: Engine, now: datetime, incident_id: int = 12, channel: str = "log", **more: Any) -> None:
    sent = notification(incident_id=incident_id, **more)
    with engine.begin() as connection:
        outbox.add(connection, incident_id, channel, sent.reason, to_builtins(sent), now)


def run(engine: Engine, channel: Channel, now: datetime, **more: Any) -> NotifySummary:
    """One run with a clock that goes on only by waiting, and every wait as long as it may be."""
    hands = channel.hands if isinstance(channel, MemoryChannel) else Stopwatch()
    hands.seconds = 0.0
    return notify(engine, channel, hands.clock(now), **({"jitter": Longest()} | more))


def rows(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        held = connection.execute(text("SELECT * FROM notifications ORDER BY id")).mappings()
        return [dict(row) for row in held]


def row(engine: Engine) -> dict[str, Any]:
    return rows(engine)[0]


def test_the_try_is_on_record_before_anything_is_sent(engine: Engine, now: datetime) -> None:
    add(engine, now)
    channel = RecordReadingChannel(engine)
    assert run(engine, channel, now) == NotifySummary(1, 0, 0)
    assert (channel.incidents, channel.seen) == ([12], [[""]])
    assert row(engine)["sent_at"] == now
    with engine.connect() as connection:
        [(outcome, ended_at)] = connection.execute(text("SELECT outcome, ended_at FROM notification_tries"))
    assert (outcome, ended_at) == ("sent", now)


def test_a_sent_notification_is_not_sent_again(engine: Engine, now: datetime) -> None:
    add(engine, now)
    channel = MemoryChannel()
    run(engine, channel, now)
    assert run(engine, channel, now + timedelta(days=2)) == NotifySummary(0, 0, 0)
    assert channel.incidents == [12]


def test_a_notification_has_its_outbox_id_at_every_try(engine: Engine, now: datetime) -> None:
    add(engine, now)
    channel = MemoryChannel()
    run(engine, channel, now)
    assert channel.accepted[0].id == row(engine)["id"]


def test_a_message_names_a_number_as_webhooks_or_the_graph_api_do_and_keeps_its_id(
    engine: Engine, now: datetime
) -> None:
    channel = MemoryChannel()
    with engine.begin() as connection:
        health_signals.insert_numbers(driver(connection), [(NUMBER, "+1 312-555-0199", "5550001")], now)
    add(engine, now)
    run(engine, channel, now)
    with engine.begin() as connection:
        named = {"display_phone_number": "+1 312-555-0199", "verified_name": "Acme", "read_at": now}
        numbers.save(connection, [ListedNumber(phone_number_id=NUMBER, waba_id="5550001", **named)])
    add(engine, now)
    run(engine, channel, now)
    first, second = channel.accepted
    assert compose(first).headline.count("business number +13125550199:")
    assert compose(second).headline.count("business number Acme +1 312-555-0199:")
    assert second.group["phone_number_id"] == second.numbers[0] == NUMBER


def test_a_crash_between_sending_and_marking_means_sent_again_after_the_lease(
    engine: Engine, now: datetime
) -> None:
    add(engine, now)
    with pytest.raises(KeyboardInterrupt):
        run(engine, MemoryChannel(KeyboardInterrupt()), now)
    channel = MemoryChannel()
    assert run(engine, channel, now + LEASE - SECOND) == NotifySummary(0, 0, 0)
    assert run(engine, channel, now + LEASE) == NotifySummary(1, 0, 0)
    assert channel.incidents == [12]


def test_a_run_sends_all_that_is_due_at_the_channels_pace_and_in_order(engine: Engine, now: datetime) -> None:
    for incident_id in (1, 2, 3):
        add(engine, now, incident_id)
    channel = MemoryChannel(pace_s=1.0)
    assert run(engine, channel, now).sent == 3
    assert channel.incidents == [1, 2, 3]
    assert channel.sent_after == [0.0, 1.0, 2.0]


def test_a_run_ends_in_time_and_when_it_has_to_stop(engine: Engine, now: datetime) -> None:
    for incident_id in range(20):
        add(engine, now, incident_id)
    assert run(engine, MemoryChannel(pace_s=5.0), now).sent == 7
    assert run(engine, MemoryChannel(pace_s=5.0), now + 35 * SECOND, go_on=lambda: False).sent == 1


def test_another_process_keeps_the_pace_after_a_crash_while_sending(engine: Engine, now: datetime) -> None:
    for incident_id in (1, 2):
        add(engine, now, incident_id)
    with pytest.raises(KeyboardInterrupt):
        run(engine, MemoryChannel(KeyboardInterrupt(), pace_s=2.0), now)
    successor = MemoryChannel(pace_s=2.0)
    assert run(engine, successor, now + SECOND) == NotifySummary(0, 0, 0)
    assert run(engine, successor, now + 2 * SECOND) == NotifySummary(1, 0, 0)


@pytest.mark.parametrize(
    "answer",
    [Answer(500, "rollup_error"), Answer(200, "not ok"), Answer(429, "rate_limited"), Answer(hang=True)],
    ids=lambda answer: "hang" if answer.hang else f"{answer.status} {answer.body}",
)
def test_slack_gets_it_again_after_an_answer_that_is_not_final(
    engine: Engine, slack: FakeSlack, slack_webhook: SlackWebhook, now: datetime, answer: Answer
) -> None:
    add(engine, now, channel="slack")
    slack.answers.append(answer)
    assert run(engine, slack_webhook, now) == NotifySummary(0, 1, 0)
    assert row(engine)["sent_at"] is None
    assert row(engine)["next_try_at"] == now + SECOND
    assert row(engine)["last_error"]
    assert run(engine, slack_webhook, now + SECOND) == NotifySummary(1, 0, 0)
    assert len(slack.posted) == 2
    assert slack.posted[0] == slack.posted[1]


def test_a_pause_that_slack_asks_for_holds_for_every_message_and_keeps_the_order(
    engine: Engine, slack: FakeSlack, slack_webhook: SlackWebhook, now: datetime
) -> None:
    for incident_id in (1, 2):
        add(engine, now, incident_id, "slack", rule=f"rule {incident_id}")
    slack.answers.append(Answer(429, "rate_limited", "30"))
    run(engine, slack_webhook, now)
    add(engine, now, 3, "slack", rule="rule 3")
    assert run(engine, slack_webhook, now + 29 * SECOND) == NotifySummary(0, 0, 0)
    assert run(engine, slack_webhook, now + 30 * SECOND) == NotifySummary(3, 0, 0)
    sent = [posted["blocks"][-1]["elements"][0]["text"] for posted in slack.posted]
    assert sent == [f"Incident {number}, rule rule {number}" for number in (1, 1, 2, 3)]


def test_a_failing_channel_is_paused_longer_each_time_for_all_its_messages(
    engine: Engine, now: datetime
) -> None:
    for incident_id in range(9):
        add(engine, now, incident_id)
    down = MemoryChannel(*[SendError("down", permanent=False)] * 4)
    spent = [now + seconds * SECOND for seconds in range(16)]
    told_at = [moment for moment in spent if run(engine, down, moment) != NotifySummary(0, 0, 0)]
    assert told_at == [now, now + SECOND, now + 3 * SECOND, now + 7 * SECOND, now + 15 * SECOND]
    assert down.incidents[0] == 0
    assert len(down.incidents) == 9


def test_one_message_that_is_never_accepted_delays_no_other(engine: Engine, now: datetime) -> None:
    class Picky(MemoryChannel):
        def send(self, notification: Notification, earlier: Receipt | None = None) -> Receipt | None:
            if notification.incident_id == 1:
                raise SendError("not this one", permanent=False)
            return super().send(notification, earlier)

    for incident_id in range(1, 5):
        add(engine, now, incident_id)
    channel = Picky()
    for seconds in range(33):
        run(engine, channel, now + seconds * SECOND)
    assert channel.incidents == [2, 3, 4]


def test_a_reason_with_characters_that_the_database_refuses_is_recorded(
    engine: Engine, now: datetime
) -> None:
    add(engine, now)
    answered = MemoryChannel(SendError("the server answered broken\0 text", permanent=False))
    assert run(engine, answered, now).retried == 1
    assert row(engine)["last_error"] == "the server answered broken text"


def test_a_permanent_refusal_is_recorded_and_the_next_message_is_sent(
    engine: Engine, slack: FakeSlack, slack_webhook: SlackWebhook, now: datetime
) -> None:
    add(engine, now, channel="slack")
    add(engine, now, channel="slack", reason="resolved", resolved_at=now)
    slack.answers.append(Answer(404, "no_service"))
    assert run(engine, slack_webhook, now) == NotifySummary(1, 0, 1)
    assert row(engine)["failed_at"] == now
    assert "no_service" in row(engine)["last_error"]
    assert run(engine, slack_webhook, now + timedelta(days=1)) == NotifySummary(0, 0, 0)


def test_a_message_that_breaks_its_channel_is_given_up_and_the_next_one_is_sent(
    engine: Engine, now: datetime
) -> None:
    add(engine, now, incident_id=1)
    add(engine, now, incident_id=2)
    channel = MemoryChannel(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"))
    assert run(engine, channel, now).failed == 1
    assert channel.incidents == [2]
    assert row(engine)["failed_at"] == now
    assert row(engine)["last_error"].startswith("UnicodeEncodeError")


def test_the_end_of_an_incident_is_not_sent_before_its_beginning(engine: Engine, now: datetime) -> None:
    add(engine, now)
    add(engine, now, reason="resolved", resolved_at=now)
    busy = MemoryChannel(SendError("busy", permanent=False))
    assert run(engine, busy, now) == NotifySummary(0, 1, 0)
    assert run(engine, busy, now) == NotifySummary(0, 0, 0)
    assert run(engine, busy, now + SECOND) == NotifySummary(2, 0, 0)
    assert [sent.reason for sent in busy.accepted] == ["fired", "resolved"]


def test_an_unsent_reminder_is_superseded_by_a_newer_notification(engine: Engine, now: datetime) -> None:
    for reason in ("fired", "repeated", "repeated", "resolved"):
        add(engine, now, reason=reason, resolved_at=now)
    channel = MemoryChannel()
    assert run(engine, channel, now) == NotifySummary(2, 0, 0)
    assert [sent.reason for sent in channel.accepted] == ["fired", "resolved"]
    assert [held["superseded_at"] for held in rows(engine)] == [None, now, now, None]
    with engine.connect() as connection:
        assert outbox.backlog(connection) == {"log": outbox.Backlog(0, 0, None)}


def test_a_reminder_that_is_being_sent_is_not_superseded(engine: Engine, now: datetime) -> None:
    add(engine, now, reason="repeated")
    with engine.begin() as connection:
        assert outbox.claim(connection, "log", now, now + LEASE)
    add(engine, now, reason="repeated")
    assert [held["superseded_at"] for held in rows(engine)] == [None, None]


def test_a_channel_gets_its_last_receipt_of_the_incident(engine: Engine, now: datetime) -> None:
    channel = MemoryChannel()
    for receipt in (Receipt("message 1"), None, Receipt("message 2", shared=True)):
        channel.receipt = receipt
        add(engine, now)
        run(engine, channel, now)
    add(engine, now)
    add(engine, now, incident_id=13)
    run(engine, channel, now)
    first = Receipt("message 1")
    assert channel.earlier == [None, first, first, Receipt("message 2", shared=True), None]


def test_many_notifications_are_sent_in_digests_that_list_each_in_order(
    engine: Engine, now: datetime
) -> None:
    for incident_id in range(10):
        add(engine, now, incident_id)
    channel = DigestMemoryChannel(pace_s=1.0)
    assert run(engine, channel, now).sent == 10
    assert channel.digests == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert channel.incidents == [8, 9]
    assert channel.sent_after == [0.0, 1.0, 2.0, 3.0]


def test_an_incident_with_its_own_message_is_updated_there_and_not_in_a_digest(
    engine: Engine, now: datetime
) -> None:
    channel = DigestMemoryChannel()
    channel.receipt, channel.digest_receipt = Receipt("its own"), Receipt("digest", shared=True)
    add(engine, now, 1)
    run(engine, channel, now)
    for incident_id in (1, 2, 3, 4):
        add(engine, now, incident_id, reason="resolved", resolved_at=now)
    run(engine, channel, now)
    assert (channel.digests, channel.incidents) == ([[2, 3, 4]], [1, 1])
    assert channel.earlier[1] == Receipt("its own")
    add(engine, now, 3)
    run(engine, channel, now)
    assert channel.earlier[2] == Receipt("digest", shared=True)


def test_a_notification_that_makes_a_digest_invalid_is_found_by_sending_each_alone(
    engine: Engine, now: datetime
) -> None:
    for incident_id in range(4):
        add(engine, now, incident_id)
    channel = DigestMemoryChannel(SendError("invalid_payload", permanent=True, of_message=True))
    assert run(engine, channel, now) == NotifySummary(4, 4, 0)
    assert (channel.digests, channel.incidents) == ([], [0, 1, 2, 3])


def test_a_digest_that_is_refused_permanently_is_given_up_whole(engine: Engine, now: datetime) -> None:
    for incident_id in range(4):
        add(engine, now, incident_id)
    channel = DigestMemoryChannel(SendError("404 no_service", permanent=True))
    assert run(engine, channel, now, fallbacks=["log", "email"]) == NotifySummary(0, 0, 4)
    assert [held["channel"] for held in rows(engine)] == ["log"] * 4 + ["email"] * 4


def test_a_digest_that_failed_is_sent_again_as_one(engine: Engine, now: datetime) -> None:
    for incident_id in range(4):
        add(engine, now, incident_id)
    channel = DigestMemoryChannel(SendError("busy", permanent=False, retry_after=5))
    assert run(engine, channel, now) == NotifySummary(0, 4, 0)
    assert run(engine, channel, now + 4 * SECOND) == NotifySummary(0, 0, 0)
    assert run(engine, channel, now + 5 * SECOND) == NotifySummary(4, 0, 0)
    assert channel.digests == [[0, 1, 2, 3]]


def test_three_hundred_incidents_at_once_are_all_sent_in_order_and_at_pace_through_a_failing_slack(
    engine: Engine, slack: FakeSlack, now: datetime
) -> None:
    names = [f"{500_000 + incident_id}" for incident_id in range(300)]
    for incident_id, name in enumerate(names):
        add(engine, now, incident_id, "slack", title=f"131026, business number {name},")
    trouble = [
        Answer(429, "rate_limited", "3"),
        Answer(500, "rollup_error"),
        Answer(200, "<html>gateway</html>"),
        Answer(200, '{"ok": false}'),
        Answer(drop=True),
    ]
    for at, answer in enumerate(trouble):
        slack.answers.extend([answer] + [Answer()] * (at % 2))
    hands = Stopwatch()
    slack.stopwatch = lambda: hands.seconds
    channel = SlackWebhook(slack.url)
    while any(held["sent_at"] is None for held in rows(engine)):
        moment = now + hands.seconds * SECOND
        notify(engine, channel, hands.clock(moment), jitter=Longest())
        hands.wait(1.0)
    taken = [json_text(posted) for posted, answer in slack.exchanged if answer.accepts]
    assert len(taken) == 300 / DIGEST_SIZE
    sent = [name for message in taken for name in names if f"business number {name}," in message]
    assert sent == names
    gaps = [later - earlier for earlier, later in zip(slack.times, slack.times[1:], strict=False)]
    assert min(gaps) >= 1.0
    assert slack.times[1] - slack.times[0] >= 3.0
    assert DIGEST_FROM < DIGEST_SIZE


def json_text(posted: dict[str, Any]) -> str:
    return str(posted["blocks"])


def test_a_permanently_refused_notification_is_rerouted_and_names_the_channel_that_failed(
    engine: Engine, now: datetime
) -> None:
    add(engine, now, channel="slack")
    gone = MemoryChannel(SendError("404 no_service", permanent=True), name="slack")
    run(engine, gone, now, fallbacks=["slack", "email", "log"])
    email = MemoryChannel(SendError("550 no such user", permanent=True), name="email")
    run(engine, email, now, fallbacks=["slack", "email", "log"])
    log = MemoryChannel()
    run(engine, log, now, fallbacks=["slack", "email", "log"])
    missed = [(one.channel, one.fault) for one in log.accepted[0].undelivered]
    assert missed == [("slack", "404 no_service"), ("email", "550 no such user")]
    assert [held["rerouted_at"] for held in rows(engine)] == [now, now, None]
    assert len(rows(engine)) == 3


def test_a_channel_that_has_the_notification_already_is_the_last_choice(
    engine: Engine, now: datetime
) -> None:
    for channel in ("slack", "pagerduty"):
        add(engine, now, channel=channel)
    gone = MemoryChannel(SendError("404 no_service", permanent=True), name="slack")
    run(engine, gone, now, fallbacks=["slack", "pagerduty", "log"])
    assert rows(engine)[2]["channel"] == "log"
    add(engine, now, 13, channel="pagerduty")
    add(engine, now, 13, channel="slack")
    gone = MemoryChannel(SendError("404 no_service", permanent=True), name="slack")
    run(engine, gone, now, fallbacks=["slack", "pagerduty"])
    assert rows(engine)[-1]["channel"] == "pagerduty"


def test_a_notification_that_no_channel_accepts_stays_on_record(engine: Engine, now: datetime) -> None:
    add(engine, now)
    gone = MemoryChannel(SendError("gone", permanent=True))
    assert run(engine, gone, now, fallbacks=["log"]) == NotifySummary(0, 0, 1)
    assert len(rows(engine)) == 1
    assert row(engine)["failed_at"] == now


def test_an_overdue_notification_is_rerouted_once_and_still_tried(engine: Engine, now: datetime) -> None:
    add(engine, now, channel="slack")
    down = MemoryChannel(*[SendError("down", permanent=False)] * 3, name="slack")
    run(engine, down, now, fallbacks=["slack", "log"])
    assert len(rows(engine)) == 1
    late = now + OVERDUE_AFTER
    expire(engine, late - SECOND, ["slack", "log"])
    assert [held["channel"] for held in rows(engine)] == ["slack"]
    for minutes in (0, 6):
        run(engine, down, late + timedelta(minutes=minutes), fallbacks=["slack", "log"])
        expire(engine, late + timedelta(minutes=minutes), ["slack", "log"])
    assert [held["channel"] for held in rows(engine)] == ["slack", "log"]
    assert run(engine, down, late + timedelta(minutes=30)).sent == 1
    log = MemoryChannel()
    assert run(engine, log, late).sent == 1
    assert log.accepted[0].undelivered == (Undelivered("slack", "down"),)


def test_notifications_of_a_channel_that_asks_for_hours_are_rerouted_together_after_ten_minutes(
    engine: Engine, now: datetime
) -> None:
    for incident_id in range(20):
        add(engine, now, incident_id + 1, channel="pagerduty")
    busy = MemoryChannel(SendError("429", permanent=False, retry_after=6 * 3600.0), name="pagerduty")
    assert run(engine, busy, now, fallbacks=["slack", "log"]) == NotifySummary(0, 1, 0)
    late = now + OVERDUE_AFTER + SECOND
    expire(engine, late, ["pagerduty", "slack", "log"])
    slack = MemoryChannel(name="slack")
    assert run(engine, slack, late).sent == 20
    assert {each.undelivered[0].fault for each in slack.accepted} == {"429", "not sent within 10 min"}
    expire(engine, late + timedelta(minutes=1), ["pagerduty", "slack", "log"])
    assert run(engine, slack, late + timedelta(minutes=1)).sent == 0


def test_a_channel_that_is_down_delays_no_other(engine: Engine, now: datetime) -> None:
    add(engine, now, channel="slack")
    add(engine, now, channel="log")
    down, log = MemoryChannel(SendError("down", permanent=False), name="slack"), MemoryChannel()
    assert run(engine, down, now) == NotifySummary(0, 1, 0)
    assert run(engine, log, now) == NotifySummary(1, 0, 0)


def test_a_channel_without_messages_and_messages_without_a_channel_are_skipped(
    engine: Engine, now: datetime
) -> None:
    add(engine, now, channel="slack")
    assert run(engine, MemoryChannel(), now) == NotifySummary(0, 0, 0)
    assert row(engine)["tries"] == 0


def test_notifications_of_a_channel_that_is_no_longer_set_up_are_rerouted(
    engine: Engine, now: datetime
) -> None:
    add(engine, now, channel="pagerduty")
    assert expire(engine, now, ["slack", "log"]) == 1
    assert expire(engine, now, ["slack", "log"]) == 0
    assert row(engine)["last_error"] == "it is no longer set up"
    slack = MemoryChannel(name="slack")
    assert run(engine, slack, now).sent == 1
    assert slack.accepted[0].undelivered[0].channel == "pagerduty"


def test_an_unreadable_payload_fails_permanently(engine: Engine, now: datetime) -> None:
    with engine.begin() as connection:
        outbox.add(connection, 12, "log", "fired", {"text": "of an older version"}, now)
    add(engine, now, 13)
    channel = MemoryChannel()
    assert run(engine, channel, now, fallbacks=["log", "slack"]) == NotifySummary(1, 0, 1)
    assert channel.incidents == [13]


def test_a_notification_that_failed_for_three_days_is_given_up(engine: Engine, now: datetime) -> None:
    add(engine, now)
    late = now + GIVE_UP_AFTER + SECOND
    assert expire(engine, late, ["log"]) == 1
    channel = MemoryChannel()
    assert run(engine, channel, late) == NotifySummary(0, 0, 0)
    assert (channel.accepted, row(engine)["failed_at"]) == ([], late)


def test_a_notification_given_up_for_its_age_is_rerouted_unless_it_already_was(
    engine: Engine, now: datetime
) -> None:
    add(engine, now, channel="slack")
    late = now + GIVE_UP_AFTER + SECOND
    assert expire(engine, late, ["slack", "log"]) == 1
    log = MemoryChannel()
    assert run(engine, log, late).sent == 1
    assert log.accepted[0].undelivered == (Undelivered("slack", "not delivered in 72 hours"),)
    add(engine, now, 13, channel="slack")
    down = MemoryChannel(SendError("down", permanent=False), name="slack")
    run(engine, down, now + OVERDUE_AFTER, fallbacks=["slack", "log"])
    expire(engine, now + OVERDUE_AFTER, ["slack", "log"])
    sent = [held["channel"] for held in rows(engine)].count("log")
    assert expire(engine, late, ["slack"]) == 2, "the news on slack, and that on the log, which is not set up"
    assert [held["channel"] for held in rows(engine)].count("log") == sent


def test_a_channel_that_got_a_rerouted_notification_also_gets_the_end(engine: Engine, now: datetime) -> None:
    add(engine, now, channel="slack", reason="fired")
    add(engine, now + SECOND, channel="slack", reason="resolved")
    slack = MemoryChannel(SendError("down", permanent=False), name="slack")
    late = now + SECOND + OVERDUE_AFTER
    run(engine, slack, late, fallbacks=["slack", "pagerduty", "log"])
    expire(engine, late, ["slack", "pagerduty", "log"])
    expire(engine, late + SECOND, ["slack", "pagerduty", "log"])
    pagerduty = MemoryChannel(name="pagerduty")
    run(engine, pagerduty, late + SECOND)
    assert [sent.reason for sent in pagerduty.accepted] == ["fired", "resolved"]
    run(engine, slack, now + 2 * OVERDUE_AFTER, fallbacks=["slack", "pagerduty", "log"])
    assert [sent.reason for sent in slack.accepted] == ["fired", "resolved"]
    assert len(rows(engine)) == 4, "each channel gets both once"


def test_the_duration_of_a_try_is_recorded(engine: Engine, now: datetime) -> None:
    add(engine, now)
    hands = Stopwatch()

    class Slow(MemoryChannel):
        def send(self, notification: Notification, earlier: Receipt | None = None) -> None:
            hands.wait(7.5)

    notify(engine, Slow(), hands.clock(now))
    assert row(engine)["sent_at"] == now + 7.5 * SECOND


@pytest.mark.parametrize(
    ("tries", "longest"), [(1, 1), (2, 2), (5, 16), (9, 256), (10, LONGEST_WAIT_S), (10_000, LONGEST_WAIT_S)]
)
def test_waits_double_up_to_five_minutes_and_are_spread_over_all_of_it(tries: int, longest: float) -> None:
    waits = [backoff(tries, random.Random(seed)) for seed in range(100)]
    assert all(0 <= wait <= longest for wait in waits)
    assert min(waits) < longest / 5
    assert max(waits) > longest * 4 / 5


class ResendingMemoryChannel(MemoryChannel):
    """A channel in memory that wants open incidents to be sent again."""

    resend_s = 60.0

    def __init__(self, *faults: Exception) -> None:
        super().__init__(name="alertmanager")
        self.receipt = Receipt("sent")
        self.again: list[list[int]] = []
        self.resent: list[Notification] = []
        self.receipts: list[Receipt | None] = []
        self._resend_faults = list(faults)

    def resend(self, notifications: Sequence[Notification], earlier: Sequence[Receipt | None]) -> None:
        if self._resend_faults:
            raise self._resend_faults.pop(0)
        self.again.append([each.incident_id for each in notifications])
        self.resent += notifications
        self.receipts += earlier


def fire(engine: Engine, now: datetime, rule: str) -> int:
    """An open incident with a notification for Alertmanager."""
    member = {
        "rule": rule,
        "group": {},
        "explanation": {"since": now.isoformat(), "reason": "Above the threshold."},
    }
    figures = {"attempts": 1000, "failures": 100, "rate": 0.1, "window_minutes": 15}
    made = store_incident(engine, now, member, **figures)
    add(engine, now, made, "alertmanager")
    return made


def test_open_incidents_are_sent_again_each_minute_and_ended_ones_are_not(
    engine: Engine, now: datetime
) -> None:
    first, second = fire(engine, now, "first"), fire(engine, now, "second")
    channel = ResendingMemoryChannel()
    run(engine, channel, now)
    assert channel.again == [[first, second]]
    with engine.begin() as connection:
        connection.execute(text("UPDATE incidents SET state = 'ended' WHERE id = :id"), {"id": first})
    run(engine, channel, now + 59 * SECOND)
    run(engine, channel, now + 60 * SECOND)
    run(engine, ResendingMemoryChannel(), now + 61 * SECOND)
    assert channel.again == [[first, second], [second]]


def test_an_incident_that_is_sent_again_has_its_current_figures_but_the_notified_severity(
    engine: Engine, now: datetime
) -> None:
    made = fire(engine, now, "first")
    run(engine, ResendingMemoryChannel(), now)
    update = text(
        "UPDATE incidents SET severity = 'critical', failures = 20, rate = 0.02, acknowledged_by = 'Ann',"
        " acknowledged_at = :now WHERE id = :id"
    )
    reason = text(
        'UPDATE alerts SET explanation = explanation || \'{"reason": "Still firing."}\' WHERE incident_id = :id'
    )
    with engine.begin() as connection:
        connection.execute(update, {"id": made, "now": now})
        connection.execute(reason, {"id": made})
    restarted = ResendingMemoryChannel()
    run(engine, restarted, now + 60 * SECOND)
    [again] = restarted.resent
    assert restarted.receipts == [Receipt("sent")]
    assert again.figures is not None
    assert (again.figures.failures, again.figures.rate) == (20, 0.02)
    assert (again.at, again.why, again.acknowledged_by) == (now + 60 * SECOND, "Still firing.", "Ann")
    assert (again.severity, again.since) == ("warning", notification().since)


def test_a_channel_that_refuses_a_resend_is_paused_and_gets_the_next_one(
    engine: Engine, now: datetime
) -> None:
    made = fire(engine, now, "first")
    channel = ResendingMemoryChannel(SendError("down", permanent=False, retry_after=90))
    run(engine, channel, now)
    run(engine, channel, now + 60 * SECOND)
    assert channel.again == []
    run(engine, channel, now + 90 * SECOND)
    assert channel.again == [[made]]


FORGING = "promo\n*What to do:* ring\r\n\x1b[2J\x85\u2028\u202epaid\u2066 +1 900"
PLAIN = "promo *What to do:* ring   [2J   paid  +1 900"


def test_a_template_s_name_begins_no_line_and_turns_no_text_round_in_any_message(
    engine: Engine, now: datetime
) -> None:
    held: dict[str, Any] = {
        "title": f"131026 Message undeliverable, template {FORGING}",
        "group": {"code": 131026, "template": FORGING},
        "templates": (FORGING,),
        "slice": AffectedPart(values={"campaign": (FORGING,)}, failures=1, share=0.5),
        "evidence": (Evidence("rate", f"template {FORGING}", FORGING),),
        "details": ((FORGING, FORGING),),
    }
    add(engine, now, **held)
    channel = MemoryChannel()
    run(engine, channel, now)
    sent = channel.accepted[0]
    assert sent.title == f"131026 Message undeliverable, template {PLAIN}"
    assert sent.group == {"code": 131026, "template": PLAIN}
    assert sent.templates == (PLAIN,)
    assert sent.slice == AffectedPart(values={"campaign": (PLAIN,)}, failures=1, share=0.5)
    assert sent.evidence == (Evidence("rate", f"template {PLAIN}", PLAIN),)
    assert sent.details == ((PLAIN, PLAIN),)
