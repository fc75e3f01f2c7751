"""Countries match phonenumbers for every number, in any order of lookups."""

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE as REGIONS
from phonenumbers import PhoneNumberType

from webhook_app.whatsapp.people import numbering
from webhook_app.whatsapp.people.numbering import (
    country_of,
    is_assigned,
    is_well_formed,
    number_fault,
    without_trunk_prefix,
)

SHARED = [code for code, regions in REGIONS.items() if len(regions) > 1]


def digits_of(number):
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"


def example(region, kind):
    number = phonenumbers.example_number_for_type(region, kind)
    return digits_of(number) if number else None


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_the_mobile_example_of_every_region_has_its_country(region):
    digits = example(region, PhoneNumberType.MOBILE) or example(region, PhoneNumberType.FIXED_LINE)
    assert country_of(digits) == phonenumbers.region_code_for_number(phonenumbers.parse("+" + digits))


@settings(deadline=None, max_examples=1500)
@given(data=st.data())
def test_countries_of_shared_calling_codes_match_phonenumbers(data):
    region = data.draw(st.sampled_from([r for code in SHARED for r in REGIONS[code]]))
    kind = data.draw(st.sampled_from([PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE]))
    start = example(region, kind) or example(region, PhoneNumberType.FIXED_LINE)
    national = len(start) - len(str(phonenumbers.country_code_for_region(region)))
    changed = data.draw(st.integers(1, national))
    digits = start[:-changed] + data.draw(st.text("0123456789", min_size=changed, max_size=changed))
    number = phonenumbers.parse("+" + digits)
    freephone = (
        phonenumbers.number_type(number) == PhoneNumberType.TOLL_FREE
    )  # toll-free numbers have no country
    if digits_of(number) != digits or not phonenumbers.is_valid_number(number) or freephone:
        digits = start
    assert country_of(digits) == phonenumbers.region_code_for_number(phonenumbers.parse("+" + digits))


@pytest.mark.parametrize(
    ("start", "length", "country"),
    [
        ("1204", 11, "CA"),
        ("1787", 11, "PR"),
        ("1876", 11, "JM"),
        ("1202", 11, "US"),
        ("7701", 11, "KZ"),
        ("7916", 11, "RU"),
        ("4477009", 12, "GB"),
        ("447797", 12, "JE"),
        ("2626392", 12, "YT"),
    ],
)
def test_the_country_does_not_depend_on_the_number_seen_first(start, length, country):
    numbers = [start.ljust(length, filler) for filler in "0123456789"]
    for first in numbers:
        numbering._country_of_area.cache_clear()
        numbering._country_of_shared.cache_clear()
        assert [country_of(first), *map(country_of, numbers)] == [country] * 11


@pytest.mark.parametrize(
    ("key", "country"),
    [
        ("12025550117", "US"),
        ("12045550117", "CA"),
        ("17875550117", "PR"),
        ("447700900123", "GB"),
        ("77012345678", "KZ"),
        ("79161234567", "RU"),
        ("3906698", "VA"),
        ("5511955550143", "BR"),
        ("521" + "2221234567", "MX"),
        ("US.70411938265500174423", "US"),
        ("BR.ENT.612009", "BR"),
        ("", ""),
        ("1", ""),
        ("1999", ""),
        ("1000", ""),
        ("999123456", ""),
        ("0049171", ""),
        ("88213300655", ""),
        ("12.34", ""),
        ("7x", ""),
        ("44seven", ""),
        ("no number", ""),
    ],
)
def test_a_key_has_its_country_or_none(key, country):
    assert country_of(key) == country


@settings(deadline=None)
@given(st.one_of(st.text(), st.text("0123456789."), st.text("0123456789", min_size=100)))
def test_any_text_has_a_country_of_two_letters_or_none(text):
    assert len(country_of(text)) in (0, 2)


@pytest.mark.parametrize(
    ("digits", "fault"),
    [
        ("491711234567", ""),
        ("12025550117", ""),
        ("19995550117", ""),  # an unassigned area code is possible
        ("", "too short for a phone number"),
        ("49", "too short for a phone number"),
        ("4917", "the area code is missing after +49"),
        ("999123456", "it does not begin with a country code"),
        ("0491711234567", "it does not begin with a country code"),
        ("1202555", "too short for a number of +1"),
        ("15550117", "the area code is missing after +1"),
        ("120255501170", "too long for a number of +1"),
        ("8005", "too short for a number of +800"),
        ("5411234567890123", "too long for a number of +54"),
    ],
)
def test_impossible_digits_have_a_reason(digits, fault):
    assert number_fault(digits) == fault


def test_possible_is_not_the_same_as_assigned():
    assert is_assigned("12025550117")
    assert not is_assigned("19995550117")
    assert not is_assigned("")


@pytest.mark.parametrize(
    "digits", ["491711234567", "12025550117", "5491123456789", "393121234567", "390612345678"]
)
def test_ordinary_numbers_are_well_formed(digits):
    assert is_well_formed(digits)


@pytest.mark.parametrize(
    ("digits", "dialled"),
    [
        ("4401212345678", "441212345678"),
        ("4901711234567", "491711234567"),
        ("54111523456789", "5491123456789"),
        ("549111523456789", "5491123456789"),
        ("520442221234567", "522221234567"),
        ("520452221234567", "522221234567"),
        ("52012221234567", "522221234567"),
        ("55011961234567", "5511961234567"),
        ("390612345678", "390612345678"),  # Italy's zero is part of the number
        ("99", "99"),
    ],
)
def test_trunk_prefixes_are_removed(digits, dialled):
    assert without_trunk_prefix(digits) == dialled
    assert dialled == digits or not is_well_formed(digits)
