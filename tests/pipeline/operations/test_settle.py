"""A settled message is one row that answers what its events did, and whatever comes later is counted as without it."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.conftest import Database
from tests.support.factories import NUMBER, status
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.count_funnels import count_stages
from webhook_app.pipeline.operations.prune import Retention, prune
from webhook_app.pipeline.operations.settle import settle_days
from webhook_app.pipeline.people.erase import erase
from webhook_app.pipeline.sends.reports import register
from webhook_app.rules.people.holders import Span
from webhook_app.store.counts.messages import settled, stages
from webhook_app.store.people import contact_timeline, message_timeline
from webhook_app.store.postgres import locks, partitions
from webhook_app.store.postgres.engine import connect, driver
from webhook_app.store.suppressions import successes
from webhook_app.web.api.sends.send_items import parse_send

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
PERSON = "12025550117"
PRICING = {"billable": True, "pricing_model": "PMP", "category": "marketing", "type": "regular"}
CALLBACK = '{"template": "offer", "campaign": "autumn"}'


@pytest.fixture(scope="module")
def database(database_of_weeks: Database) -> Database:
    return database_of_weeks


@pytest.fixture
def old(now: datetime) -> datetime:
    """A noon three weeks ago."""
    return now.replace(hour=12, minute=0, second=0, microsecond=0) - 20 * DAY


def statuses_of(message_id: str, at: datetime, *kinds: str, **more: Any) -> list[dict[str, Any]]:
    """The statuses of a message, a minute after one another. Meta prices all but `read`."""
    priced = {"biz_opaque_callback_data": CALLBACK, "recipient": PERSON} | more
    return [
        status(
            message_id, kind, at + place * MINUTE, **priced | ({} if kind == "read" else {"pricing": PRICING})
        )
        for place, kind in enumerate(kinds)
    ]


def settle(engine: Engine, now: datetime, **more: Any) -> int:
    count_stages(engine, now)
    return settle_days(engine, now, **{"busy_pages": 1} | more)


def rows(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def counted(engine: Engine, *, since: datetime | None = None) -> list[tuple[Any, ...]]:
    """All that is counted of messages, without what adds up to nothing."""
    counts = """
    SELECT 'minute', minute, s.template, '', sum(attempts), sum(sent), sum(delivered), sum(read), sum(failed)
    FROM minute_counts c JOIN series s ON s.id = c.series_id GROUP BY 2, 3
    UNION ALL
    SELECT 'stage ' || unit, at, s.template, category, NULL, sum(sent), sum(delivered), sum(read), sum(failed)
    FROM stage_counts c JOIN series s ON s.id = c.series_id GROUP BY 1, 2, 3, 4
    ORDER BY 1, 2, 3, 4
    """
    with engine.connect() as connection:
        found = connection.execute(text(counts)).all()
    return [tuple(row) for row in found if any(row[4:]) and (since is None or row[1] >= since)]


def of_message(engine: Engine, message_id: str, now: datetime) -> list[message_timeline.MessageEvent]:
    with engine.connect() as connection:
        return message_timeline.events(connection, message_id, now)


def of_person(engine: Engine, contact: str, now: datetime) -> tuple[Any, ...]:
    with engine.connect() as connection:
        entries = contact_timeline.page(connection, [Span(contact, now - 99 * DAY, now + DAY)], 50, None)
        ids = sorted({each.message_id for each in entries})
        outcomes = contact_timeline.outcomes(connection, entries)
        last = successes.last_successes(connection, [contact], now - 90 * DAY)
        arrived = successes.arrived_messages(connection, ids, now - 90 * DAY)
    return entries, outcomes, last, arrived


def test_a_finished_message_is_one_row_that_gives_the_same_answers(engine, traffic, old, now):
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered", "read"), at=old + HOUR)
    traffic.store(*statuses_of("wamid.B", old + HOUR, "sent", "read"), at=old + 2 * HOUR)
    count_stages(engine, now)
    asked: tuple[Callable[[], object], ...] = (
        lambda: counted(engine),
        lambda: of_message(engine, "wamid.A", now),
        lambda: of_message(engine, "wamid.B", now),
        lambda: of_person(engine, PERSON, now),
    )
    before = [ask() for ask in asked]
    assert len(of_message(engine, "wamid.A", now)) == 3
    assert settle(engine, now) == 2
    assert [ask() for ask in asked] == before
    assert [rows(engine, each) for each in ("settled_messages", "status_events", "messages")] == [2, 0, 0]
    assert settle(engine, now + HOUR) == 0


def test_a_message_that_lasted_for_days_is_settled_when_its_last_event_is_old(engine, traffic, old, now):
    (read_later,) = statuses_of("wamid.A", old + 3 * DAY, "read")
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered"), read_later, at=old + 3 * DAY)
    traffic.store(
        *statuses_of("wamid.B", old, "sent", "delivered"),
        *statuses_of("wamid.B", now - 5 * DAY, "read"),
        at=now,
    )
    before = of_message(engine, "wamid.A", now)
    assert settle(engine, now) == 1
    assert of_message(engine, "wamid.A", now) == before
    assert rows(engine, "status_events") == 3


def unusual(at: datetime) -> dict[str, list[dict[str, Any]]]:
    """The statuses of messages that stay as events, by what is unusual."""
    later = at + HOUR
    return {
        "failed": statuses_of("wamid.failed", at, "sent", "failed"),
        "delivered twice": statuses_of("wamid.twice", at, "sent", "delivered", "delivered"),
        "played": statuses_of("wamid.played", at, "sent", "delivered", "played"),
        "never sent": statuses_of("wamid.unsent", at, "delivered", "read"),
        "delivered before it was sent": statuses_of("wamid.before", at, "delivered", "sent"),
        "to nobody known": statuses_of("wamid.nobody", at, "sent", "delivered", recipient=""),
        "to two contacts": [
            *statuses_of("wamid.two", at, "sent"),
            *statuses_of("wamid.two", later, "delivered", recipient="12025550118"),
        ],
        "with two callback data": [
            *statuses_of("wamid.data", at, "sent"),
            *statuses_of("wamid.data", later, "delivered", biz_opaque_callback_data="other"),
        ],
        "to a group": statuses_of(
            "wamid.group", at, "sent", "delivered", recipient_type="group", recipient_participant_id=PERSON
        ),
    }


def test_an_unusual_message_keeps_its_events(engine, traffic, old, now):
    for told in unusual(old).values():
        traffic.store(*told, at=old + 2 * HOUR)
    events = rows(engine, "status_events")
    assert settle(engine, now) == 0
    assert rows(engine, "status_events") == events == sum(map(len, unusual(old).values()))


def test_an_event_that_is_not_counted_yet_is_not_lost(engine, traffic, old, now):
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered"), at=now - HOUR)
    count_stages(engine, now)
    traffic.store(status("wamid.A", "read", old + MINUTE, recipient=PERSON), at=now)
    assert settle_days(engine, now, busy_pages=1) == 0
    assert settle(engine, now + MINUTE) == 0  # the pass over this day has ended
    assert [sum(row[7] for row in counted(engine) if row[0] == kind) for kind in ("minute", "stage 1")] == [
        1,
        1,
    ]


def test_a_message_without_delivery_is_settled_once_meta_has_given_up(engine, traffic, old, now):
    traffic.store(*statuses_of("wamid.A", old, "sent"), at=old)
    assert settle(engine, now) == 0
    assert settle(engine, now + 11 * DAY) == 0
    assert settle(engine, now + 12 * DAY) == 1


def test_a_quiet_day_is_left_as_it_is(engine, traffic, old, now):
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered"), at=old)
    count_stages(engine, now)
    assert settle_days(engine, now) == 0
    assert rows(engine, "settled_days") == 0


def test_a_repeated_webhook_about_a_settled_message_is_counted_once(engine, traffic, old, now):
    told = statuses_of("wamid.A", old, "sent", "delivered", "read")
    traffic.store(*told, at=old)
    settle(engine, now)
    before = counted(engine)
    traffic.store(*told, at=now)
    count_stages(engine, now + MINUTE)
    assert counted(engine) == before
    assert [rows(engine, each) for each in ("settled_messages", "status_events", "messages")] == [0, 3, 1]


def test_a_message_that_is_read_after_it_was_settled_is_counted_as_read(engine, traffic, old, now):
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered"), at=old)
    settle(engine, now)
    traffic.store(status("wamid.A", "read", now, recipient=PERSON), at=now)
    count_stages(engine, now + MINUTE)
    sums = [[sum(row[column] for row in counted(engine) if row[0] == "stage 1") for column in (5, 6, 7)]]
    assert sums == [[1, 1, 1]]
    assert [each.status for each in of_message(engine, "wamid.A", now)] == ["sent", "delivered", "read"]
    assert rows(engine, "settled_messages") == 1


@pytest.mark.parametrize("kind", ["failed", "sent"])
def test_a_settled_message_that_fails_or_is_sent_again_is_still_one_attempt(engine, traffic, old, now, kind):
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered"), at=old)
    settle(engine, now)
    code = {"code": 131026} if kind == "failed" else {}
    traffic.store(status("wamid.A", kind, now, recipient=PERSON, **code), at=now)
    count_stages(engine, now + MINUTE)
    attempts = [(row[1], row[4]) for row in counted(engine) if row[0] == "minute" and row[4]]
    assert attempts == [(old, 1)]
    assert rows(engine, "settled_messages") == 0
    assert rows(engine, "messages") == 1


def test_what_a_sender_reports_late_completes_a_settled_message(engine, traffic, old, now):
    bare = {"biz_opaque_callback_data": ""}
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered", **bare), at=old)
    settle(engine, now)
    item = {"message_id": "wamid.A", "phone_number_id": NUMBER, "contact": PERSON, "template": "late"}
    reported, _ = parse_send(item | {"sent_at": old.isoformat()}, now)
    assert reported
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, [reported], now, reported_by="sender")
    count_stages(engine, now + MINUTE)
    assert {row[2] for row in counted(engine)} == {"late"}
    assert sum(row[4] or 0 for row in counted(engine)) == 1


def test_an_erased_person_is_in_no_settled_message(engine, traffic, old, now, database_url):
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered"), at=old)
    traffic.store(*statuses_of("wamid.B", old, "sent", "delivered", recipient="12025550118"), at=old)
    settle(engine, now)
    before = counted(engine)
    erase(engine, lambda: connect(database_url, application="t"), PERSON, actor="admin", now=now)
    count_stages(engine, now + MINUTE)
    assert counted(engine) == before
    with engine.connect() as connection:
        left = connection.execute(text("SELECT message_id FROM settled_messages")).scalars().all()
        events = connection.execute(text("SELECT contact, message_id FROM status_events")).all()
    assert left == ["wamid.B"]
    assert {contact for contact, _ in events} == {""}
    assert "wamid.A" not in {message_id for _, message_id in events}


def test_settled_messages_are_deleted_with_the_events_of_their_day(engine, traffic, old, now):
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered"), at=old)
    settle(engine, now)
    for days in range(1, 25):
        prune(engine, now + days * DAY, Retention(events_days=40))
    assert [rows(engine, each) for each in ("settled_messages", "settled_days")] == [0, 0]


def test_a_message_is_recounted_from_its_settled_events(engine, traffic, old, now):
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered", "read"), at=old)
    settle(engine, now)
    before = counted(engine)
    with engine.begin() as connection:
        stages.request_recount(driver(connection), [("wamid.A", NUMBER)])
    count_stages(engine, now + MINUTE)
    assert counted(engine) == before


def test_a_run_goes_on_where_the_one_before_ended(engine, traffic, old, now):
    for place in range(40):
        traffic.store(
            *statuses_of(
                f"wamid.{place}" + "x" * 400, old, "sent", "delivered", recipient=f"1202555{place:04}"
            ),
            at=old,
        )
    count_stages(engine, now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settled, "_AT_ONCE", 1)
        found = [settle_days(engine, now, busy_pages=1, steps=2) for _ in range(9)]
    assert sum(found) == 40
    assert found[0] < 40
    assert rows(engine, "status_events") == 0


def size(engine: Engine, day: datetime) -> int:
    with engine.connect() as connection:
        return settled.pages(connection, f"status_events_{day:%Y%m%d}")


def test_the_disk_gets_the_room_back_and_the_other_events_stay(engine, traffic, old, now):
    for place in range(60):
        traffic.store(
            *statuses_of(f"wamid.{place}", old, "sent", "delivered", recipient=f"1202555{place:04}"), at=old
        )
    traffic.store(*statuses_of("wamid.F", old, "sent", "failed", code=131026), at=old)
    grown, before = size(engine, old), of_message(engine, "wamid.F", now)
    assert settle(engine, now) == 60
    assert size(engine, old) < grown
    assert of_message(engine, "wamid.F", now) == before
    traffic.store(*statuses_of("wamid.F", old, "sent", "failed", code=131026), at=now)
    assert of_message(engine, "wamid.F", now) == before


def test_a_partition_in_use_is_copied_by_the_next_run(engine, traffic, old, now, database_url):
    traffic.store(*statuses_of("wamid.A", old, "sent", "delivered"), at=old)
    count_stages(engine, now)
    with connect(database_url, application="t") as other, other.transaction():
        other.execute(f"LOCK TABLE status_events_{old:%Y%m%d} IN ACCESS SHARE MODE")
        assert settle_days(engine, now, busy_pages=1) == 1
        assert size(engine, old) == 1
    settle_days(engine, now, busy_pages=1)
    assert size(engine, old) == 0


def test_who_restores_a_message_waits_for_a_step_and_keeps_the_next_one_waiting(engine, database_url):
    with connect(database_url, application="t") as own, engine.begin() as settling:
        own.execute("SET lock_timeout = '50ms'")
        with own.transaction():
            settled.restore(own, ["wamid.A"], slot=0)
            assert not locks.try_until_commit(settling, locks.SETTLE_LOCK)
        assert locks.try_until_commit(settling, locks.SETTLE_LOCK)


class _Twins:
    """Equal webhooks about messages of two days, of which only those of one day are settled now and then."""

    def __init__(self, engine: Engine, traffic: Traffic, settled_day: datetime, now: datetime) -> None:
        self._engine, self._traffic, self._now = engine, traffic, now
        self._noons = {"settled": settled_day, "plain": settled_day - DAY}
        self._clock = now
        self.settled = 0

    def tell(self, serial: int, kind: str, after: timedelta) -> None:
        self._clock += timedelta(seconds=1)
        for name, noon in self._noons.items():
            code = {"code": 131026} if kind == "failed" else {}
            item = status(
                f"wamid.{name}{serial}", kind, noon + after, recipient=f"12025550{serial:03}", **code,
                biz_opaque_callback_data=f'{{"template": "{name}"}}',
            )  # fmt: skip
            self._traffic.store(item, at=self._clock)

    def settle(self) -> None:
        self._clock += MINUTE
        count_stages(self._engine, self._clock)
        noon = self._noons["settled"]
        with self._engine.begin() as connection:
            partitions.ensure_day(connection, "settled_messages", noon.date())
            self.settled += settled.settle(
                connection, f"status_events_{noon:%Y%m%d}", 0, self._clock
            ).messages

    def counts(self) -> dict[str, list[tuple[Any, ...]]]:
        count_stages(self._engine, self._clock + MINUTE)
        found = counted(self._engine)
        return {
            name: [(row[0], row[1] - noon, *row[3:]) for row in found if row[2] == name]
            for name, noon in self._noons.items()
        }


def test_whatever_comes_in_whatever_order_is_counted_as_if_nothing_were_settled(engine, traffic, old, now):
    twins = _Twins(engine, traffic, old, now)
    kinds = ("sent", "sent", "delivered", "delivered", "read", "failed")
    offsets = (timedelta(0), MINUTE, 30 * MINUTE, HOUR, 5 * DAY, 18 * DAY)
    for seed in range(6):
        draw = random.Random(seed)
        for serial in range(3 * seed, 3 * seed + 3):
            twins.tell(serial, "sent", timedelta(0))
            if draw.random() < 0.8:
                twins.tell(serial, "delivered", MINUTE)
        for _ in range(30):
            if draw.random() < 0.25:
                twins.settle()
            else:
                twins.tell(3 * seed + draw.randrange(3), draw.choice(kinds), draw.choice(offsets))
        counts = twins.counts()
        assert counts["settled"] == counts["plain"] != [], seed
    assert twins.settled > 3
