"""What people and programs write is read as the one number that it can be, or refused with the reason."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.whatsapp.people.contacts import Address, InvalidAddress, parse_address, phone_key

NUMBER = "4915112345678"

READ = {
    "a spreadsheet's numbers": [
        "4915112345678.0",
        "4915112345678.00",
        "4915112345678,0",
        "4.915112345678E+12",
        "4,915112345678e+12",
        "4.9151123456780E+12",
        "4915112345678\u066b0",
    ],
    "a spreadsheet's texts": ["'+4915112345678", '="+4915112345678"', "=+4915112345678", "'4915112345678"],
    "links": [
        "https://wa.me/4915112345678",
        "wa.me/+4915112345678?text=ask%20+4915112345679%20too",
        "http://www.wa.me/4915112345678/",
        "https://api.whatsapp.com/send?phone=4915112345678&text=4915112345679",
        "https://api.whatsapp.com/send/?text=hi&phone=%2B4915112345678",
        "https://web.whatsapp.com/send?phone=+4915112345678#top",
        "whatsapp://send?phone=4915112345678",
    ],
    "ids of other programs": [
        "4915112345678@c.us",
        "4915112345678@s.whatsapp.net",
        "4915112345678:12@s.whatsapp.net",
        "4915112345678.0:12@s.whatsapp.net",
        "whatsapp:+4915112345678",
        "whatsapp:4915112345678",
        "p:+4915112345678",
    ],
    "addresses": ["tel:+49-151-12345678", "TEL;TYPE=CELL:+49 151 12345678", "%2B4915112345678"],
    "punctuation": [
        "+49 (0)151 12345678",
        "(+49) 0151 12345678",
        "++4915112345678",
        "0049 151/12345678",
        "+49·151·12345678",
        "+49‐151‑12345–678",
        " 4915112345678\n",
        "+49\u00a0151\u202f123\u2009456\u300078",
        "\u202a+49\u200b151\u00ad12345678\u202c\ufeff",
        "+49\t151\r\n12345678",
    ],
    "digits of other scripts": [
        "４９１５１１２３４５６７８",
        "+٤٩١٥١١٢٣٤٥٦٧٨",
        "＋४९१५११२३४५६७८",
        "﹢4915112345678",
    ],
}
REFUSED = {
    "4.91512E+12": "digits are lost",
    "4,91512E+12": "digits are lost",
    "4.9E+12": "digits are lost",
    "4E+12": "digits are lost",
    "4915112345678.5": "fraction",
    "4915112345678.25": "fraction",
    "4915112345678.000": "fraction",
    "-4915112345678": "negative",
    "2055-03-01": "a date",
    "2055-03-01 00:00:00": "a date",
    "1.3.2055": "a date",
    "Mar-55": "neither",
    "#NAME?": "neither",
    "########": "neither",
    "NaN": "neither",
    "null": "neither",
    "0": "neither",
    "tel:+14155552671;ext=5": "extension",
    "+1 (415) 555-2671 ext. 5": "extension",
    "+1 (415) 555-2671 x5": "extension",
    "+1 (415) 555-2671#5": "extension",
    "+14155552671,5": "fraction",
    "+14155552671p5": "extension",
    "4915112345678; 4915112345679": "more than one number: 4915112345678, 4915112345679",
    "4915112345678, 4915112345679": "more than one number",
    "+49 151 12345678 / +49 151 12345679": "more than one number",
    "4915112345678 or 4915112345679": "more than one number",
    "4915112345678\n4915112345679": "more than one number",
    "+49151+12345678": "more than one number",
    "49151123456/78": "slash",
    "Anna +4915112345678": "text beside the number",
    "+4915112345678 (mother)": "text beside the number",
    "+49 151 12345O78": "text beside the number",
    "+1 800 FLOWERS": "neither",
    "4915112345678²": "footnote",
    "+49 151 1234567①": "footnote",
    "+49１５112345678": "two scripts",
    "123456789012345@lid": "an id inside WhatsApp",
    "4915112345678-1600000000@g.us": "a group",
    "status@broadcast": "a broadcast list",
    "120363025246125486@newsletter": "a channel",
    "4915112345678@example.com": "neither",
    "https://wa.me/message/4915112345678A": "no phone number",
    "wa.me/qr/4915112345678A": "no phone number",
    "https://wa.me/?text=4915112345678": "no phone number",
    "https://chat.whatsapp.com/4915112345678": "no phone number",
    "https://example.com/4915112345678": "text beside",
}


@pytest.mark.parametrize("text", [text for texts in READ.values() for text in texts])
@pytest.mark.parametrize("region", ["", "DE", "US"])
def test_a_number_is_read_in_every_form_that_has_one_reading(text, region):
    address = parse_address(text, region)
    assert isinstance(address, Address), address
    assert address.key == NUMBER


@pytest.mark.parametrize(("text", "reason"), REFUSED.items())
def test_what_has_no_or_several_readings_is_refused_with_the_reason(text, reason):
    refused = parse_address(text)
    assert isinstance(refused, InvalidAddress), refused
    assert reason in refused.reason
    assert phone_key(text) == "", "a webhook with such a number names nobody"


@pytest.mark.parametrize("region", ["DE", "AT", "FR"])
def test_a_spreadsheet_s_national_number_is_read_in_its_region(region):
    assert parse_address("0151 12345678", "DE").key == NUMBER
    refused = parse_address("15112345678.5", region)
    assert isinstance(refused, InvalidAddress)


@settings(max_examples=300)
@given(st.text("0123456789", min_size=8, max_size=14), st.sampled_from([".0", ".00", ",0", ",00"]))
def test_a_fraction_of_zeros_never_makes_another_person(digits, fraction):
    plain, dressed = parse_address(digits), parse_address(digits + fraction)
    if isinstance(dressed, Address):
        assert isinstance(plain, Address)
        assert dressed.key == plain.key


@settings(max_examples=300)
@given(st.integers(10_000_000, 999_999_999_999_999))
def test_a_number_in_scientific_notation_is_itself_or_refused(number):
    for places in (2, 5, 8, 14):
        dressed = parse_address(f"{number:.{places}E}")
        plain = parse_address(str(number))
        if isinstance(dressed, Address):
            assert isinstance(plain, Address)
            assert dressed.key == plain.key


@pytest.mark.parametrize(
    "odd",
    [
        "(" * 199 + "a",
        "(" * 190 + "1234567a",
        "\ufdfa" * 200,
        "\ufdfa" * 60,
        "12345678" + ",1" * 96,
        "1/" * 100,
    ],
    ids=["parentheses", "parentheses and digits", "long ligatures", "ligatures", "commas", "slashes"],
)
def test_an_odd_text_is_refused_in_little_time(odd):
    """Ten thousand of them fit into a check; some took 4 ms each, as the time grew with the square of the length."""
    begin = time.process_time()
    for _ in range(100):
        assert isinstance(parse_address(odd), InvalidAddress)
    assert time.process_time() - begin < 0.2, "a fraction of it on a machine at rest"
