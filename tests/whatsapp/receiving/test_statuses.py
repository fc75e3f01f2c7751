"""Caches of parsed values: what a body holds must not stay in memory."""

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.factories import body, message, status
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.whatsapp.people.identity import links_of, links_to_recipient
from webhook_app.whatsapp.receiving.statuses import keys_and_country, read_callback

NOW = datetime(2026, 11, 1, tzinfo=UTC)
_SIZE = 400_000


def sent(**more: Any) -> bytes:
    return body(status("wamid.A", "sent", NOW, **({"recipient": "12025550117"} | more)))


def with_contact(text: str, **keys: str) -> bytes:
    return body(status("wamid.A", "sent", NOW), contacts=[dict.fromkeys(keys, text) | {"profile": {}}])


LONG: dict[str, Callable[[str], bytes]] = {
    "recipient": lambda text: sent(recipient=text),
    "user id of the recipient": lambda text: sent(recipient_user_id=text),
    "wa_id of a contact": lambda text: with_contact(text, wa_id=""),
    "user ids of a contact": lambda text: with_contact(text, user_id="", parent_user_id=""),
    "callback data": lambda text: sent(biz_opaque_callback_data=text),
    "text of a message": lambda text: body(messages=[message("wamid.M", NOW, text=text)]),
    "sender of a message": lambda text: body(messages=[message("wamid.M", NOW) | {"from": text}]),
}


@pytest.mark.parametrize("place", LONG)
def test_no_long_text_of_a_body_stays_in_a_cache(place):
    bodies = [LONG[place](f"{n}" + "7" * _SIZE) for n in range(1, 9)]
    Delivery(bodies[0])
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for each in bodies[1:]:
        Delivery(each)
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert kept < _SIZE


@pytest.mark.parametrize("text", ["\U0001f600" * 50, "US." + "a" * 140], ids=["not ASCII", "long together"])
def test_texts_that_are_not_ascii_or_long_together_stay_in_no_cache(text):
    def read(number: int) -> None:
        first, second, third, fourth = (f"{text}{number}{n}" for n in range(4))
        keys_and_country(first, second, third)
        links_of(first, second, third)
        links_to_recipient(first, second, third, fourth)
        if not text.isascii():
            read_callback(f"template={first}")

    read(0)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(1, 501):
        read(number)
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert kept < 50_000


def test_what_meta_sends_for_one_person_is_cached():
    person = ("12025550117", "US.70411938265500174423", "US.ENT.70411938265500174424")
    assert links_of(*person) is links_of(*person)
    assert keys_and_country(*person) is keys_and_country(*person)
