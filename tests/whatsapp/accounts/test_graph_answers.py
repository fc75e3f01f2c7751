"""Answers of the Graph API: what is missing, new or of another type is empty, never an exception."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.whatsapp.accounts import graph_answers

NAMES = (
    "data", "error", "granular_scopes", "target_ids", "scope", "scopes", "fields", "name", "expires_at", "id", "code",
    "whatsapp_business_api_data", "quality_score", "throughput", "webhook_configuration", "health_status", "entities",
    "errors", "additional_info", "error_code", "message",
)  # fmt: skip
values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
)
json = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)


@given(
    answer=st.dictionaries(st.sampled_from(("data", "error", "health_status", "webhook_configuration")), json)
)
def test_no_answer_raises(answer):
    graph_answers.read_token(answer)
    graph_answers.read_account(answer)
    graph_answers.read_number(answer, "1")
    graph_answers.read_health(answer)
    graph_answers.read_error(answer)


@given(found=st.lists(json, max_size=3))
def test_no_rows_raise(found):
    graph_answers.read_subscriptions(found)
    graph_answers.read_account_apps(found)


@pytest.mark.parametrize("value", [0, None, "0", -5, 2**40, True])
def test_a_time_that_is_no_time_means_never(value):
    assert graph_answers.read_token({"data": {"expires_at": value}}).expires_at is None


def test_a_token_without_targets_reaches_every_account():
    found = graph_answers.read_token(
        {"data": {"granular_scopes": [{"scope": "a"}, {"scope": "b", "target_ids": [1, "2"]}]}}
    )
    assert found.targets == {"b": {"1", "2"}}


def test_the_message_for_people_is_added_to_meta_s_error():
    fault = graph_answers.read_error(
        {"error": {"message": "Invalid", "error_user_msg": "Try later", "code": 1}}
    )
    assert (fault.code, fault.message) == (1, "Invalid (Try later)")
