"""Normalises phone numbers and business-scoped user ids (BSUIDs) to contact keys, one per person.

A key is for storing and matching, not for dialling. Invalid text gives an empty key, never an exception.
`contact_key` is called per event and only reads prefixes; only the API checks numbering plans. Every key that Meta sent
stays addressable: what a numbering plan refuses or reads otherwise is `literal`, and counts if it is stored.
"""

import re
from collections.abc import Collection
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.whatsapp.people.numbering import (
    calling_code_of,
    country_of,
    international_digits,
    is_assigned,
    is_well_formed,
    number_fault,
    without_trunk_prefix,
)
from webhook_app.whatsapp.people.spellings import FOLDS, hints, old_spelling
from webhook_app.whatsapp.people.typed_numbers import MAX_TEXT, NumberFormatError, digits_of, undressed

__all__ = [
    "MAX_TEXT",
    "Address",
    "InvalidAddress",
    "contact_key",
    "country_of",
    "display",
    "hints",
    "if_stored",
    "parse_address",
    "phone_key",
    "spelling",
    "user_key",
    "variants",
]

_MAX_DIGITS = 20  # E.164 allows 15; anything over 20 is another kind of id
_USER_ID = re.compile(r"[A-Za-z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,150}")
_LEAST_OF_A_NUMBER = 7
_NOTHING = "neither a phone number with a country code nor a business-scoped user id"


class Address(Struct, frozen=True, gc=False):
    """The contact named in an API call."""

    key: str
    as_given: str
    kind: Literal["phone", "user_id"]
    is_variant: bool
    """Whether the digits given differ from the key: a number variant, or trunk digits that were removed."""
    literal: str = ""
    """The key of exactly the digits given, if a numbering plan reads them as another number. See `if_stored`."""


class InvalidAddress(Struct, frozen=True, gc=False):
    """Text that is not a valid contact, with a reason to show to the user."""

    reason: str
    as_given: str
    literal: str = ""
    """The key of exactly the digits given, if only a numbering plan refuses them. See `if_stored`."""


def contact_key(phone: str, user_id: str = "") -> str:
    """Return the key of a person: canonical digits of the phone number, else the BSUID, else empty."""
    return phone_key(phone) or user_key(user_id) or user_key(phone)


def phone_key(digits: str) -> str:
    """Return the canonical digits of an international number; empty if the text is not a phone number."""
    if not (digits.isdecimal() and digits.isascii()):
        if not digits or _USER_ID.fullmatch(digits):
            return ""
        try:
            digits = digits_of(undressed(digits))
        except NumberFormatError:
            return ""
    if len(digits) > _MAX_DIGITS:
        return ""
    fold = FOLDS.get(digits[:2])
    return fold(digits) if fold else digits


def user_key(user_id: str) -> str:
    """Return the key of a BSUID or parent BSUID; empty if the text is neither."""
    return user_id[:2].upper() + user_id[2:] if user_id and _USER_ID.fullmatch(user_id) else ""


def variants(key: str) -> tuple[str, ...]:
    """Return all keys that WhatsApp uses for one person, the canonical one first."""
    canonical = phone_key(key) or key
    other = old_spelling(canonical)
    return (canonical, other) if other else (canonical,)


def if_stored(found: Address | InvalidAddress, stored: Collection[str]) -> Address | InvalidAddress:
    """Return the contact with exactly the digits given if that key is stored, else what the numbering plan says."""
    if found.literal and found.literal in stored:
        return Address(found.literal, found.as_given, "phone", is_variant=False)
    return found


def display(key: str) -> str:
    """Format a key for display: `+` and digits, or the BSUID."""
    return "+" + key if key.isdecimal() else key


def parse_address(text: str, region: str = "") -> Address | InvalidAddress:
    """Parse a contact as typed by a person. Accepts possible numbers, even unassigned ones.

    With a `region` (ISO 3166 alpha-2, capitals), numbers in its national format are accepted too. Ambiguous digits
    are read as international, which is Meta's format.
    """
    digits = text[1:] if text[:1] == "+" else text
    # Most contacts in a large check have this form, so it has a fast path.
    is_bare = digits.isdecimal() and digits.isascii() and digits[0] != "0" and len(digits) <= _MAX_DIGITS
    if is_bare and (not region or text[0] == "+" or digits.startswith(calling_code_of(region))):
        fold = FOLDS.get(digits[:2])
        key = fold(digits) if fold else digits
        if is_well_formed(key):
            return Address(key, text, "phone", key != digits)
    return _parse_typed(text, region)


def _parse_typed(text: str, region: str) -> Address | InvalidAddress:
    try:
        typed = text if _USER_ID.fullmatch(text) else undressed(text)
    except NumberFormatError as fault:
        return _refuse(text, str(fault))
    digits = digits_of(typed)
    if not digits and (user := user_key(typed)):
        return Address(user, text, "user_id", is_variant=False)
    if not digits.strip("0"):
        has_number = len(re.sub("[^0-9]", "", typed)) >= _LEAST_OF_A_NUMBER and any(map(str.isalpha, typed))
        return _refuse(text, "text beside the number" if has_number else _NOTHING)
    found = _parse_digits(typed, digits, text, region)
    if isinstance(found, Address):
        is_bare = typed.removeprefix("+") == digits and (typed[0] == "+" or not region)
        if not is_bare or (literal := phone_key(digits)) == found.key:
            return found
        return replace(found, literal=literal)
    return replace(found, literal=phone_key(digits))


def _parse_digits(typed: str, digits: str, text: str, region: str) -> Address | InvalidAddress:
    is_international = "+" in typed or digits.startswith("00")
    digits = digits.removeprefix("00")
    if region and not is_international and not (digits[0] != "0" and is_assigned(phone_key(digits))):
        return _national_address(typed, digits, text, region)
    if digits[0] == "0":
        return _refuse(text, "the country code is missing: replace the leading 0 with a code such as +49")
    return _phone_address(digits, text)


def _national_address(typed: str, digits: str, text: str, region: str) -> Address | InvalidAddress:
    dialled = international_digits(region, typed)
    key = phone_key(dialled)
    if key and is_assigned(key):
        # The national format does not show which variant was meant.
        return Address(key, text, "phone", is_variant=False)
    international = _phone_address(digits, text) if digits[0] != "0" else None
    if isinstance(international, Address):
        return international
    return _refuse(text, f"neither a number in {region} nor one with a country code")


def spelling(address: Address) -> str:
    """Return the variant of the contact's key that was typed."""
    try:
        digits = digits_of(undressed(address.as_given)).removeprefix("00")
    except NumberFormatError:
        return address.key
    return digits if digits in variants(address.key) else address.key


def _phone_address(digits: str, text: str) -> Address | InvalidAddress:
    key = phone_key(digits)
    if not key:
        return _refuse(text, f"longer than {_MAX_DIGITS} digits, the maximum for a phone number")
    if not is_well_formed(key):
        # Remove trunk digits only if the number is not assigned as typed and the result is a better one.
        dialled = phone_key(without_trunk_prefix(digits))
        if not is_assigned(key) and (is_assigned(dialled) or number_fault(key)) and not number_fault(dialled):
            key = dialled
        elif fault := number_fault(key):
            return _refuse(text, fault)
    return Address(key, text, "phone", is_variant=key != digits)


def _refuse(text: str, reason: str) -> InvalidAddress:
    # The text is returned to the caller, so it is truncated and made storable.
    return InvalidAddress(reason, text[:MAX_TEXT].encode("utf-8", "replace").decode("utf-8"))
