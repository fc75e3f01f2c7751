"""Checks of few and of thousands of contacts find the same facts, and know the open service windows."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.factories import NUMBER, body, message
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.postgres.engine import connect, driver
from webhook_app.store.suppressions.checks import CheckRequest, read_facts, read_facts_of_thousands

PHONES = tuple(f"1202555011{n}" for n in range(4))
USERS = ("DE.1", "DE.2", "DE.ENT.3")
KEYS = (*PHONES, *USERS)
NUMBERS = ("", "pn1", "pn2")
EMPTY = ("suppressions", "contact_links", "service_windows", "handovers")

keys, numbers = st.sampled_from(KEYS), st.sampled_from(NUMBERS)
rows = st.lists(st.tuples(keys, numbers, st.sampled_from(("manual", "unreachable")), st.integers(-9, 9)))
pairs = st.lists(
    st.tuples(st.sampled_from((*USERS, PHONES[0])), keys).filter(lambda pair: pair[0] != pair[1])
)
handovers = st.lists(st.tuples(keys, st.sampled_from(NUMBERS[1:]), st.integers(-30, 0), st.booleans()))
windows = st.lists(st.tuples(keys, st.sampled_from(NUMBERS[1:]), st.integers(-30, 1)))
several = {
    "max_examples": 60,
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}


@settings(**several)
@given(
    rows=rows, pairs=pairs, windows=windows, handovers=handovers, number=st.sampled_from((None, "pn1", "pn2"))
)
def test_a_check_of_thousands_finds_the_same_facts_as_a_check_of_few(
    database_url, now, rows, pairs, windows, handovers, number
):
    with (
        connect(database_url, application="tests") as connection,
        connect(database_url, application="tests") as beside,
    ):
        for table in EMPTY:
            connection.execute(f"DELETE FROM {table}")
        for contact, of, reason, hours in rows:
            connection.execute(
                "INSERT INTO suppressions (contact, phone_number_id, scope, reason, since, until, actor)"
                " VALUES (%s, %s, 'all', %s, %s, %s, 'ann') ON CONFLICT DO NOTHING",
                [contact, of, reason, now, now + timedelta(hours=hours)],
            )
        firsts = set()
        for user_id, contact in dict.fromkeys(pairs):
            connection.execute(
                "INSERT INTO contact_links VALUES (%s, %s, %s)", [user_id, contact, user_id in firsts]
            )
            firsts.add(user_id)
        for contact, of, hours in windows:
            connection.execute(
                "INSERT INTO service_windows VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [contact, of, now + timedelta(hours=hours)],
            )
        for contact, of, hours, is_ours in handovers:
            connection.execute(
                "INSERT INTO handovers (contact, phone_number_id, occurred_at, is_ours, received_at)"
                " VALUES (%s, %s, %s, %s, now()) ON CONFLICT DO NOTHING",
                [contact, of, now + timedelta(hours=hours), is_ours],
            )
        question = CheckRequest([*KEYS, "49170000000"], number)
        (few,) = read_facts(connection, [question], now)
        many = read_facts_of_thousands(connection, beside, question, now)
        assert {contact: set(found) for contact, found in few.suppressions.items()} == {
            contact: set(found) for contact, found in many.suppressions.items()
        }
        assert few.suppressions == many.suppressions
        assert few.wrote == many.wrote
        assert few.owners == many.owners
        alone = [CheckRequest([key], number) for key in question.contacts]
        for question, known in zip(alone, read_facts(connection, alone, now), strict=True):
            (key,) = question.contacts
            assert known.suppressions.get(key) == few.suppressions.get(key)
            assert known.wrote.get(key) == few.wrote.get(key)
            assert known.owners.get(key) == few.owners.get(key)


@pytest.fixture
def wrote(database_url, engine, now):
    """Stores messages and says who wrote within the window, on a business number or on any."""
    writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)

    def store(*bodies, number=NUMBER, at=now):
        for each in bodies:
            writer.store([Delivery(each)], now)
        with engine.connect() as held:
            (known,) = read_facts(driver(held), [CheckRequest(PHONES, number)], at)
        return set(known.wrote)

    yield store
    writer.close()


def wrote_at(at, serial="wamid.1", sender=PHONES[0], **more):
    return body(messages=[message(serial, at, sender=sender) | more])


def test_a_service_window_is_open_for_a_day_on_the_number_written_to(wrote, now):
    hour = timedelta(hours=1)
    assert wrote(wrote_at(now - 5 * hour)) == {PHONES[0]}
    assert wrote(number=None) == {PHONES[0]}
    assert wrote(number="2") == set()
    assert wrote(at=now + 18 * hour) == {PHONES[0]}
    assert wrote(at=now + 19 * hour) == set()


def test_an_older_message_that_arrives_later_does_not_close_the_window(wrote, now):
    hour = timedelta(hours=1)
    assert wrote(wrote_at(now - hour, "wamid.2"), wrote_at(now - 20 * hour), at=now + 10 * hour) == {
        PHONES[0]
    }
    assert wrote(wrote_at(now, "wamid.3"), at=now + 23.5 * hour) == {PHONES[0]}


def test_a_message_that_is_a_day_old_opens_no_window(wrote, now):
    assert wrote(wrote_at(now - timedelta(hours=25)), number=None) == set()


def test_a_group_message_opens_no_window(wrote, now):
    assert wrote(wrote_at(now, group_id="G"), number=None) == set()
