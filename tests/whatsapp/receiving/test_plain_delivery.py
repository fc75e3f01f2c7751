"""The fast parser gives the same result as the full one, or None."""

import json
from itertools import permutations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.folders import PAYLOADS
from webhook_app.whatsapp.receiving.payload import parse_any
from webhook_app.whatsapp.receiving.plain_delivery import read_plain

SAMPLES = sorted(PAYLOADS.glob("*.json"))
ORDINARY = """
batch_out_of_order_and_duplicate status_delivered status_delivered_bsuid_only status_failed_bsuid_recipient
status_failed_healthy_ecosystem_131049 status_failed_two_errors status_failed_undeliverable_131026 status_played
status_read status_sent status_sent_minimal
"""


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_both_parsers_agree_on_every_sample(path):
    body = path.read_bytes()
    plain = read_plain(body)
    assert plain is None or plain == parse_any(body)


@pytest.mark.parametrize("name", ORDINARY.split())
def test_ordinary_deliveries_take_the_fast_path(name):
    body = next(path for path in SAMPLES if path.stem == name).read_bytes()
    assert read_plain(body) is not None


ODD = st.sampled_from(
    [
        *(None, "", 0, 1, True, 1.5, -1, 10**30, [], {}, ["x"], [7]),
        *({"category": 1}, {"category": "a-b"}, {"origin": {"type": "x"}}),
        *(
            "x" * 70,
            "9" * 300,
            "w" * 600,
            "+49 170 1",
            "٤٩١٧٠",
            "4917012345",
            "5511987654321",
            "551187654321",
        ),
        *("US.123", "us.ENT.9", "a\0b", "\ud800", "1760000000", "1760000000000", "99999999999"),
        *(
            "payment",
            "captured",
            "RINGING",
            "wacid.A",
            "group",
            "sent",
            "failed",
            "deleted",
            "template=a;campaign=b",
            '{"template": "t"}',
        ),
        *(
            [{"code": 131026, "title": "t", "error_data": {"details": "d"}}],
            [{"code": "131026"}],
            [{"code": 10**40}],
        ),
    ]
)
STATUS_KEYS = """
id status timestamp recipient_id recipient_user_id recipient_parent_user_id parent_recipient_user_id
biz_opaque_callback_data pricing conversation errors recipient_type type payment unknown
"""
CONTACT_KEYS = "wa_id user_id parent_user_id profile"
VALUE_KEYS = "metadata contacts statuses messaging_product errors messages field"


def _with(base: dict[str, object], keys: str) -> st.SearchStrategy[dict[str, object]]:
    """Generate the base with a few of its keys removed or set to unusual values."""
    changes = st.dictionaries(st.sampled_from(keys.split()), st.one_of(st.just("left out"), ODD), max_size=3)
    return changes.map(lambda odd: {k: v for k, v in (base | odd).items() if v != "left out"})


ORDINARY_STATUS = {
    "id": "wamid.A",
    "status": "delivered",
    "timestamp": "1760000000",
    "recipient_id": "491701234567",
}
STATUS = _with(ORDINARY_STATUS, STATUS_KEYS)
CONTACT = _with({"wa_id": "491701234567", "user_id": "DE.42"}, CONTACT_KEYS)
ORDINARY_VALUE = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "1"}}
VALUE = st.builds(
    lambda statuses, contacts, odd: ORDINARY_VALUE | {"statuses": statuses, "contacts": contacts} | odd,
    st.lists(STATUS, max_size=3),
    st.lists(CONTACT, max_size=3),
    st.one_of(st.just({}), st.dictionaries(st.sampled_from(VALUE_KEYS.split()), ODD, max_size=1)),
)


@settings(max_examples=400, deadline=None)
@example(
    value=ORDINARY_VALUE
    | {
        "statuses": [ORDINARY_STATUS | {"recipient_type": None}],
        "contacts": [{"user_id": "DE.42"}],
    },
    waba_id="384610027715590",
    field="messages",
)
@given(
    VALUE,
    st.sampled_from(["384610027715590", "0", "", "1" * 70]),
    st.sampled_from(["messages", "calls", None]),
)
def test_both_parsers_agree_on_unusual_deliveries(value, waba_id, field):
    document = {
        "object": "whatsapp_business_account",
        "entry": [{"id": waba_id, "changes": [{"field": field, "value": value}]}],
    }
    body = json.dumps(document).encode()
    plain = read_plain(body)
    assert plain is None or plain == parse_any(body)


PEOPLE = [("491701234567", "DE.1"), ("12025550117", "US.2"), ("12025550118", ""), ("551187654321", "BR.4")]


@pytest.mark.parametrize("named", [each for size in range(5) for each in permutations(PEOPLE, size)])
def test_both_parsers_agree_whichever_contacts_a_delivery_names_in_whatever_order(named):
    statuses = [
        {"id": f"wamid.{phone}", "status": "sent", "timestamp": "1760000000", "recipient_id": phone}
        | ({"recipient_user_id": user} if user else {})
        for phone, user in (*PEOPLE[:3], ("12025550118", "US.9"))
    ]
    contacts = [{"wa_id": phone, **({"user_id": user} if user else {})} for phone, user in named]
    value = ORDINARY_VALUE | {"statuses": statuses, "contacts": contacts}
    change = {"field": "messages", "value": value}
    document = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
    body = json.dumps(document).encode()
    assert read_plain(body) == parse_any(body)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b'{"object":"whatsapp_business_account","entry":' + b"[" * 100_000]
)
def test_invalid_bodies_are_left_to_the_full_parser(body):
    assert read_plain(body) is None
