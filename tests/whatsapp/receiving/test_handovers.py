"""Handovers of conversations: who owns it now, whose it is, and nothing of what the other app wrote."""

import json

import pytest

from tests.support.factories import NUMBER, WABA, document, handed_over, handover
from webhook_app.whatsapp.events import Handover
from webhook_app.whatsapp.receiving.payload import parse
from webhook_app.whatsapp.receiving.plain_delivery import TEST_NUMBER

PHONE, USER = "12025550117", "US.55820917364400918273"


def only(value):
    (found,) = parse(handed_over(value)).handovers
    return found


def test_a_handover_names_the_number_the_person_the_time_and_the_new_owner():
    assert only(handover("control_taken", role="escalation")) == Handover(
        NUMBER, WABA, 1_793_000_000, PHONE, "1793000000", is_ours=False, owner="escalation"
    )


@pytest.mark.parametrize(
    ("details", "role"),
    [
        ({"new_owner_role": "AI_AGENT"}, "ai_agent"),
        ({"new_owner_app_role": "META_AI"}, "ai_agent"),
        ({"new_owner_app_role": "meta_business_agent"}, "ai_agent"),
        ({"new_owner_app_role": "ESCALATION"}, "escalation"),
        ({"new_owner_role": "a_new_role", "new_owner_app_role": "META_AI"}, "a_new_role"),
        ({"new_owner_role": "r" * 300}, "r" * 40),
        ({"new_owner_role": 7}, ""),
        ({}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_the_role_of_the_owner_has_one_name_and_a_bounded_length(details, role):
    assert only(handover(control_passed=details)).owner == role


@pytest.mark.parametrize(
    ("sender", "contact"),
    [
        ({"phone_number": "+1 202 555 0117"}, PHONE),
        ({"phone_number": "551187654321", "wa_id": "551187654321"}, "5511987654321"),
        ({"wa_id": PHONE, "user_id": USER}, PHONE),
        ({"user_id": USER}, USER),
    ],
)
def test_the_person_has_the_key_of_their_messages(sender, contact):
    assert only(handover() | {"sender": sender}).contact == contact


def test_a_handover_that_shows_two_keys_of_a_person_links_them():
    found = parse(handed_over(handover() | {"sender": {"phone_number": PHONE, "user_id": USER}}))
    assert found.links == {(USER, PHONE): 1_793_000_000}


@pytest.mark.parametrize("kind", ["control_passed", "control_taken"])
def test_without_a_type_or_a_field_the_object_says_what_happened(kind):
    value = handover(kind)
    del value["type"]
    without_field = document(value)
    del without_field["entry"][0]["changes"][0]["field"]
    (found,) = parse(json.dumps(without_field).encode()).handovers
    assert found.is_ours is (kind == "control_passed")


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "control_released"}, {"type": {}}, {"type": None, "control_taken": {}}, {"recipient": None},
        {"recipient": {}}, {"sender": {"phone_number": "nobody"}}, {"sender": []},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_quarantined_alone_and_can_be_read_again(changed):
    found = parse(handed_over(handover() | changed, handover("control_taken")))
    assert len(found.handovers) == 1
    (unreadable,) = found.unreadable
    assert unreadable.reason.startswith("messaging_handovers: ")
    again = parse(unreadable.document_json.encode())
    assert [(each.reason, each.item_json) for each in again.unreadable] == [
        (unreadable.reason, unreadable.item_json)
    ]


def test_handovers_without_a_usable_time_are_told_apart_by_their_body():
    one, other = (only(handover(at="soon", role=role)) for role in ("escalation", "ai_agent"))
    assert one.timestamp is None
    assert one.raw_timestamp != other.raw_timestamp
    assert only(handover(at="soon", role="escalation")) == one


def test_meta_s_test_of_a_webhook_is_ignored():
    assert parse(handed_over(handover(number=TEST_NUMBER))).ignored == {"dashboard test": 1}
