"""What is stored of a request to Meta: the keys and words of Meta's message format, and lengths."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.whatsapp.sends.request_shape import request_shape

MOST = 8192


def shape(request, most=MOST):
    kept = request_shape(request, most)
    assert len(kept.encode()) <= most
    return json.loads(kept)


def test_a_template_keeps_its_structure_and_no_text():
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
                {"type": "button", "sub_type": "quick_reply", "index": 1, "parameters": []},
            ],
        },
    }
    kept = shape(request)
    assert kept["to"] == "[11 characters]"
    header, of_body, *buttons = kept["template"]["components"]
    assert header["parameters"][0] == {"type": "image", "image": {"link": "[17 characters]"}}
    assert of_body["parameters"] == [{"type": "text", "text": "[4 characters]"}, {"type": "text", "text": ""}]
    assert buttons == request["template"]["components"][2:]
    assert (kept["template"]["name"], kept["template"]["language"]["code"]) == ("order_update", "en_US")


def test_free_text_is_replaced_by_its_length():
    request = {
        "type": "text",
        "text": {"body": "Dear Anna", "preview_url": False},
        "contacts": [{"name": {"formatted_name": "Anna"}}],
        "biz_opaque_callback_data": "customer=Anna",
    }
    kept = shape(request)
    assert "Anna" not in json.dumps(kept)
    assert kept["text"] == {"body": "[9 characters]", "preview_url": False}


def test_numbers_are_not_kept():
    parameters = [{"type": "text", "text": 482913}, {"type": "currency", "currency": {"amount_1000": 100990}}]
    request = {
        "to": 4915112345678,
        "location": {"latitude": 52.520008, "longitude": 10**30},
        "template": {"name": 4915112345678, "components": [{"index": 482913, "parameters": parameters}]},
    }
    kept = shape(request)
    assert kept["to"] == "[number]"
    assert kept["location"] == {"latitude": "[number]", "longitude": "[number]"}
    assert kept["template"]["name"] == kept["template"]["components"][0]["index"] == "[number]"
    assert not any(digits in json.dumps(kept) for digits in ("4915", "52.5", "482913", "100990"))


def test_keys_that_meta_does_not_have_are_counted_only():
    parameters = {"order_of_anna@example.com": {"deep": "Anna"}, "text": "a", "Text": "b"}
    request = {"access_token": "EAAJ", "template": {"components": [{"parameters": [parameters]}]}}
    kept = shape(request)
    assert kept["[unknown keys]"] == 1
    assert kept["template"]["components"][0]["parameters"] == [
        {"text": "[1 characters]", "[unknown keys]": 2}
    ]


def test_what_does_not_fit_loses_its_inner_parts_first():
    card = {"card_index": 0, "components": [{"type": "body", "parameters": [{"type": "text", "text": "a"}]}]}
    carousel = {"type": "carousel", "cards": [card | {"card_index": n} for n in range(10)]}
    request = {
        "type": "template",
        "template": {"name": "offer", "language": {"code": "en"}, "components": [carousel]},
    }
    assert shape(request)["template"]["components"][0]["cards"][9] == {
        "card_index": 9,
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "[1 characters]"}]}],
    }
    small = shape(request, 300)["template"]
    assert (small["name"], small["language"]) == ("offer", {"code": "en"})
    assert small["components"] == [{"type": "carousel", "cards": "[10 items]"}]
    assert shape(request, 20) == "[2 keys]"


def test_of_a_long_list_the_beginning_is_kept():
    kept = shape({"contacts": [{"phones": []}] * 257})
    assert kept["contacts"][-2:] == [{"phones": []}, "[207 more items]"]


@pytest.mark.parametrize(
    "request_",
    [
        {"contacts": [[[]] * 100] * 200},
        {"template": {"components": [{"type": "x" * 190}] * 300}},
        {"template": {"name": "é" * 200}, "type": "\ud800\0" * 90},
    ],
)
def test_the_size_and_the_time_are_limited(request_):
    began = time.process_time()
    shape(request_)
    shape(request_, 100)
    assert time.process_time() - began < 0.5


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text() | st.sampled_from(["template", "name", "components"]), inner)
        ),
        max_leaves=20,
    )
)
def test_any_value_has_a_shape(value):
    shape({"template": value})
