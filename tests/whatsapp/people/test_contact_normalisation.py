"""Contact normalisation compared with phonenumbers: every country, all formats, and random text."""

from functools import cache

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from webhook_app.whatsapp.people.contacts import (
    Address,
    InvalidAddress,
    contact_key,
    display,
    parse_address,
    phone_key,
    variants,
)

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
TYPES = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
FOLDED = ("BR", "AR", "MX", "CI", "BJ")
"""Countries in which WhatsApp uses two numbers for one person."""


@cache
def examples(region: str) -> list[PhoneNumber]:
    found = (phonenumbers.example_number_for_type(region, kind) for kind in TYPES)
    return [number for number in found if number is not None and phonenumbers.is_valid_number(number)]


def e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def same_person(one: str, other: str) -> bool:
    return other in variants(phone_key(one)) and one in variants(phone_key(other))


def neighbours(number: PhoneNumber, end: str) -> PhoneNumber | None:
    """Return a number of the same plan with other last digits, or None if the plan has no such number."""
    try:
        found = phonenumbers.parse(e164(number)[: -len(end)] + end if end else e164(number))
    except phonenumbers.NumberParseException:
        return None
    return found if phonenumbers.is_valid_number(found) else None


@st.composite
def assigned(draw: st.DrawFn) -> tuple[str, PhoneNumber]:
    region = draw(st.sampled_from([region for region in REGIONS if examples(region)]))
    number = draw(st.sampled_from(examples(region)))
    return region, neighbours(number, draw(st.text("0123456789", max_size=6))) or number


@pytest.mark.parametrize("region", REGIONS)
def test_keys_of_every_country_match_phonenumbers(region: str) -> None:
    for number in examples(region):
        digits = e164(number).removeprefix("+")
        key = phone_key(digits)
        assert key == digits or (region in FOLDED and same_person(key, digits))
        for written in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL):
            address = parse_address(phonenumbers.format_number(number, written))
            assert isinstance(address, Address)
            assert address.key == key


@settings(deadline=None, max_examples=300)
@given(found=assigned(), noise=st.text(" -()\u00a0\u200b\u2011", max_size=6), at=st.integers(0, 20))
def test_all_formats_of_an_assigned_number_have_one_key(
    found: tuple[str, PhoneNumber], noise: str, at: int
) -> None:
    region, number = found
    plain = e164(number)
    key = phone_key(plain.removeprefix("+"))
    place = 1 + at % len(plain)
    written = {
        plain,
        phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL),
        plain.removeprefix("+"),
        "00" + plain.removeprefix("+"),
        plain[:place] + noise + plain[place:],
    }
    addresses = [parse_address(text) for text in written]
    assert {address.key for address in addresses if isinstance(address, Address)} == {key}
    assert not any(isinstance(address, InvalidAddress) for address in addresses)
    with_region = parse_address(plain, region)
    assert isinstance(with_region, Address)
    assert with_region.key == key


@settings(deadline=None, max_examples=300)
@given(found=assigned())
def test_variants_of_one_person_match_each_other_and_nobody_else(found: tuple[str, PhoneNumber]) -> None:
    region, number = found
    digits = e164(number).removeprefix("+")
    spellings = variants(digits)
    assert spellings[0] == phone_key(digits)
    assert digits in spellings
    assert len(spellings) == 1 or region in FOLDED
    for spelling in spellings:
        assert variants(spelling) == spellings
        assert contact_key(spelling) == contact_key(digits)


def test_without_number_variants_no_two_numbers_share_a_key() -> None:
    keys: dict[str, str] = {}
    for region in set(REGIONS).difference(FOLDED):
        for number in examples(region):
            digits = e164(number).removeprefix("+")
            assert keys.setdefault(phone_key(digits), digits) == digits


texts = st.one_of(
    st.text(max_size=60),
    st.text("+0123456789 ().-\u2013\uff11\u0661US.ENT\0", max_size=40),
    st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)


@settings(deadline=None, max_examples=500)
@given(text=texts, region=st.sampled_from(["", *REGIONS]))
def test_any_text_is_accepted_and_normalisation_is_idempotent(text: str, region: str) -> None:
    key = contact_key(text, text)
    assert contact_key(key) == key
    assert variants(key)[0] == key or variants(key) == (key,)
    address = parse_address(text, region)
    if isinstance(address, Address):
        assert contact_key(address.key) == address.key
        again = parse_address(display(address.key), region)
        assert isinstance(again, Address)
        assert again.key == address.key
    else:
        assert address.reason
        address.as_given.encode()
