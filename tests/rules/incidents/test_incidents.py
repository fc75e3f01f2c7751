"""The leading codes of an incident, and the names of an incident that alerts join."""

from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.incidents import leading_codes, merge_names


def series(number: str = "N1", waba: str = "A", template: str = "", campaign: str = "") -> SeriesKey:
    return SeriesKey(phone_number_id=number, waba_id=waba, template=template, campaign=campaign, country="DE")


def test_leading_codes_leave_out_what_hardly_occurs() -> None:
    place = series()
    assert leading_codes({(1, place): 100, (2, place): 10, (3, place): 9}) == (1, 2)
    assert leading_codes({}) == ()


def test_a_code_that_fails_elsewhere_is_another_cause_unless_the_platform_fails() -> None:
    one, other = series(number="1"), series(number="2")
    assert leading_codes({(132001, one): 20, (131053, other): 18, (131053, one): 1}) == (132001,)
    assert leading_codes({(131016, one): 20, (131053, other): 18}) == (131016, 131053)


def test_names_add_up() -> None:
    both = merge_names({"waba_id": frozenset("A")}, {"waba_id": frozenset("B"), "template": frozenset("t")})
    assert both == {"waba_id": frozenset("AB"), "template": frozenset("t")}
