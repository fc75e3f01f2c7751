"""Handovers are stored once, also without a usable time, and show the keys of a person."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.factories import NUMBER, handed_over, handover
from webhook_app.pipeline.receiving.delivery import Delivery

HOUR = timedelta(hours=1)
PERSON, USER = "12025550117", "US.7041abc"


@pytest.fixture
def feed(writer):
    def store(received_at, *handovers):
        writer.store([Delivery(handed_over(*handovers))], received_at)

    return store


@pytest.fixture
def rows(engine):
    def read(statement):
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    return read


def test_a_handover_is_stored_with_its_owner_and_a_repeated_one_is_a_duplicate(feed, rows, now):
    taken = handover("control_taken", now - HOUR, role="escalation")
    feed(now, taken, taken)
    feed(now + HOUR, taken)
    assert rows("SELECT * FROM handovers") == [
        (PERSON, NUMBER, (now - HOUR).replace(microsecond=0), False, "escalation", now)
    ]
    assert rows("SELECT sum(received)::int, sum(applied)::int, sum(duplicate)::int FROM books") == [(3, 1, 2)]


@pytest.mark.parametrize("stamp", ["soon", 10**12, 4_000_000_000])
def test_a_repeated_handover_without_a_usable_time_keeps_that_of_its_first_receipt(feed, rows, now, stamp):
    feed(now, handover(at=stamp))
    feed(now + HOUR, handover(at=stamp))
    feed(now + 2 * HOUR, handover(at=stamp, role="ai_agent"))
    at = now.replace(microsecond=0)
    assert rows("SELECT occurred_at, owner FROM handovers ORDER BY 1") == [
        (at, ""),
        (at + 2 * HOUR, "ai_agent"),
    ]


def test_a_handover_links_the_number_and_the_user_id_that_it_shows(feed, rows, now):
    feed(now, handover(at=now) | {"sender": {"phone_number": PERSON, "user_id": USER}})
    assert rows("SELECT user_id, contact FROM contact_links") == [(USER, PERSON)]
