"""One person has one key in every number format; normalisation is idempotent."""

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType

from webhook_app.whatsapp.people.contacts import (
    MAX_TEXT,
    Address,
    InvalidAddress,
    contact_key,
    country_of,
    display,
    parse_address,
    phone_key,
    variants,
)

BSUID = "US.70411938265500174423"
PARENT = "US.ENT.33915500274618830291"
DIGITS = st.text("0123456789", min_size=1, max_size=15)
FOLDED = st.builds(str.__add__, st.sampled_from(["55", "54", "549", "52", "521", "5511", "55119"]), DIGITS)


@st.composite
def phone_numbers(draw):
    """Generate digits close to an existing number: an example of the plan with other last digits."""
    region = draw(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
    number = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    number = number or phonenumbers.example_number(region)
    national = phonenumbers.national_significant_number(number)
    kept = draw(st.integers(0, len(national)))
    changed = len(national) - kept
    end = draw(st.text("0123456789", min_size=changed, max_size=changed))
    return f"{number.country_code}{national[:kept]}{end}"


@pytest.mark.parametrize(
    ("given_digits", "key"),
    [
        ("551161234567", "5511961234567"),  # Brazil: eight digits, mobile
        ("551198765432", "5511998765432"),
        ("5511961234567", "5511961234567"),
        ("551131234567", "551131234567"),  # landline: never had a ninth digit
        ("550161234567", "550161234567"),  # no such area
        ("541123456789", "5491123456789"),  # Argentina without its 9
        ("5491123456789", "5491123456789"),
        ("542231234567", "5492231234567"),
        ("548001234567", "548001234567"),  # no area begins with 8
        ("5212221234567", "522221234567"),  # Mexico with its former 1
        ("522221234567", "522221234567"),
        ("521222123456", "521222123456"),  # twelve digits: the 1 is not the mobile prefix
        ("12025550117", "12025550117"),
        ("447700900123", "447700900123"),
        ("390612345678", "390612345678"),
    ],
)
def test_variants_of_a_number_have_one_key(given_digits, key):
    assert phone_key(given_digits) == key
    assert contact_key(given_digits, BSUID) == key


@pytest.mark.parametrize(
    ("key", "spellings"),
    [
        ("5511961234567", ("5511961234567", "551161234567")),
        ("5491123456789", ("5491123456789", "541123456789")),
        ("522221234567", ("522221234567", "5212221234567")),
        ("551161234567", ("5511961234567", "551161234567")),  # queried with the other variant
        ("551131234567", ("551131234567",)),
        ("5511912345678", ("5511912345678",)),  # without the 9, it would be a landline
        ("12025550117", ("12025550117",)),
        ("55", ("55",)),
        (BSUID, (BSUID,)),
        ("", ("",)),
    ],
)
def test_variants_lists_all_forms_of_a_key(key, spellings):
    assert variants(key) == spellings


@settings(max_examples=500)
@given(st.one_of(phone_numbers(), FOLDED, DIGITS))
@example("55119612345678")
@example("5491112345678")
def test_variants_share_the_key_and_each_other(digits):
    key = phone_key(digits)
    assert phone_key(key) == key
    for spelling in variants(key):
        assert phone_key(spelling) == key
        assert variants(spelling) == variants(key)
    assert (digits.lstrip("0") if digits[:2] in ("0", "00") else digits) in variants(key)


@settings(max_examples=500)
@given(st.one_of(st.text(), DIGITS, FOLDED), st.text())
def test_keys_are_stable_for_any_text(phone, user_id):
    key = contact_key(phone, user_id)
    assert contact_key(key) == key
    assert len(key) <= 160
    assert key.isascii()
    assert phone_key(phone_key(phone)) == phone_key(phone)
    assert isinstance(country_of(key), str)
    assert display(key).removeprefix("+") == key


@pytest.mark.parametrize(
    ("phone", "user_id", "key"),
    [
        ("12025550117", BSUID, "12025550117"),
        ("", BSUID, BSUID),
        ("", PARENT, PARENT),
        (BSUID, "", BSUID),  # Meta put the user id in the phone field
        ("Y2FwaV9ncm91cDoxMzEyNTU1MDE5", "", ""),  # a group is not a contact
        ("Y2FwaV9ncm91cDoxMzEyNTU1MDE5", BSUID, BSUID),
        ("+1 (202) 555-0117", "", "12025550117"),
        ("", "", ""),
        ("", "us.7041", "US.7041"),
        ("", "US.", ""),
        ("", "USA.7041", ""),
        ("", "US.70 41", ""),
        ("", "US." + "7" * 150, "US." + "7" * 150),
        ("", "US." + "7" * 151, ""),
        ("1" * 20, "", "1" * 20),
        ("1" * 21, BSUID, BSUID),
        ("1" * 1_000_000, "", ""),
        ("(" * 1_000_000, "", ""),
        ("12025550117\x00", "", ""),
        ("12025550117 or 12025550168", "", ""),
    ],
)
def test_the_key_is_the_phone_or_else_the_user_id(phone, user_id, key):
    assert contact_key(phone, user_id) == key


@pytest.mark.parametrize(
    ("text", "key", "is_variant"),
    [
        ("12025550117", "12025550117", False),
        ("+12025550117", "12025550117", False),
        (" +1 (202) 555-0117\n", "12025550117", False),
        ("1.202.555.0117", "12025550117", False),
        ("0012025550117", "12025550117", False),
        ("(+1) 202 555 0117", "12025550117", False),
        ("＋１２０２５５５０１１７", "12025550117", False),
        ("+١٢٠٢٥٥٥٠١١٧", "12025550117", False),
        ("\u202a+1 202\u2011555\u20130117\u202c", "12025550117", False),
        ("+1\u00a0202\u2212555\u2212\u200b0117", "12025550117", False),
        ("+44 (0)121 234 5678", "441212345678", True),
        ("0049 (0)171 1234567", "491711234567", True),
        ("+39 06 1234 5678", "390612345678", False),
        ("+55 11 6123-4567", "5511961234567", True),
        ("+55 (011) 6123-4567", "5511961234567", True),
        ("+54 9 11 2345-6789", "5491123456789", False),
        ("+54 11 2345-6789", "5491123456789", True),
        ("+54 11 15-2345-6789", "5491123456789", True),
        ("+54 9 11 15 2345 6789", "5491123456789", True),
        ("+54 (0223) 15 123-4567", "5492231234567", True),
        ("+52 1 222 123 4567", "522221234567", True),
        ("+52 044 222 123 4567", "522221234567", True),
        ("+7 8 916 123 45 67", "79161234567", True),
        ("19995550117", "19995550117", False),  # possible but not assigned
    ],
)
def test_common_number_formats_are_accepted(text, key, is_variant):
    assert parse_address(text) == Address(key, text, "phone", is_variant)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (BSUID, BSUID),
        (PARENT, PARENT),
        (f"  {BSUID}\t", BSUID),
        ("us." + BSUID[3:], BSUID),
        ("\u200b" + BSUID, BSUID),
    ],
)
def test_user_ids_are_accepted(text, key):
    assert parse_address(text) == Address(key, text, "user_id", is_variant=False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \u200b\n", "empty"),
        ("1" * (MAX_TEXT + 1), "longer than 200 characters"),
        ("0171 1234567", "the country code is missing: replace the leading 0 with a code such as +49"),
        ("00 0171 1234567", "the country code is missing: replace the leading 0 with a code such as +49"),
        ("someone", "neither a phone number with a country code nor a business-scoped user id"),
        ("+1 202 555 0117 x5", "an extension has no WhatsApp account; write the number alone"),
        ("()", "neither a phone number with a country code nor a business-scoped user id"),
        ("00", "neither a phone number with a country code nor a business-scoped user id"),
        ("US.", "neither a phone number with a country code nor a business-scoped user id"),
        ("1202+5550117", "neither a phone number with a country code nor a business-scoped user id"),
        ("+1 555 0117", "the area code is missing after +1"),
        ("+1 202 555 01170", "too long for a number of +1"),
        ("+999 123 456", "it does not begin with a country code"),
        ("9" * 21, "longer than 20 digits, the maximum for a phone number"),
        ("49", "too short for a phone number"),
    ],
)
def test_invalid_contacts_are_rejected_with_a_reason(text, reason):
    refused = parse_address(text)
    assert isinstance(refused, InvalidAddress)
    assert (refused.reason, refused.as_given) == (reason, text[:MAX_TEXT])


