"""Which send fails with which code, and whether the answer or a webhook says so."""

import pytest

from webhook_app.simulator.graph_api.triggers import Triggers, is_in_the_answer, read_triggers
from webhook_app.whatsapp.errors.catalogue import catalogue


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        *(("4915100131026", 131026), ("4915100990190", 190), ("4915100990004", 4), ("4915100080007", 80007)),
        *(("4915112345678", None), ("4915100000190", None), ("4915100000004", None), ("4915100990900", None)),
        *(("US.131026", 131026), ("US.1", None), ("131026", 131026), ("", None), ("US.١٣١٠٢٦", None)),
    ],
)
def test_the_last_six_digits_of_a_recipient_can_be_a_code_and_short_ones_follow_99(recipient, code):
    assert Triggers().code_for(recipient, 0.0) == code


def test_the_list_goes_before_the_ending_and_the_ending_before_the_rates():
    triggers = read_triggers(["+49 151 00131026=131049"], ["131016=1"])
    assert triggers.code_for("4915100131026", 0.0) == 131049
    assert triggers.code_for("4915200131026", 0.0) == 131026
    assert triggers.code_for("4915112345678", 0.999) == 131016


@pytest.mark.parametrize(
    ("errors", "rates"),
    [
        *((["131026"], []), (["=131026"], []), (["+4915100=abc"], []), (["+4915100=-1"], [])),
        *(
            ([], ["131026"]),
            ([], ["131026=x"]),
            ([], ["131026=1.5"]),
            ([], ["1=0.6", "2=0.6"]),
            ([], ["1=nan"]),
        ),
    ],
)
def test_a_trigger_that_cannot_be_read_is_refused(errors, rates):
    with pytest.raises(ValueError, match=r"such as|shares"):
        read_triggers(errors, rates)


def test_codes_come_as_the_catalogue_says():
    by_surface = {each.code: each.surface for each in catalogue() if each.subcode is None}
    for code, surface in by_surface.items():
        if surface in ("sync", "webhook"):
            assert is_in_the_answer(code) == (surface == "sync"), code
    both = {code for code, surface in by_surface.items() if surface == "both"}
    assert {code for code in both if not is_in_the_answer(code)} == {
        *(130497, 131000, 131026, 131031, 131042, 131045, 131047, 131048, 131053, 135000)
    }


def test_a_code_that_the_catalogue_does_not_list_comes_by_webhook():
    assert read_triggers(["+4915100000001=199999"], []).code_for("4915100000001", 0.0) == 199999
    assert not is_in_the_answer(199999)
