"""Normalises phone numbers and business-scoped user ids (BSUIDs) to contact keys, one per person.

A key is for storing and matching, not for dialling. Invalid text gives an empty key, never an exception.
`contact_key` is called per event and only reads prefixes; only the API checks numbering plans.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from webhook_app.whatsapp.people.numbering import (
    calling_code_of,
    country_of,
    international_digits,
    is_assigned,
    is_well_formed,
    number_fault,
    without_trunk_prefix,
)

__all__ = [
    "MAX_TEXT",
    "Address",
    "InvalidAddress",
    "contact_key",
    "country_of",
    "display",
    "parse_address",
    "phone_key",
    "spelling",
    "user_key",
    "variants",
]

MAX_TEXT = 200
_MAX_DIGITS = 20  # E.164 allows 15; anything over 20 is another kind of id
_USER_ID = re.compile(r"[A-Za-z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,150}")
_PHONE = re.compile(r"[\s(]*\+?[\s0-9().-]+")


class Address(Struct, frozen=True):
    """The contact named in an API call."""

    key: str
    as_given: str
    kind: Literal["phone", "user_id"]
    is_variant: bool
    """Whether the digits given differ from the key: a number variant, or trunk digits that were removed."""


class InvalidAddress(Struct, frozen=True):
    """Text that is not a valid contact, with a reason to show to the user."""

    reason: str
    as_given: str


def contact_key(phone: str, user_id: str = "") -> str:
    """Return the key of a person: canonical digits of the phone number, else the BSUID, else empty."""
    return phone_key(phone) or user_key(user_id) or user_key(phone)


def phone_key(digits: str) -> str:
    """Return the canonical digits of an international number; empty if the text is not a phone number."""
    if not (digits.isdecimal() and digits.isascii()):
        digits = _digits_in(_typed(digits))
    if len(digits) > _MAX_DIGITS:
        return ""
    fold = _FOLDS.get(digits[:2])
    return fold(digits) if fold else digits


def user_key(user_id: str) -> str:
    """Return the key of a BSUID or parent BSUID; empty if the text is neither."""
    return user_id[:2].upper() + user_id[2:] if user_id and _USER_ID.fullmatch(user_id) else ""


def variants(key: str) -> tuple[str, ...]:
    """Return all keys that WhatsApp uses for one person, the canonical one first."""
    canonical = phone_key(key) or key
    other = {
        "55": canonical[:4] + canonical[5:],
        "54": "54" + canonical[3:],
        "52": "521" + canonical[2:],
    }.get(canonical[:2], canonical)
    return (canonical, other) if other != canonical == phone_key(other) else (canonical,)


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
        fold = _FOLDS.get(digits[:2])
        key = fold(digits) if fold else digits
        if is_well_formed(key):
            return Address(key, text, "phone", key != digits)
    return _parse_typed(text, region)


def _parse_typed(text: str, region: str) -> Address | InvalidAddress:
    if len(text) > MAX_TEXT:
        return _refuse(text, f"longer than {MAX_TEXT} characters")
    typed = _typed(text)
    if not typed:
        return _refuse(text, "empty")
    if user := user_key(typed):
        return Address(user, text, "user_id", is_variant=False)
    digits = _digits_in(typed)
    if not digits.strip("0"):
        return _refuse(text, "neither a phone number with a country code nor a business-scoped user id")
    return _parse_digits(typed, digits, text, region)


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
    digits = re.sub("[^0-9]", "", address.as_given).removeprefix("00")
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


def _fold_brazil(digits: str) -> str:
    # Mobile numbers got a ninth digit between 2012 and 2016; older accounts still report eight.
    # Landlines begin with 2 to 5 and did not change.
    is_old_mobile = len(digits) == 12 and digits[2] != "0" and digits[4] in "6789"
    return digits[:4] + "9" + digits[4:] if is_old_mobile else digits


def _fold_argentina(digits: str) -> str:
    # WhatsApp reports 54 9 …; senders often omit the 9. The key has the 9, as webhooks do, and can be dialled.
    # Landlines get the 9 too. They share the numbering space, so two subscribers never get the same key.
    return "549" + digits[2:] if len(digits) == 12 and digits[2] in "123" else digits


def _fold_mexico(digits: str) -> str:
    # The mobile prefix 1 was abolished in 2019; older accounts still report 521.
    is_old_mobile = len(digits) == 13 and digits[2] == "1" and digits[3] in "23456789"
    return "52" + digits[3:] if is_old_mobile else digits


_FOLDS: dict[str, Callable[[str], str]] = {"55": _fold_brazil, "54": _fold_argentina, "52": _fold_mexico}


def _digits_in(text: str) -> str:
    """Return the digits of a number as typed; empty if it contains anything except digits and punctuation."""
    return re.sub(r"[^0-9]", "", text) if _PHONE.fullmatch(text) else ""


def _typed(text: str) -> str:
    """Normalise the text to ASCII digits and dashes without invisible characters; empty if too long."""
    if len(text) > MAX_TEXT:
        return ""
    if not text.isascii():
        text = "".join(map(_typed_character, unicodedata.normalize("NFKC", text)))
    return text.strip()


def _typed_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd" or character == "\N{MINUS SIGN}":
        return "-"
    return "" if category == "Cf" else character
