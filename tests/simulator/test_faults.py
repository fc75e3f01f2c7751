"""Errors in Meta's words, and how often they occur."""

import pytest

from webhook_app.simulator import faults
from webhook_app.simulator.faults import BACKGROUND, CODES, PROVIDER_DOWN, SimulatedFault
from webhook_app.whatsapp.errors.catalogue import explain


@pytest.mark.parametrize("code", sorted(CODES))
def test_titles_are_those_of_the_catalogue(code):
    assert faults.error_object(code)["title"] == explain(code).title


@pytest.mark.parametrize("code", sorted(CODES))
def test_an_error_has_every_key_that_meta_writes(code):
    error = faults.error_object(code)
    assert list(error) == ["code", "title", "message", "error_data", "href"]
    assert error["code"] == code
    assert error["message"] == error["title"]
    assert error["error_data"]["details"]


def test_every_message_fails_while_the_provider_is_down():
    assert sum(fault.share for fault in PROVIDER_DOWN) == pytest.approx(1)
    drawn = {faults.draw_fault(roll / 1000, PROVIDER_DOWN, "utility") for roll in range(1000)}
    assert drawn == {131000, 131016, 131026, 135000}


@pytest.mark.parametrize(
    ("roll", "category", "code"),
    [
        (0.00, "marketing", 1),
        (0.09, "marketing", 1),
        (0.11, "marketing", 2),
        (0.31, "marketing", None),
        (0.00, "utility", 2),
        (0.21, "utility", None),
    ],
)
def test_a_fault_has_its_share_of_its_categories(roll, category, code):
    assert (
        faults.draw_fault(roll, (SimulatedFault(1, 0.1, ("marketing",)), SimulatedFault(2, 0.2)), category)
        == code
    )


def test_no_background_code_needs_immediate_attention():
    assert not [fault for fault in BACKGROUND if explain(fault.code).attention == "page"]
