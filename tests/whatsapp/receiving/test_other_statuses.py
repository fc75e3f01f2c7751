"""Statuses of payments and calls are no messages, also when their `type` or the field is missing."""

import json

import pytest

from tests.support.factories import NUMBER, WABA, body, status
from webhook_app.whatsapp.receiving.payload import parse

PAYMENT = {"reference_id": "r", "amount": {"value": 100, "offset": 100}, "currency": "INR"}


def without_field(**value):
    change = {"value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": NUMBER}} | value}
    entry = [{"id": WABA, "changes": [change]}]
    return json.dumps({"object": "whatsapp_business_account", "entry": entry}).encode()


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (status("wamid.P", "failed", payment=PAYMENT), "payment status"),
        (status("wamid.P", "pending", payment=PAYMENT), "payment status"),
        (status("wamid.P", "captured", payment=PAYMENT), "payment status"),
        (status("wamid.P", "captured"), "payment status"),
        (status("wamid.P", "failed", type="payment"), "payment status"),
        (status("wacid.C", "RINGING", type="call"), "call status"),
        (status("wacid.C", "ACCEPTED"), "call status"),
        (status("wacid.C", "REJECTED"), "call status"),
        (status("wacid.C", "failed"), "call status"),
        (status("wacid.C", "COMPLETED"), "call status"),
        (status("wamid.C", "RINGING"), "call status"),
    ],
)
def test_they_are_ignored_and_neither_quarantined_nor_counted(item, reason):
    for received in (body(item), without_field(statuses=[item])):
        parsed = parse(received)
        assert (parsed.ignored, parsed.statuses, parsed.unreadable) == ({reason: 1}, [], [])


def test_a_failed_message_beside_them_is_counted():
    parsed = parse(
        body(status("wamid.A", "failed", code=131026), status("wamid.P", "failed", payment=PAYMENT))
    )
    assert [each.message_id for each in parsed.statuses] == ["wamid.A"]
    assert parsed.ignored == {"payment status": 1}


@pytest.mark.parametrize("payment", [None, "", []])
def test_a_message_whose_payment_is_empty_is_a_message(payment):
    assert len(parse(body(status("wamid.A", "failed", code=131026, payment=payment))).statuses) == 1


def test_an_unknown_status_is_still_quarantined():
    assert [each.reason for each in parse(body(status("wamid.A", "queued"))).unreadable] == [
        "statuses: unknown status 'queued'"
    ]


def test_calls_and_preferences_are_recognised_without_a_field():
    call = {"id": "wacid.C", "from": "12025550117", "direction": "USER_INITIATED", "event": "connect"}
    assert [
        each.kind for each in parse(without_field(calls=[call | {"timestamp": "1793000000"}])).inbound
    ] == ["call"]
    preference = {
        "wa_id": "12025550117",
        "value": "stop",
        "category": "marketing_messages",
        "timestamp": 1793000000,
    }
    assert [each.value for each in parse(without_field(user_preferences=[preference])).preferences] == [
        "stop"
    ]
