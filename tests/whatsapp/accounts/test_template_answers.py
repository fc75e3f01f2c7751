"""Templates of the Graph API: parameters are counted per component, and odd answers are empty, never an exception."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.whatsapp.accounts.template_answers import (
    TemplatePart,
    count_parameters,
    describe_parts,
    fixed_length,
    placeholders,
    read_parts,
    read_template,
)

NAMES = (
    "id", "name", "language", "status", "category", "components", "quality_score", "score", "type", "format", "text",
    "buttons", "url", "cards", "limited_time_offer", "correct_category", "parameter_format",
)  # fmt: skip
values = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(("BUTTONS", "CAROUSEL"))
)
json = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)


@given(row=st.dictionaries(st.sampled_from(NAMES), json))
def test_no_answer_raises(row):
    found = read_template(row, "1")
    describe_parts(found.parts)
    assert count_parameters(found.parts) >= 0


def test_the_state_of_a_template_is_read():
    found = read_template(
        {
            "id": "88001", "name": "order_ready", "language": "en_US", "status": "Paused", "category": "UTILITY",
            "correct_category": "MARKETING", "quality_score": {"score": "YELLOW"}, "rejected_reason": "NONE",
            "parameter_format": "NAMED", "components": [{"type": "BODY", "text": "Hi {{name}}"}],
        },
        "5550001",
    )  # fmt: skip
    assert (found.waba_id, found.name, found.language, found.template_id) == (
        "5550001",
        "order_ready",
        "en_US",
        "88001",
    )
    assert (found.status, found.category, found.category_to_come) == ("PAUSED", "UTILITY", "MARKETING")
    assert (found.quality, found.rejected_reason, found.is_named) == ("YELLOW", "", True)
    assert found.parts == (TemplatePart(kind="body", text="Hi {{name}}", parameters=("name",)),)


@pytest.mark.parametrize(
    ("component", "described"),
    [
        ({"type": "HEADER", "format": "TEXT", "text": "Hello {{1}}"}, "header TEXT 1"),
        ({"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["https://x"]}}, "header IMAGE 1"),
        ({"type": "HEADER", "format": "TEXT", "text": "Hello"}, ""),
        ({"type": "HEADER", "format": "LOCATION"}, "header LOCATION 1"),
        ({"type": "body", "text": "{{1}} and {{2}} and {{1}}"}, "body 2"),
        ({"type": "BODY", "text": "{{name}}, {{ no }}"}, "body 2"),
        ({"type": "FOOTER", "text": "Bye"}, ""),
        ({"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY"}, {"type": "URL", "url": "https://a/{{1}}"}]},
         "button 1 URL 1"),
        ({"type": "BUTTONS", "buttons": [{"type": "URL", "url": "https://a"}, {"type": "PHONE_NUMBER"}]}, ""),
        ({"type": "BUTTONS", "buttons": [{"type": "OTP"}]}, "button 0 OTP 1"),
        ({"type": "BUTTONS", "buttons": [{"type": "COPY_CODE"}, {"type": "FLOW"}]}, "button 0 COPY_CODE 1"),
        ({"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"has_expiration": True}}, "limited_time_offer 1"),
        ({"type": "CAROUSEL", "cards": [{"components": [{"type": "HEADER", "format": "IMAGE"}]}] * 2},
         "card 0 (header IMAGE 1), card 1 (header IMAGE 1)"),
        ({"type": "CALL_PERMISSION_REQUEST"}, ""),
    ],
)  # fmt: skip
def test_what_a_send_must_fill_is_counted_per_component(component, described):
    assert describe_parts(tuple(read_parts([component]))) == described


def test_placeholders_count_once_and_numbers_come_in_their_order():
    assert placeholders("{{2}} {{10}} {{1}} {{2}}") == ("1", "2", "10")
    assert placeholders("{{no}} {{name}} {{no}}") == ("no", "name")
    assert fixed_length("Hi {{name}}!") == 4
