"""The owner of a conversation is that of the last handover, until no message of the person came for 24 hours."""

from datetime import timedelta

import pytest

from tests.support.factories import NUMBER, body, handed_over, handover, message, number_change
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.postgres.engine import connect, driver
from webhook_app.store.suppressions.checks import CheckRequest, read_facts, read_facts_of_thousands

PERSON, USER, SECOND, STRANGER = "12025550117", "US.7041abc", "12025550118", "12025550119"
HOUR = timedelta(hours=1)


@pytest.fixture
def feed(writer, now):
    return lambda *bodies: writer.store([Delivery(each) for each in bodies], now)


@pytest.fixture
def owner(engine, database_url, now):
    """What checks of few and of thousands say of the conversation of a contact, which must be the same."""

    def read(contact=PERSON, number=NUMBER, at=now):
        request = CheckRequest([contact], number)
        with engine.connect() as held, connect(database_url, application="tests") as beside:
            (few,) = read_facts(driver(held), [request], at)
            assert read_facts_of_thousands(driver(held), beside, request, at).owners == few.owners
        found = few.owners.get(contact)
        return found and ("us" if found.is_ours else found.role or "another")

    return read


def wrote(at, serial=1, **more):
    return body(messages=[message(f"wamid.{serial}", at) | more])


def passed(at, **more):
    return handed_over(handover("control_passed", at, **more))


def taken(at, **more):
    return handed_over(handover("control_taken", at, **({"role": "escalation"} | more)))


def test_without_a_message_a_handover_holds_for_a_day_at_its_number_only(feed, owner, now):
    feed(taken(now - HOUR))
    assert owner() == "escalation"
    assert owner(at=now + 22.9 * HOUR) == "escalation"
    assert owner(at=now + 23 * HOUR) is None
    assert [owner(number=None), owner(number="2"), owner(STRANGER)] == [None, None, None]


def test_each_message_of_the_person_prolongs_it_by_a_day(feed, owner, now):
    feed(taken(now - 60 * HOUR), wrote(now - 40 * HOUR, 1), wrote(now - 20 * HOUR, 2), wrote(now - HOUR, 3))
    assert owner() == "escalation"
    assert owner(at=now + 24 * HOUR) is None


def test_a_message_after_a_day_of_silence_begins_another_conversation(feed, owner, now):
    feed(taken(now - 60 * HOUR), wrote(now - 30 * HOUR, 1), wrote(now - HOUR, 2))
    assert owner() is None
    feed(passed(now))
    assert owner() == "us"


def test_the_latest_handover_counts_whatever_arrives_last(feed, owner, now):
    feed(passed(now - HOUR), taken(now - 2 * HOUR))
    assert owner() == "us"
    feed(taken(now))
    assert owner() == "escalation"


def test_of_handovers_in_one_second_the_one_to_us_counts(feed, owner, now):
    """Two apps of one installation both get a webhook: that of the new owner is decisive."""
    feed(passed(now), taken(now))
    assert owner() == "us"


@pytest.mark.parametrize(("known_as", "asked"), [(PERSON, USER), (USER, PERSON)])
def test_it_is_found_under_the_other_keys_of_the_person(feed, owner, now, known_as, asked):
    sender = {"user_id": USER} | ({"phone_number": PERSON} if known_as == PERSON else {})
    feed(
        wrote(now - 30 * HOUR, 1, from_user_id=USER),
        handed_over(handover("control_taken", now - 26 * HOUR, role="escalation") | {"sender": sender}),
        wrote(now - 20 * HOUR, 2),
    )
    assert owner(asked) == "escalation"


def test_it_goes_with_the_person_to_a_new_number_and_does_not_stay_with_the_old_one(feed, owner, now):
    feed(taken(now - 2 * HOUR), number_change(PERSON, SECOND, now - HOUR))
    assert owner(SECOND) == "escalation"
    assert owner(PERSON) is None
    feed(passed(now, sender=PERSON))
    assert [owner(PERSON), owner(SECOND)] == ["us", None]


def test_a_long_conversation_is_followed_with_two_lookups_a_day(feed, engine, now, database_url):
    """Read from the handover on, each of its messages would be read for each check."""
    many = [wrote(now - 30 * HOUR + timedelta(minutes=n), n) for n in range(1, 1700, 2)]
    feed(taken(now - 31 * HOUR), *many)
    with connect(database_url, application="tests") as driver_connection, driver_connection.transaction():
        [facts] = read_facts(driver_connection, [CheckRequest([PERSON], NUMBER)], now)
        read = driver_connection.execute(READ).fetchone()
    assert facts.owners[PERSON].role == "escalation"
    assert read is not None
    assert read[0] < 20


READ = """
SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables WHERE relname LIKE 'inbound_messages%'
"""
