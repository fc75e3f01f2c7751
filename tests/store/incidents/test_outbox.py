"""Notifications are claimed once, in order, and become due again if the claiming process dies."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from webhook_app.store.incidents import outbox, waiting_notifications
from webhook_app.store.incidents.outbox import Claim

LEASE = timedelta(seconds=60)


def take(connection: Connection, now: datetime, channel: str = "slack") -> Claim | None:
    return outbox.claim(connection, channel, now, now + LEASE)


def taken(connection: Connection, now: datetime, channel: str = "slack") -> Claim:
    claimed = take(connection, now, channel)
    assert claimed is not None
    return claimed


def tries(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute(text("SELECT outcome, error FROM notification_tries ORDER BY id"))
    return [(row.outcome, row.error) for row in rows]


def test_a_claim_returns_the_payload_and_records_the_try(connection, now):
    outbox.add(connection, 7, "slack", "fired", {"text": "é"}, now)
    claimed = taken(connection, now)
    assert (claimed.incident_id, claimed.channel, claimed.reason) == (7, "slack", "fired")
    assert (claimed.payload, claimed.tries) == ({"text": "é"}, 1)
    assert tries(connection) == [("", "")]


def test_a_claimed_notification_is_not_claimed_again_before_its_lease_ends(connection, now):
    outbox.add(connection, 7, "slack", "fired", {}, now)
    first = taken(connection, now)
    assert take(connection, now + LEASE - timedelta(seconds=1)) is None
    again = taken(connection, now + LEASE)
    assert (again.id, again.tries) == (first.id, 2)


def test_a_later_notification_of_an_incident_waits_for_the_earlier_one(connection, now):
    for reason in ("fired", "escalated", "resolved"):
        outbox.add(connection, 7, "slack", reason, {}, now)
    first = taken(connection, now)
    assert take(connection, now) is None
    outbox.mark_retry(connection, first, now, now + timedelta(hours=1), "busy")
    assert take(connection, now + timedelta(minutes=1)) is None
    first = taken(connection, now + timedelta(hours=1))
    outbox.mark_failed(connection, first, now, "gone")
    second = taken(connection, now)
    outbox.mark_sent(connection, second, now)
    third = taken(connection, now)
    assert [c.reason for c in (first, second, third)] == ["fired", "escalated", "resolved"]


def test_other_incidents_and_other_channels_do_not_wait(connection, now):
    outbox.add(connection, 7, "slack", "fired", {}, now)
    outbox.add(connection, 8, "slack", "fired", {}, now)
    outbox.add(connection, 7, "log", "fired", {}, now)
    assert taken(connection, now).incident_id == 7
    assert taken(connection, now).incident_id == 8
    assert taken(connection, now, "log").incident_id == 7


def test_concurrent_claims_never_get_the_same_notification(engine, now):
    with engine.begin() as connection:
        for incident_id in (7, 8):
            outbox.add(connection, incident_id, "slack", "fired", {}, now)
    with engine.begin() as one, engine.begin() as other:
        assert {taken(one, now).incident_id, taken(other, now).incident_id} == {7, 8}
        assert take(other, now) is None


def test_a_retry_is_due_at_its_time_and_a_sent_notification_never(connection, now):
    outbox.add(connection, 7, "slack", "fired", {}, now)
    later = now + timedelta(seconds=30)
    outbox.mark_retry(connection, taken(connection, now), now, later, "busy")
    assert take(connection, later - timedelta(seconds=1)) is None
    outbox.mark_sent(connection, taken(connection, later), later)
    assert take(connection, now + timedelta(days=1)) is None
    assert tries(connection) == [("retry", "busy"), ("sent", "")]


def test_an_expired_claim_cannot_overwrite_the_next_claim(connection, now):
    outbox.add(connection, 7, "slack", "fired", {}, now)
    late, second = taken(connection, now), taken(connection, now + LEASE)
    outbox.mark_retry(connection, late, now, now, "timeout")
    assert take(connection, now + LEASE) is None, "the second one's lease must still hold"
    outbox.mark_sent(connection, second, now)
    outbox.mark_failed(connection, late, now, "gone")
    backlog = outbox.backlog(connection)
    assert backlog == {}


def test_a_success_counts_even_after_the_lease_ran_out(connection, now):
    outbox.add(connection, 7, "slack", "fired", {}, now)
    late = taken(connection, now)
    taken(connection, now + LEASE)
    outbox.mark_sent(connection, late, now + LEASE)
    assert take(connection, now + 3 * LEASE) is None


def test_old_notifications_fail_except_one_that_is_being_sent(connection, now):
    day = timedelta(days=1)
    for incident_id in (9, 8, 7):
        outbox.add(connection, incident_id, "slack", "fired", {}, now - incident_id * day)
    assert taken(connection, now).incident_id == 9
    [old] = waiting_notifications.outdated(connection, now - 7.5 * day, now, 10)
    assert old.incident_id == 8
    assert waiting_notifications.fail(connection, old.id, now, "too late")
    assert not waiting_notifications.fail(connection, old.id, now, "too late"), "it has ended"
    assert taken(connection, now).incident_id == 7


def test_the_backlog_counts_waiting_and_failed_notifications_by_channel(connection, now):
    minute = timedelta(minutes=1)
    for incident_id, channel in ((9, "slack"), (8, "slack"), (7, "slack"), (7, "log")):
        outbox.add(connection, incident_id, channel, "fired", {}, now - incident_id * minute)
    outbox.mark_failed(connection, taken(connection, now), now, "gone")
    outbox.mark_sent(connection, taken(connection, now, "log"), now)
    [(channel, backlog)] = outbox.backlog(connection).items()
    assert (channel, backlog.waiting, backlog.failed) == ("slack", 2, 1)
    assert backlog.oldest_at == now - 8 * minute


def test_a_superseded_reminder_is_not_a_failure_of_the_backlog(connection, now):
    for reason in ("fired", "repeated", "resolved"):
        outbox.add(connection, 7, "slack", reason, {}, now)
    outbox.mark_failed(connection, taken(connection, now), now, "gone")
    assert outbox.backlog(connection)["slack"].failed == 1
    assert outbox.backlog(connection, failed_since=now)["slack"].failed == 1
    assert outbox.backlog(connection, failed_since=now + timedelta(minutes=1))["slack"].failed == 0


def test_the_channels_of_an_incident_are_known(connection, now):
    for incident_id, channel in ((7, "slack"), (7, "log"), (7, "slack"), (8, "pager")):
        outbox.add(connection, incident_id, channel, "fired", {}, now)
    assert outbox.channels_of(connection, 7) == ["log", "slack"]
