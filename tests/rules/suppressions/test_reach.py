"""A suppression applies to the business number it names, or to every number of the business."""

import pytest

from webhook_app.rules.suppressions.reach import EVERY_NUMBER, numbers_reaching, reaches


@pytest.mark.parametrize(
    ("named", "number", "applies"),
    [
        ("1", "1", True),
        ("1", "2", False),
        (EVERY_NUMBER, "2", True),
        ("1", None, True),
        (EVERY_NUMBER, None, True),
    ],
)
def test_a_suppression_applies_to_its_number_or_to_every_number(named, number, applies):
    assert reaches(named, number) is applies
    assert number is None or (named in numbers_reaching(number)) is applies
