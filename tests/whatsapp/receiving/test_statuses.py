"""Caches of parsed values: what a body holds must not stay in memory."""

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.factories import body, message, status
from webhook_app.pipeline.receiving.batch_writer import Delivery

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
