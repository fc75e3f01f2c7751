"""The keys of a person and the main one among them."""

from datetime import timedelta

import pytest

from tests.support.factories import body, number_change, status
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.people.contacts import keys_of, links_of_many, main_keys, preferred

PHONE, OTHER_PHONE, USER, PARENT = "12025550117", "12025550118", "US.7041abc", "US.ENT.9"


@pytest.fixture
def feed(writer, now):
    return lambda *bodies: writer.store([Delivery(each) for each in bodies], now)


def test_an_unknown_contact_has_only_itself(connection):
    assert keys_of(connection, PHONE) == (PHONE,)
    assert preferred(connection, USER) == USER
    assert links_of_many(connection, []) == {}


def test_keys_in_one_webhook_belong_to_one_person(connection, feed, now):
    feed(body(status(at=now, recipient=PHONE, recipient_user_id=USER, recipient_parent_user_id=PARENT)))
    assert keys_of(connection, PHONE) == (PHONE, USER, PARENT)
    assert keys_of(connection, PARENT) == (PARENT, PHONE, USER)
    assert keys_of(connection, USER) == (USER, PHONE, PARENT)


def test_a_person_with_two_phones_is_found_by_each_key(connection, feed, now):
    feed(
        body(status("wamid.A", at=now, recipient=PHONE, recipient_user_id=USER)),
        body(status("wamid.B", at=now, recipient=OTHER_PHONE, recipient_user_id=USER)),
    )
    everything = {PHONE, OTHER_PHONE, USER}
    assert all(set(keys_of(connection, key)) == everything for key in everything)
    assert main_keys(connection, [USER]) == dict.fromkeys(everything, PHONE)


def test_a_phone_is_preferred_to_a_user_id_but_not_to_another_phone(connection, feed, now):
    feed(
        body(status("wamid.A", at=now, recipient=PHONE, recipient_user_id=USER)),
        body(status("wamid.B", at=now, recipient=OTHER_PHONE, recipient_user_id=USER)),
    )
    assert preferred(connection, USER) == PHONE
    assert preferred(connection, OTHER_PHONE) == OTHER_PHONE


def test_the_main_key_is_the_new_number_even_if_it_sorts_last(connection, feed, now):
    feed(
        body(status(at=now, recipient=PHONE, recipient_user_id=USER)), number_change(PHONE, OTHER_PHONE, now)
    )
    assert main_keys(connection, [USER]) == dict.fromkeys((OTHER_PHONE, USER), OTHER_PHONE)
    assert preferred(connection, USER) == OTHER_PHONE


def test_a_number_that_its_holder_left_belongs_to_somebody_else(connection, feed, now):
    feed(
        body(status("wamid.A", at=now, recipient=PHONE, recipient_user_id=USER)),
        number_change(PHONE, OTHER_PHONE, now),
        body(status("wamid.B", at=now + timedelta(seconds=1), recipient=PHONE, recipient_user_id="US.2")),
    )
    assert main_keys(connection, [PHONE]) == dict.fromkeys((PHONE, "US.2"), PHONE)
    assert keys_of(connection, PHONE) == (PHONE, "US.2")
    assert keys_of(connection, USER) == (USER, OTHER_PHONE)


def test_the_main_key_is_the_old_number_after_a_change_back(connection, feed, now):
    back = number_change(OTHER_PHONE, PHONE, now, "wamid.T")
    feed(back, number_change(PHONE, OTHER_PHONE, now - timedelta(days=3)))
    assert set(main_keys(connection, [PHONE]).values()) == {PHONE}


def test_an_old_user_id_is_not_the_main_key(connection, feed, now):
    told = {"type": "user_changed_user_id", "previous_user_id": "US.1", "user_id": "US.2"}
    item = {"id": "wamid.S", "timestamp": str(int(now.timestamp())), "type": "system", "system": told}
    feed(body(messages=[item]))
    assert main_keys(connection, ["US.1", "US.3"]) == {"US.1": "US.2", "US.2": "US.2", "US.3": "US.3"}


def test_thousands_of_contacts_are_resolved_at_once(connection, feed, now):
    statuses = [
        status(f"wamid.{i}", at=now, recipient=f"1202555{i:04}", recipient_user_id=f"US.{i}")
        for i in range(2_000)
    ]
    feed(body(*statuses))
    wanted = [f"US.{i}" for i in range(2_000)] + ["49170000000"]
    links = links_of_many(connection, wanted)
    assert list(links) == wanted
    assert links["US.7"] == ("US.7", "12025550007")
    assert links["49170000000"] == ("49170000000",)
