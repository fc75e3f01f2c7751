"""An erasure takes a former number of the person, and nobody who had their present number before them."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.factories import NUMBER, body, document, message, number_change, status, value
from tests.support.suppressions import store_suppression
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.people import former_numbers
from webhook_app.store.suppressions import opt_ins
from webhook_app.store.suppressions.opt_ins import OptIn

FORMER, PRESENT, STRANGER, USER = "12025550117", "12025550118", "12025550119", "US.7041abc"
DAY = timedelta(days=1)


@pytest.fixture
def feed(writer, now):
    return lambda *bodies: writer.store([Delivery(each) for each in bodies], now)


@pytest.fixture
def moved(feed, now):
    """FORMER went to PRESENT two days ago."""
    feed(number_change(FORMER, PRESENT, now - 2 * DAY))


@pytest.fixture
def to_erase(engine):
    def keys(contact):
        with engine.connect() as connection:
            return former_numbers.keys_to_erase(connection, contact)

    return keys


@pytest.fixture
def store(engine, feed, now):
    """Stores something about a contact, some days ago."""

    def report(contact, days):
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO sends (message_id, phone_number_id, failed, contact, given, sent_at, registered_at)"
                    " VALUES (:id, :number, false, :contact, :contact, :at, :at)"
                ),
                {
                    "id": f"wamid.{contact}.{days}",
                    "number": NUMBER,
                    "contact": contact,
                    "at": now - days * DAY,
                },
            )

    def agree(contact, days):
        row = OptIn(
            contact=contact, opted_in_at=now - days * DAY, channel="shop", note="", actor="", recorded_at=now
        )
        with engine.begin() as connection:
            opt_ins.put(connection, [row])

    def webhook(name):
        code = {"code": 131026} if name == "failed" else {}
        return lambda contact, days: feed(
            body(status(f"wamid.{name}", name, now - days * DAY, recipient=contact, **code))
        )

    def failed_call(contact, days):
        webhook("failed")(contact, days)
        with engine.begin() as connection:
            connection.execute(text("UPDATE failures SET source = 'send'"))

    def write(contact, days):
        feed(body(messages=[message(f"wamid.in.{days}", now - days * DAY, sender=contact)]))

    def prefer(contact, days):
        at = int((now - days * DAY).timestamp())
        said = {"wa_id": contact, "category": "marketing_messages", "value": "stop", "timestamp": at}
        feed(json.dumps(document(value(user_preferences=[said]), field="user_preferences")).encode())

    def suppress(reason):
        return lambda contact, days: store_suppression(
            engine, now - days * DAY, contact=contact, reason=reason, review=reason == "unreachable"
        )

    return (
        {"send": report, "opt-in": agree, "message": write, "preference": prefer, "failed call": failed_call}
        | {name: webhook(name) for name in ("sent", "delivered", "read", "failed")}
        | {reason: suppress(reason) for reason in ("manual", "opted_out", "unreachable")}
    )


def test_somebody_who_had_the_present_number_before_is_not_part_of_the_person(moved, feed, to_erase, now):
    earlier = [
        status("wamid.A", at=now - 20 * DAY, recipient=PRESENT, recipient_user_id=USER),
        status("wamid.B", at=now - 5 * DAY, recipient=STRANGER, recipient_user_id=USER),
    ]
    feed(body(*earlier), body(status("wamid.C", at=now, recipient=PRESENT)))
    assert to_erase(PRESENT) == ((PRESENT, FORMER), ())


def test_a_number_that_nobody_uses_since_its_holder_left_means_the_person_who_left(moved, to_erase):
    assert to_erase(FORMER) == ((FORMER, PRESENT), ())


REPORTED = ("send", "opt-in")
FAILED = ("sent", "failed", "failed call", "unreachable")
USED = ("message", "delivered", "read", "preference", "opted_out", "manual")


@pytest.mark.parametrize("what", [*REPORTED, *FAILED])
def test_what_senders_report_and_what_does_not_arrive_shows_nobody_else_at_a_former_number(
    moved, to_erase, store, what
):
    store[what](FORMER, 1)
    assert to_erase(PRESENT) == ((PRESENT, FORMER), ())
    assert to_erase(FORMER) == ((FORMER, PRESENT), ())


@pytest.mark.parametrize("what", USED)
def test_a_former_number_is_not_taken_whole_if_somebody_else_uses_it(moved, to_erase, store, engine, what):
    store[what](FORMER, 1)
    keys, (span,) = to_erase(PRESENT)
    assert (keys, span.key) == ((PRESENT,), FORMER)
    assert to_erase(FORMER) == ((FORMER,), ())


@pytest.mark.parametrize("what", ["message", "delivered", "read", "preference"])
def test_what_happened_before_the_person_left_shows_nobody_else(moved, to_erase, store, what):
    store[what](FORMER, 3)
    assert to_erase(PRESENT) == ((PRESENT, FORMER), ())


def test_an_earlier_holder_who_is_not_erased_is_noticed(moved, engine, store):
    def stays(contact):
        with engine.connect() as connection:
            keys, _ = former_numbers.keys_to_erase(connection, contact)
            return former_numbers.earlier_holder_stays(connection, contact, keys)

    assert not stays(FORMER)
    store["message"](FORMER, 1)
    assert stays(FORMER)
    assert not stays(PRESENT)


def test_of_reported_sends_to_a_former_number_those_are_taken_that_no_webhook_names_for_another(
    moved, feed, engine, to_erase, store, now
):
    store["message"](FORMER, 1)
    for days in (1, 3, 4):
        store["send"](FORMER, days)
    feed(body(status(f"wamid.{FORMER}.4", at=now - 4 * DAY, recipient=STRANGER)))
    _, shared = to_erase(PRESENT)
    with engine.connect() as connection:
        assert former_numbers.message_ids(connection, shared) == [f"wamid.{FORMER}.3"]
