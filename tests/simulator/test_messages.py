"""The statuses of one message, in Meta's shape."""

import base64
import json
import random
from collections import Counter
from datetime import UTC, datetime

import pytest

from webhook_app.simulator.messages import (
    LOGIN_CODE,
    NUMBERS,
    OUTCOMES,
    REPLY,
    SEASONAL_OFFER,
    SimulatedMessage,
    draw_outcome,
    status_events,
    wamid,
)
from webhook_app.simulator.people import Person

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WITH_PHONE = Person("12025550117", "US.70411938265500174423", "Contact 1", "contact.1", "US", True, 0)
WITHOUT_PHONE = Person("", "FR.55820917364400918273", "Contact 2", "contact.2", "FR", True, 0)
CODE = 131000


def message(person=WITH_PHONE, template=SEASONAL_OFFER, number=NUMBERS[0]):
    return SimulatedMessage(wamid(random.Random(1), person), number, person, template, "autumn", NOW)


def many_messages(code=None, count=300, **parts):
    rng = random.Random(3)
    return [status_events(rng, message(**parts), code) for _ in range(count)]


def statuses(code=None, **parts):
    return [event.status for events in many_messages(code, **parts) for event in events]


def test_the_same_seed_gives_the_same_statuses():
    assert many_messages(count=20) == many_messages(count=20)


def test_every_sequence_of_statuses_is_a_known_outcome():
    seen = {
        tuple(event.status["status"] for event in events) for events in many_messages() + many_messages(CODE)
    }
    assert seen == set(OUTCOMES.values())


def test_a_message_fails_if_and_only_if_it_has_an_error_code():
    assert all(status["status"] != "failed" for status in statuses())
    assert all(any(event.status["status"] == "failed" for event in events) for events in many_messages(CODE))


def test_a_number_without_whatsapp_is_never_delivered_on_another_device():
    rng = random.Random(4)
    assert all("delivered" not in draw_outcome(rng, 131026) for _ in range(500))


def test_most_healthy_messages_are_delivered_and_a_few_get_no_further_status():
    rng = random.Random(5)
    counts = Counter(draw_outcome(rng, None) for _ in range(4000))
    assert counts[OUTCOMES["delivered and read"]] / 4000 == pytest.approx(0.60, abs=0.03)
    assert counts[OUTCOMES["read at once"]] / 4000 == pytest.approx(0.09, abs=0.02)
    assert counts[OUTCOMES["silent"]] / 4000 == pytest.approx(0.05, abs=0.02)


def test_timestamps_are_text_in_seconds_and_never_go_back():
    for events in many_messages() + many_messages(CODE):
        times = [event.status["timestamp"] for event in events]
        assert all(type(time) is str for time in times)
        assert times == sorted(times)
        assert times == [str(int(event.due.timestamp())) for event in events]
        assert events[0].due > NOW


def test_a_message_id_is_base64_that_contains_the_digits_of_the_person():
    identifier = wamid(random.Random(1), WITH_PHONE)
    record = base64.b64decode(identifier.removeprefix("wamid."), validate=True)
    assert identifier.startswith("wamid.HBgLMTIwMjU1NTAxMTcVAgARGB")  # as in Meta's own samples
    assert record[2:14] == b"\x0b12025550117"


def test_message_ids_differ():
    rng = random.Random(1)
    assert len({wamid(rng, WITH_PHONE) for _ in range(1000)}) == 1000


def test_a_status_has_the_keys_of_graph_v24():
    for status in statuses():
        assert {"id", "status", "timestamp", "recipient_id", "recipient_user_id"} <= set(status)
        assert "conversation" not in status
        assert "errors" not in status


def test_a_failed_status_to_a_phone_has_no_user_id():
    failed = [status for status in statuses(CODE) if status["status"] == "failed"]
    assert all(status["recipient_id"] == "12025550117" for status in failed)
    assert all("recipient_user_id" not in status and "pricing" not in status for status in failed)
    assert all(status["errors"][0]["code"] == CODE for status in failed)


def test_without_a_phone_there_is_only_the_user_id():
    for status in statuses(person=WITHOUT_PHONE) + statuses(CODE, person=WITHOUT_PHONE):
        assert "recipient_id" not in status
        assert status["recipient_user_id"] == WITHOUT_PHONE.user_id


def test_pricing_comes_with_sent_and_with_the_first_delivered_or_read():
    for events in many_messages():
        priced = [event.status["status"] for event in events if "pricing" in event.status]
        assert priced == [event.status["status"] for event in events][:2]


@pytest.mark.parametrize(
    ("template", "pricing"),
    [
        (SEASONAL_OFFER, (True, "marketing", "regular")),
        (LOGIN_CODE, (True, "authentication", "regular")),
        (REPLY, (False, "service", "free_customer_service")),
    ],
)
def test_pricing_follows_the_category(template, pricing):
    found = status_events(random.Random(1), message(template=template), None)[0].status["pricing"]
    assert (found["billable"], found["category"], found["type"]) == pricing
    assert found["pricing_model"] == "PMP"


def test_callback_data_is_json_or_pairs_as_the_number_writes_it():
    as_json, as_pairs = (
        statuses(count=1, number=number)[0]["biz_opaque_callback_data"] for number in (NUMBERS[0], NUMBERS[2])
    )
    assert json.loads(as_json) == {"template": "seasonal_offer", "campaign": "autumn"}
    assert as_pairs == "template=seasonal_offer;campaign=autumn"


def test_a_reply_carries_no_callback_data():
    assert all("biz_opaque_callback_data" not in status for status in statuses(template=REPLY))
