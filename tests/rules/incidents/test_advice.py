"""One incident, one advice: from its leading cause, and for an outage at Meta never to remove anybody."""

import pytest

from webhook_app.rules.incidents.advice import advise


@pytest.mark.parametrize(
    ("codes", "numbers"), [([131016], 2), ([131016, 131000], 1), ([2, 131000], 1), ([131016, 131026], 500)]
)
def test_platform_codes_on_several_numbers_or_several_of_them_are_a_suspected_outage(
    codes: list[int], numbers: int
) -> None:
    advice = advise(codes, numbers)
    assert advice.suspected_outage
    assert "remove no contacts" in advice.text


@pytest.mark.parametrize(
    ("codes", "numbers"), [([131016], 1), ([131026], 40), ([131042], 9), ([132015, 131000, 131016], 2)]
)
def test_any_other_cause_has_the_advice_of_its_leading_code(codes: list[int], numbers: int) -> None:
    advice = advise(codes, numbers)
    assert not advice.suspected_outage
    assert advice.text == advise(codes[:1], 1).text


def test_an_incident_without_codes_keeps_the_advice_of_its_kind() -> None:
    assert advise([], 3, "Check the subscription.").text == "Check the subscription."
