"""Which failures a rule counts, and which of them an alert explains."""

import pytest

from webhook_app.rules.incidents.rules_file.rule import Rule, covers, selects
from webhook_app.whatsapp.errors.catalogue import explain

RULE = Rule(name="a", threshold=0.02, resolve_below=0.015)


def rule(**changes):
    return Rule(**({"name": "a", "threshold": 0.02, "resolve_below": 0.015} | changes))


@pytest.mark.parametrize(
    ("selectors", "selected", "left"),
    [
        ({}, [131026, 190, 424242, -1], [131049]),
        ({"codes": (131026,)}, [131026], [131053, 131049]),
        ({"classes": ("withheld",)}, [131049, 131050, 130472], [131026, 190]),
        ({"domains": ("template",)}, [132015], [131026]),
        ({"codes": (131049,), "domains": ("template",)}, [131049, 132015], [131026, 130472]),
        ({"domains": ("other",)}, [424242], [131026]),  # what nobody knows yet
    ],
)
def test_a_rule_selects_by_code_or_class_or_domain(selectors, selected, left):
    for code in selected:
        assert selects(rule(**selectors), explain(code), code), code
    for code in left:
        assert not selects(rule(**selectors), explain(code), code), code


def test_one_code_of_a_range_is_distinguished_from_its_neighbours():
    one = rule(codes=(250,))
    assert selects(one, explain(250), 250)
    assert not selects(one, explain(251), 251)
    assert selects(one, explain(251))  # which of the range is not said


FACTS = {
    "code": 131026,
    "phone_number_id": "1066",
    "template": "spring",
    "campaign": "c1",
    "country": "DE",
    "waba_id": "77",
}


@pytest.mark.parametrize(
    ("group", "explained"),
    [
        ({}, True),
        ({"code": "131026", "phone_number_id": "1066"}, True),
        ({"code": "131053", "phone_number_id": "1066"}, False),
        ({"code": "131026", "phone_number_id": "1067"}, False),
        ({"template": "spring", "campaign": "c1", "country": "DE", "waba_id": "77"}, True),
        ({"template": "autumn"}, False),
        ({"campaign": ""}, False),
        ({"country": "FR"}, False),
        ({"waba_id": "78"}, False),
    ],
)
def test_an_alert_explains_the_failures_of_its_own_group(group, explained):
    assert covers(RULE, group, **FACTS) is explained


def test_an_alert_does_not_explain_what_its_rule_does_not_count():
    group = {"phone_number_id": "1066"}
    assert covers(rule(classes=("broken",)), group, 131053, "1066")
    assert not covers(rule(classes=("broken",)), group, 131026, "1066")


def test_a_group_of_messages_without_template_explains_only_those():
    assert covers(RULE, {"template": ""}, 131026, "1066")
    assert not covers(RULE, {"template": ""}, 131026, "1066", template="spring")
