"""More linked keys than one person has count as unlinked: reads stay short, and nobody is stopped with the others."""

from datetime import timedelta
from time import perf_counter

import pytest
from sqlalchemy import text

from tests.support.factories import NUMBER, body, message
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.people import links
from webhook_app.store.people.contacts import holders, keys_of
from webhook_app.store.postgres.engine import driver
from webhook_app.store.suppressions.checks import CheckRequest, read_facts, read_facts_of_thousands

KEYS = links.KEYS_AT_MOST
MANY = 20_000
SECONDS = 2.0  # without the limit on keys each of these took 6 to 75 s

CHAIN = "SELECT 'US.' || n, (12020000000 + n + side)::text FROM generate_series(1, :n) n, generate_series(0, 1) side"
STAR = "SELECT 'US.0', (12020000001 + n)::text FROM generate_series(0, :n) n"
FAN = "SELECT 'US.' || n, '12020000001' FROM generate_series(1, :n) n"
SHAPES = {"chain": CHAIN, "star": STAR, "fan": FAN}


@pytest.fixture
def link(engine):
    def insert(shape, n):
        further = "row_number() OVER (PARTITION BY user_id ORDER BY contact) > 1"
        rows = f"SELECT user_id, contact, {further} FROM ({SHAPES[shape]}) AS l(user_id, contact)"
        with engine.begin() as connection:
            connection.execute(
                text(f"INSERT INTO contact_links (user_id, contact, is_further) {rows}"), {"n": n}
            )
            connection.execute(text("ANALYZE contact_links"))

    return insert


def first(place=1):
    return str(12020000000 + place)


@pytest.mark.parametrize(("shape", "n"), [("chain", KEYS // 2 - 1), ("star", KEYS - 2), ("fan", KEYS - 1)])
def test_as_many_keys_as_allowed_are_one_person(engine, link, shape, n):
    link(shape, n)
    with engine.connect() as connection:
        assert len(keys_of(connection, first())) in (KEYS, KEYS - 1)
        assert len(links.people(driver(connection), [first()])[first()]) in (KEYS, KEYS - 1)


def test_of_people_in_order_as_many_are_taken_together_as_have_few_keys(engine, link):
    link("fan", KEYS - 1)
    alone = [str(13030000000 + n) for n in range(links.KEYS_TOGETHER)]
    with engine.connect() as connection:
        assert links.first_people(connection, alone) == alone
        assert links.first_people(connection, [first(), first(), *alone[:50]]) == [first(), *alone[:50]]
        fewer = links.first_people(connection, [first(), *alone])
        assert fewer == [first(), *alone][: len(fewer)]
        assert 100 < len(fewer) + KEYS - 1 <= links.KEYS_TOGETHER
        assert links.first_people(connection, []) == []


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [KEYS + 1, MANY])
def test_more_keys_are_not_one_person(engine, link, shape, n):
    link(shape, n)
    with engine.connect() as connection:
        began = perf_counter()
        assert keys_of(connection, first()) == (first(),)
        assert links.people(driver(connection), [first()]) == {}
        assert perf_counter() - began < SECONDS


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [KEYS + 1, MANY])
def test_a_check_finds_the_suppressions_of_the_contact_itself_alone(engine, link, now, shape, n):
    link(shape, n)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO suppressions (contact, phone_number_id, scope, reason, since, actor)"
                " SELECT DISTINCT contact, '', 'all', 'manual', CAST(:now AS timestamptz), 'ann' FROM contact_links"
                " WHERE contact <> :other"
            ),
            {"now": now, "other": first(2)},
        )
        own, began = driver(connection), perf_counter()
        request = CheckRequest([first(), first(2), "4915112345678"], NUMBER)
        (few,) = read_facts(own, [request], now)
        assert few == read_facts_of_thousands(own, own, request, now)
        found = {contact: {row.contact for row in rows} for contact, rows in few.suppressions.items()}
        assert found == {first(): {first()}}
        assert perf_counter() - began < SECONDS


@pytest.mark.parametrize("shape", SHAPES)
def test_a_stop_of_one_of_them_stops_nobody_else(engine, link, writer, now, shape):
    link(shape, MANY)
    began = perf_counter()
    writer.store([Delivery(body(messages=[message("wamid.stop", now, sender=first(), text="STOP")]))], now)
    assert perf_counter() - began < SECONDS
    with engine.connect() as connection:
        assert connection.execute(text("SELECT contact FROM suppressions")).scalars().all() == [first()]


def test_a_thousand_messages_of_one_user_id_are_stored_fast(engine, writer, now):
    people = [first(n) for n in range(1, 1001)]
    items = [message(f"wamid.{each}", now, sender=each) for each in people]
    began = perf_counter()
    writer.store(
        [Delivery(body(messages=items, contacts=[{"wa_id": each, "user_id": "US.0"} for each in people]))],
        now,
    )
    assert perf_counter() - began < SECONDS
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM inbound_messages")).scalar_one() == 1000


def test_twenty_thousand_people_who_went_to_one_number_are_not_one_person(engine, writer, now):
    hub = first()
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO number_changes (old_contact, new_contact, phone_number_id, message_id, occurred_at,"
                " received_at) SELECT (12030000000 + n)::text, :hub, '1', 'wamid.' || n,"
                " CAST(:now AS timestamptz) - n * interval '1 s', :now FROM generate_series(1, :n) n"
            ),
            {"hub": hub, "n": MANY, "now": now - timedelta(hours=1)},
        )
    began = perf_counter()
    writer.store([Delivery(body(messages=[message("wamid.stop", now, sender=hub, text="STOP")]))], now)
    with engine.connect() as connection:
        known = holders(connection, [hub])
        assert known.present(hub).keys == (hub,)
        assert connection.execute(text("SELECT contact FROM suppressions")).scalars().all() == [hub]
    assert perf_counter() - began < SECONDS


def test_thirty_thousand_changes_between_a_few_numbers_are_no_person(engine, writer, now):
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO number_changes (old_contact, new_contact, phone_number_id, message_id, occurred_at,"
                " received_at) SELECT (12020000001 + n % 99)::text, (12020000001 + (n + 1 + n / 99) % 99)::text, '1',"
                " 'wamid.' || n, CAST(:now AS timestamptz) - n * interval '1 s', :now FROM generate_series(1, :n) n"
                " WHERE n % 99 <> (n + 1 + n / 99) % 99"
            ),
            {"n": 30_000, "now": now - timedelta(hours=1)},
        )
        began = perf_counter()
        known = holders(connection, [first(), first(2)])
        assert perf_counter() - began < SECONDS, "0.1 s; 5 s if all are followed"
        assert (known.present(first()).keys, known.changed_hands(first())) == ((first(),), False)
    began = perf_counter()
    writer.store([Delivery(body(messages=[message("wamid.stop", now, sender=first(), text="STOP")]))], now)
    assert perf_counter() - began < SECONDS
    with engine.connect() as connection:
        assert connection.execute(text("SELECT contact FROM suppressions")).scalars().all() == [first()]
