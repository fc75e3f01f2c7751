"""Stored API calls contain no credentials."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.whatsapp.sends.call_redaction import REDACTED, without_credentials

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
