"""Old and new spellings of a line have one key, no two lines share one, and a hint is no key."""

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from webhook_app.whatsapp.people.contacts import (
    Address,
    hints,
    if_stored,
    parse_address,
    phone_key,
    spelling,
    variants,
)

DIGITS = st.text("0123456789", min_size=1, max_size=20)


def of(prefix, count):
    return st.text("0123456789", min_size=count, max_size=count).map(lambda end: prefix + end)


RENUMBERED = st.one_of(
    *(of("225", count) for count in (8, 10)),
    *(of("229", count) for count in (8, 10)),
    of("22901", 8),
    *(of("55", count) for count in (10, 11)),
    *(of("54", count) for count in (10, 11)),
    *(of("52", count) for count in (10, 11)),
    *(of(code, count) for code in ("241", "237", "377", "383", "386", "970", "972") for count in (8, 9)),
    *(of("84", count) for count in (9, 10)),
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("22507123456", "2250707123456"),  # Ivory Coast, Orange
        ("22547123456", "2250747123456"),
        ("22505123456", "2250505123456"),  # MTN
        ("22586123456", "2250586123456"),
        ("22501123456", "2250101123456"),  # Moov
        ("22570123456", "2250170123456"),
        ("22520123456", "2252720123456"),  # landlines: the third digit decides
        ("22520012345", "2252520012345"),
        ("22530812345", "2252130812345"),
        ("22990123456", "2290190123456"),  # Benin
        ("22921123456", "2290121123456"),
        ("553188887777", "5531988887777"),
        ("5212221234567", "522221234567"),
        ("541155551234", "5491155551234"),
    ],
)
def test_both_spellings_have_one_key_and_are_accepted(old, new):
    assert phone_key(old) == phone_key(new) == new
    assert variants(old) == variants(new) == (new, old)
    for written in (old, f"+{old}", f"00{old}", f"{old}@c.us", new, f"+{new[:5]} {new[5:]}"):
        address = parse_address(written)
        assert isinstance(address, Address)
        assert address.key == new
        assert spelling(address) == (old if old in written else new)


@pytest.mark.parametrize(
    "digits",
    [
        "2250107123456",  # a new line of Moov, not the old one of Orange
        "22510123456",  # no operator had these
        "22599",
        "225712345678",  # nine digits: a zero was lost, nobody knows which
        "22901234567",  # Benin: no old number began with 0
        "553131234567",  # landlines of Brazil
        "242061234567",  # Congo: the 0 is part of the number
        "390612345678",  # and in Italy
        "2250707123456",
        "2290190123456",
    ],
)
def test_other_numbers_are_left_as_they_are(digits):
    assert phone_key(digits) == digits


@pytest.mark.parametrize("number", ["+390612345678", "+2250707123456", "+2290190123456", "+242061234567"])
def test_a_leading_zero_of_the_number_itself_is_kept(number):
    assert parse_address(number).key == number[1:]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("24106123456", "24166123456"),
        ("24101123456", "24111123456"),
        ("23777123456", "237677123456"),
        ("841621234567", "84321234567"),
        ("841201234567", "84701234567"),
        ("37744123456", "38344123456"),
        ("38649123456", "38349123456"),
        ("970599123456", "972599123456"),
    ],
)
def test_a_renumbering_without_a_known_webhook_is_a_hint_and_no_key(old, new):
    assert phone_key(old) != phone_key(new)
    assert variants(old) == (old,)
    assert (hints(old), hints(new)) == ((new,), (old,))


def test_numbers_of_other_countries_have_no_hint():
    for region in phonenumbers.SUPPORTED_REGIONS - {"GA", "CM", "VN", "XK", "PS", "IL"}:
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if number is not None:
            assert hints(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]) == ()


@settings(max_examples=1000)
@given(st.one_of(RENUMBERED, DIGITS))
@example("22507123456")
@example("0022507123456")
def test_a_key_is_stable_and_every_spelling_leads_to_it(digits):
    key = phone_key(digits)
    assert phone_key(key) == key
    for each in variants(key):
        assert phone_key(each) == key
        assert variants(each) == variants(key)
    for hint in hints(key):
        assert hint != key
        assert phone_key(hint) == hint
        assert hints(hint) == (key,)


@settings(max_examples=1000)
@given(st.one_of(RENUMBERED, DIGITS), st.one_of(RENUMBERED, DIGITS))
def test_two_people_never_have_one_key(one, other):
    """Different digits have one key only if each is the other's spelling, and of a key there are two at most."""
    if phone_key(one) and phone_key(one) == phone_key(other):
        spellings = {digits.lstrip("0") if digits.startswith("00") else digits for digits in (one, other)}
        assert spellings <= set(variants(one))
    assert len(variants(one)) <= 2


@settings(deadline=None, max_examples=500)
@given(st.one_of(RENUMBERED, DIGITS), st.sampled_from(["{}", "+{}", " +{} "]))
def test_every_key_that_is_stored_is_found_under_its_own_digits(digits, written):
    key = phone_key(digits)
    if key:
        found = if_stored(parse_address(written.format(digits)), {key})
        assert isinstance(found, Address)
        assert found.key == key


def test_a_key_that_is_not_stored_is_judged_by_the_numbering_plan():
    assert not isinstance(if_stored(parse_address("+1234567890"), {"12345678901"}), Address)
    assert if_stored(parse_address("+4401212345678"), ()).key == "441212345678"
    assert if_stored(parse_address("+4401212345678"), {"4401212345678"}).key == "4401212345678"
