"""Which alerts a silence matches, and which matchers are refused."""

import pytest

from webhook_app.rules.incidents.silences import is_silenced, matcher_fault

FACTS = {"rule": "r", "kind": "rate", "severity": "warning", "code": 131026, "phone_number_id": "1066"}


@pytest.mark.parametrize(
    ("matchers", "silenced"),
    [
        ({"rule": "r"}, True),
        ({"rule": "other"}, False),
        ({"code": 131026, "phone_number_id": "1066"}, True),
        ({"code": 131026, "phone_number_id": "1067"}, False),
        ({"severity": "warning"}, True),
        ({"template": "spring"}, False),
        ({"template": ""}, False),
        ({}, False),
    ],
)
def test_every_matcher_must_hold_and_none_matches_nothing(matchers, silenced):
    assert is_silenced(matchers, FACTS) is silenced


@pytest.mark.parametrize(
    ("matchers", "fault"),
    [
        ({}, "name at least one"),
        ({"contact": "x"}, "'contact' is not one of"),
        ({"code": "131026"}, "code must be a number"),
        ({"code": True}, "code must be a number"),
        ({"rule": 1}, "rule must be a text"),
        ({"kind": "rates"}, "kind must be one of"),
        ({"severity": "loud"}, "severity must be one of"),
        ({"template": "a\0"}, "template must be a text of up to"),
    ],
)
def test_matchers_that_could_never_hold_are_refused(matchers, fault):
    assert fault in matcher_fault(matchers)


def test_good_matchers_have_no_fault():
    assert matcher_fault({"rule": "r", "code": -1, "kind": "spike", "severity": "info", "country": ""}) == ""
