"""Stored API calls contain no credentials and no text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.whatsapp.sends.call_redaction import REDACTED, redacted_request, without_credentials

TOKEN = "EAAJZC1abcDEF" + "9xY" * 40


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ({"access_token": "anything"}, "anything"),
        ({"Access-Token": "anything"}, "anything"),
        ({"headers": {"Authorization": "Basic abc"}}, "abc"),
        ({"message": f"Malformed access token {TOKEN}"}, TOKEN),
        ({"message": "Bearer abc.def is not valid"}, "abc.def"),
        ({"url": "https://graph.facebook.com/v23.0/1/messages?access_token=abc.def&x=1"}, "abc.def"),
        ({"message": "app token 1234567890123|abcDEFghiJKL-mno"}, "abcDEFghiJKL"),
        ({"pin": 123456}, "123456"),
        ({"deep": [{"client_secret": "abc"}]}, "abc"),
        ({TOKEN: 1}, TOKEN),
    ],
)
def test_credentials_are_removed(value, secret):
    kept = json.dumps(without_credentials(value))
    assert secret not in kept
    assert REDACTED in kept


def test_everything_else_is_unchanged():
    value = {
        "message": "(#100) Invalid parameter",
        "code": 100,
        "list": [1, None, True],
        "token": None,
        "pin": "",
    }
    assert without_credentials(value) == value


def test_a_request_keeps_its_structure_but_no_text():
    request = {
        "messaging_product": "whatsapp",
        "to": "12025550117",
        "type": "template",
        "template": {
            "name": "order_update",
            "language": {"policy": "deterministic", "code": "en_US"},
            "components": [
                {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://x/y?sig=1"}}]},
                {
                    "type": "body",
                    "parameters": [{"type": "text", "text": "Anna"}, {"type": "text", "text": ""}],
                },
                {"type": "button", "sub_type": "url", "index": "0", "parameters": []},
            ],
        },
    }
    kept = redacted_request(request)
    assert kept["to"] == "[11 characters]"
    header, of_body, button = kept["template"]["components"]
    assert header["parameters"][0] == {"type": "image", "image": {"link": "[17 characters]"}}
    assert of_body["parameters"] == [{"type": "text", "text": "[4 characters]"}, {"type": "text", "text": ""}]
    assert button == request["template"]["components"][2]
    assert (kept["template"]["name"], kept["template"]["language"]["code"]) == ("order_update", "en_US")


def test_free_text_is_replaced_by_its_length():
    request = {
        "type": "text",
        "text": {"body": "Dear Anna", "preview_url": False},
        "contacts": [{"name": {"formatted_name": "Anna"}}],
        "biz_opaque_callback_data": "customer=Anna",
    }
    assert "Anna" not in json.dumps(redacted_request(request))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_redaction_accepts_any_value_and_is_idempotent(value):
    once = without_credentials(value)
    assert without_credentials(once) == once
    redacted_request(value)
