"""Checks and lists read exactly the suppressions that the rule on their reach names."""

import pytest

from tests.support.suppressions import store_suppression
from webhook_app.rules.suppressions.reach import EVERY_NUMBER, reaches
from webhook_app.store.postgres.engine import connect, driver
from webhook_app.store.suppressions import lists
from webhook_app.store.suppressions.checks import CheckRequest, read_facts, read_facts_of_thousands

CONTACT = "12025550117"


@pytest.mark.parametrize("number", [None, "1", "2"])
@pytest.mark.parametrize("named", [EVERY_NUMBER, "1"])
def test_what_a_number_is_reached_by_is_read_and_nothing_else(engine, database_url, now, named, number):
    store_suppression(engine, now, contact=CONTACT, phone_number_id=named)
    expected = [named] if reaches(named, number) else []
    request = CheckRequest([CONTACT], number)
    with engine.connect() as connection, connect(database_url, application="tests") as beside:
        (few,) = read_facts(driver(connection), [request], now)
        many = read_facts_of_thousands(driver(connection), beside, request, now)
        listed = lists.active(connection, [CONTACT], number, now)
    for found in (few.suppressions.get(CONTACT, []), many.suppressions.get(CONTACT, []), listed):
        assert [row.phone_number_id for row in found] == expected