def test_a_rejected_text_can_be_returned():
    refused = parse_address("\ud800" + "x" * 1000)
    assert refused.as_given == ("?" + "x" * 1000)[:MAX_TEXT]


@settings(deadline=None, max_examples=500)
@given(phone_numbers())
def test_api_and_webhooks_give_the_same_key_for_a_valid_number(digits):
    number = phonenumbers.parse("+" + digits)
    as_dialled = f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    if as_dialled == digits and phonenumbers.is_valid_number(number):
        for spelling in variants(phone_key(digits)):
            assert parse_address("+" + spelling).key == contact_key(digits)
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason == phonenumbers.ValidationResult.IS_POSSIBLE:
        assert isinstance(parse_address(digits), Address)


@settings(deadline=None, max_examples=500)
@given(
    st.one_of(st.text(), phone_numbers(), FOLDED, st.text("+0123456789 ().-\u2013\uff11US.ENT", max_size=30))
)
def test_any_text_is_accepted_and_the_displayed_contact_gives_the_same_key(text):
    address = parse_address(text)
    if isinstance(address, InvalidAddress):
        assert address.reason
        return
    assert address.as_given == text
    assert contact_key(address.key) == address.key
    again = parse_address(display(address.key))
    assert (again.key, again.kind, again.is_variant) == (address.key, address.kind, False)


def test_numbers_are_displayed_with_a_plus_and_user_ids_unchanged():
    assert [display(key) for key in ("12025550117", BSUID, "")] == ["+12025550117", BSUID, ""]


@pytest.mark.parametrize(
    ("text", "region", "key"),
    [
        ("0171 5550117", "DE", "491715550117"),
        ("(202) 555-0117", "US", "12025550117"),
        ("2025550117", "US", "12025550117"),
        ("12025550117", "DE", "12025550117"),
        ("491715550117", "US", "491715550117"),
        ("0049 171 5550117", "US", "491715550117"),
        ("+49 171 5550117", "US", "491715550117"),
        ("11 8765-4321", "BR", "5511987654321"),
        ("US.13491208655302741918", "DE", "US.13491208655302741918"),
    ],
)
def test_national_numbers_of_a_region_are_accepted(text, region, key):
    address = parse_address(text, region)
    assert isinstance(address, Address)
    assert address.key == key


@pytest.mark.parametrize("text", ["0", "000", "00", "0000", "12", "nobody", ""])
@pytest.mark.parametrize("region", ["", "DE", "US", "IT"])
def test_invalid_numbers_are_rejected_in_any_region(text, region):
    assert isinstance(parse_address(text, region), InvalidAddress)


@given(
    st.text(st.sampled_from("0123456789+ -()"), max_size=20), st.sampled_from(["", "DE", "US", "BR", "IT"])
)
def test_parsing_a_key_gives_the_same_key(text, region):
    address = parse_address(text, region)
    if isinstance(address, Address):
        again = parse_address("+" + address.key)
        assert isinstance(again, Address)
        assert again.key == address.key
