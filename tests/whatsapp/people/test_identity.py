"""Links between the keys of one person in one webhook."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.factories import body, document, message, status, value
from tests.support.folders import PAYLOADS
from webhook_app.whatsapp.events import NumberChange
from webhook_app.whatsapp.people.identity import links_in, read_number_change
from webhook_app.whatsapp.receiving.payload import parse

PHONE, NEW_PHONE = "12025550117", "12025550129"
USER, NEW_USER = "US.70411938265500174423", "US.18273645500918273645"
PARENT = "US.ENT.33915500274618830291"
PERSON = {"wa_id": PHONE, "user_id": USER, "parent_user_id": PARENT}


def system(**fields):
    return {"id": "wamid.S", "timestamp": "1793000710", "type": "system"} | fields


@pytest.mark.parametrize(
    ("fields", "links"),
    [
        ({"contacts": [PERSON]}, {(USER, PHONE), (PARENT, PHONE)}),
        ({"contacts": [{"user_id": USER, "parent_user_id": PARENT}]}, {(PARENT, USER)}),
        ({"contacts": [{"wa_id": "551161234567", "user_id": "br.7"}]}, {("BR.7", "5511961234567")}),
        ({"contacts": [{"wa_id": PHONE}]}, set()),
        (
            {"messages": [{"from": PHONE, "from_user_id": USER, "from_parent_user_id": PARENT}]},
            {(USER, PHONE), (PARENT, PHONE)},
        ),
        ({"calls": [{"from": PHONE, "from_user_id": USER}]}, {(USER, PHONE)}),
        ({"user_preferences": [PERSON]}, {(USER, PHONE), (PARENT, PHONE)}),
        (  # an older status without BSUID and a contact with both keys
            {"contacts": [{"wa_id": PHONE, "user_id": USER}], "statuses": [status(recipient=PHONE)]},
            {(USER, PHONE)},
        ),
        (  # a status with only a BSUID and a contact with only a number
            {"contacts": [{"wa_id": PHONE}], "statuses": [status(recipient="", recipient_user_id=USER)]},
            {(USER, PHONE)},
        ),
        (  # WhatsApp uses another number
            {"contacts": [{"wa_id": NEW_PHONE}], "statuses": [status(recipient=PHONE)]},
            {(NEW_PHONE, PHONE)},
        ),
        (  # two people in one value cannot be matched
            {
                "contacts": [{"wa_id": PHONE}, {"wa_id": NEW_PHONE}],
                "statuses": [status(recipient="4917100000")],
            },
            set(),
        ),
        (
            {
                "contacts": [{"wa_id": PHONE}],
                "statuses": [status(recipient="R3JvdXA=", recipient_type="group")],
            },
            set(),
        ),
    ],
)
def test_a_value_links_the_keys_of_one_person(fields, links):
    assert set(links_in(fields)) == links


@pytest.mark.parametrize(
    ("cards", "links"),
    [
        ([{"phones": [{"phone": "+1 202-555-0117"}]}], {(USER, PHONE)}),
        ([{"phones": [{"phone": "(202) 555-0117", "wa_id": PHONE}]}], {(USER, PHONE)}),
        ([{"phones": [{"phone": "+12025550117"}, {"phone": "+12025550129"}]}], set()),
        ([{"phones": [{"phone": "+12025550117"}]}, {"phones": []}], set()),
        ("no list", set()),
    ],
)
def test_a_number_shared_on_request_is_linked_to_the_sender(cards, links):
    shared = {"type": "contacts", "from_user_id": USER, "origin": "contact_request", "contacts": cards}
    assert set(links_in({"messages": [shared]})) == links


def test_a_card_shared_on_request_by_a_sender_with_another_number_links_nothing_else():
    cards = [{"phones": [{"wa_id": "12025550199"}]}]
    shared = {"type": "contacts", "from_user_id": USER, "origin": "contact_request", "contacts": cards}
    assert set(links_in({"messages": [shared | {"from": PHONE}]})) == {(USER, PHONE)}


def test_an_unrequested_contact_card_links_nothing():
    card = {"type": "contacts", "from_user_id": USER, "contacts": [{"phones": [{"phone": "+12025550117"}]}]}
    assert set(links_in({"messages": [card]})) == set()


@pytest.mark.parametrize(
    ("sample", "links"),
    [
        (
            "message_system_user_changed_number",
            {(USER, PHONE), (NEW_USER, NEW_PHONE), (PHONE, NEW_PHONE)},
        ),
        (
            "message_system_user_changed_user_id",
            {
                ("US.ENT.33915500274618830291", "US.55820917364400918273"),
                ("US.ENT.10203040506070809010", "US.77665544332211009988"),
                ("US.55820917364400918273", "US.77665544332211009988"),
            },
        ),
        ("message_contacts_request_contact_info", {("US.55820917364400918273", "12025550168")}),
        ("calls_status_ringing", {(USER, PHONE)}),
        ("user_preferences_signup", {(USER, PHONE)}),
    ],
)
def test_the_samples_give_their_links(sample, links):
    assert parse((PAYLOADS / f"{sample}.json").read_bytes()).links.keys() == links


def test_a_failed_status_alone_links_nothing_and_keeps_its_recipient():
    by_phone = status(status="failed", code=131026)
    by_user_id = status(status="failed", recipient="", recipient_user_id=USER)
    parsed = parse(body(by_phone, by_user_id))
    assert parsed.links == {}
    assert [event.contact for event in parsed.statuses] == [PHONE, USER]


@pytest.mark.parametrize(
    ("sender", "fields", "old", "new"),
    [
        (PHONE, {"type": "user_changed_number", "wa_id": NEW_PHONE}, PHONE, NEW_PHONE),
        (PHONE, {"type": "customer_changed_number", "new_wa_id": NEW_PHONE}, PHONE, NEW_PHONE),
        (
            "551161234567",
            {"type": "user_changed_number", "wa_id": "5521961234567"},
            "5511961234567",
            "5521961234567",
        ),
        (PHONE, {"type": "user_changed_number", "user_id": NEW_USER}, PHONE, NEW_USER),
        (
            None,
            {"type": "user_changed_user_id", "previous_user_id": USER, "user_id": NEW_USER},
            USER,
            NEW_USER,
        ),
        (  # the same phone
            PHONE,
            {"type": "user_changed_user_id", "wa_id": PHONE, "previous_user_id": USER, "user_id": NEW_USER},
            USER,
            NEW_USER,
        ),
        (  # only one phone is given
            PHONE,
            {"type": "user_changed_user_id", "previous_user_id": USER, "user_id": NEW_USER},
            USER,
            NEW_USER,
        ),
    ],
)
def test_a_system_message_gives_the_old_and_the_new_key(sender, fields, old, new):
    item = system(system=fields) | ({"from": sender} if sender else {})
    assert read_number_change(item, "1", "2") == NumberChange("wamid.S", "2", "1", 1793000710, old, new)


def test_a_change_to_a_variant_of_the_same_number_is_rejected():
    fields = {"type": "user_changed_number", "wa_id": "5511961234567"}
    with pytest.raises(ValueError, match="without an old and a new key"):
        read_number_change(system(system=fields) | {"from": "551161234567"}, "1", "2")


@pytest.mark.parametrize("fields", [{"type": "customer_identity_changed"}, {}, None, "text", {"type": ["a"]}])
def test_other_system_messages_are_ignored(fields):
    assert read_number_change(system(system=fields), "1", "2") == "system message"


def test_an_incomplete_change_is_quarantined():
    parsed = parse(body(messages=[system(system={"type": "user_changed_number"}) | {"from": PHONE}]))
    assert [item.reason for item in parsed.unreadable] == [
        "messages: user_changed_number without an old and a new key"
    ]


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([PHONE, USER, PARENT]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("wa_id", "user_id", "from", "from_user_id", "type", "system", "origin", "contacts", "phones")
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["contacts", "messages", "calls", "user_preferences", "statuses"]), odd)
)
def test_any_value_gives_links_of_two_keys_or_none(fields):
    for one, other in links_in(fields):
        assert one
        assert other
        assert one != other
    parse(json.dumps(document(value(**fields))).encode())


def test_ordinary_messages_link_nobody():
    parsed = parse(body(messages=[message(sender=PHONE), message("wamid.2", sender=NEW_PHONE)]))
    assert parsed.links == {}
