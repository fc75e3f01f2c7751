"""Numbering plans: country, possible lengths and trunk prefixes of international digits.

`country_of` is called per event: it only reads prefixes, and looks up each prefix once in phonenumbers, with an
example number.
"""

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE as REGIONS
from phonenumbers import PhoneMetadata, PhoneNumber, ValidationResult

_NO_COUNTRY = "001"  # phonenumbers' region of satellite and freephone codes
_DECIDING_DIGITS = (
    6  # national digits that identify the country within a shared calling code; covered by tests
)
_MEXICAN_TRUNK = re.compile(r"52(?:01|044|045)(?=\d{10}$)")
_LENGTH_FAULTS = {
    ValidationResult.TOO_SHORT: "too short for a number of +{code}",
    ValidationResult.TOO_LONG: "too long for a number of +{code}",
    ValidationResult.INVALID_LENGTH: "no number of +{code} has this length",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "the area code is missing after +{code}",
}


def _by_three_digits(values: dict[int, str]) -> dict[str, str]:
    """Index values by three digits, which identify a calling code: codes are prefix-free and never begin with 0."""
    prefixes = map(str, range(100, 1000))
    return {p: values[code] for p in prefixes for size in (1, 2, 3) if (code := int(p[:size])) in values}


_CALLING_CODES = _by_three_digits({code: str(code) for code in REGIONS})
_COUNTRIES = _by_three_digits(
    {code: regions[0].replace(_NO_COUNTRY, "") for code, regions in REGIONS.items() if len(regions) == 1}
)


def country_of(key: str) -> str:
    """Return the ISO 3166 alpha-2 code of a contact key, empty if unknown. A BSUID begins with its country."""
    country = _COUNTRIES.get(key[:3])
    if country is not None:
        return country
    if key[:1] == "1":
        return _country_of_area(key[1:4])
    if key[2:3] == ".":
        return key[:2] if key[:2].isalpha() else ""
    code = _CALLING_CODES.get(key[:3])
    return _country_of_shared(key[: len(code) + _DECIDING_DIGITS], len(key)) if code else ""


@lru_cache(maxsize=1024)
def _country_of_area(area: str) -> str:
    """Return the country of a North American area code, from example numbers, so that input cannot affect the cache."""
    if len(area) != 3 or not area.isdecimal():
        return ""
    probes = (_number(f"1{area}{exchange}345678") for exchange in "23456789")
    return next(filter(None, map(phonenumbers.region_code_for_number, probes)), "")


@lru_cache(maxsize=65536)
def _country_of_shared(prefix: str, length: int) -> str:
    """Return the country of a prefix whose calling code is shared; the main country if the plan lacks the number."""
    if not prefix.isdecimal():
        return ""
    number = _number(prefix.ljust(min(length, 20), "0"))
    return phonenumbers.region_code_for_number(number) or REGIONS[int(_CALLING_CODES[prefix[:3]])][0]


def number_fault(digits: str) -> str:
    """Return why the number is impossible; empty if it is possible. Unassigned is possible, because plans grow."""
    if len(digits) < 3:
        return "too short for a phone number"
    code = _CALLING_CODES.get(digits[:3])
    if code is None:
        return "it does not begin with a country code"
    fault = _LENGTH_FAULTS.get(phonenumbers.is_possible_number_with_reason(_number(digits)))
    return fault.format(code=code) if fault else ""


def is_assigned(digits: str) -> bool:
    """Whether the country's numbering plan contains this number."""
    return digits[:3] in _CALLING_CODES and phonenumbers.is_valid_number(_number(digits))


def is_well_formed(digits: str) -> bool:
    """Whether the length is possible and no trunk prefix follows the country code."""
    plan = _PLANS.get(digits[:3])
    if plan is None:
        if digits[:3] not in _CALLING_CODES:
            return False
        plan = _PLANS[digits[:3]] = _plan(_CALLING_CODES[digits[:3]])
    size, lengths, trunk = plan
    if len(digits) not in lengths:
        return False
    return trunk is None or not ((trunk_prefix := trunk.match(digits, size)) and trunk_prefix[0])


_PLANS: dict[str, tuple[int, frozenset[int], re.Pattern[str] | None]] = {}


def _plan(code: str) -> tuple[int, frozenset[int], re.Pattern[str] | None]:
    """Return the length of the country code, the possible total lengths, and the pattern of the trunk prefix."""
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(int(code), REGIONS[int(code)][0])
    if metadata is None or metadata.general_desc is None:
        return len(code), frozenset(), None
    lengths = frozenset(len(code) + length for length in metadata.general_desc.possible_length)
    trunk = metadata.national_prefix_for_parsing
    return len(code), lengths, re.compile(trunk) if trunk else None


def is_region(code: str) -> bool:
    """Whether this is the ISO 3166 alpha-2 code, in capitals, of a region with a numbering plan."""
    return code in phonenumbers.SUPPORTED_REGIONS


@lru_cache(maxsize=512)
def calling_code_of(region: str) -> str:
    """Return the region's calling code."""
    return str(phonenumbers.country_code_for_region(region))


def international_digits(region: str, text: str) -> str:
    """Convert a number in a region's national format to international digits; empty if it cannot be parsed."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return ""
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"


def without_trunk_prefix(digits: str) -> str:
    """Remove trunk prefixes: +44 (0)…, Argentina's 15, Mexico's 01, 044 and 045."""
    digits = _MEXICAN_TRUNK.sub("52", digits)
    if digits.startswith("549") and len(digits) == 15:  # phonenumbers handles the 15 only without the 9
        digits = "54" + digits[3:]
    try:
        number = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        return digits
    return f"{number.country_code}{phonenumbers.national_significant_number(number)}"


def _number(digits: str) -> PhoneNumber:
    code = _CALLING_CODES[digits[:3]]
    national = digits[len(code) :]
    value = int(national or "0")
    zeros = len(national) - len(str(value))
    return PhoneNumber(
        country_code=int(code),
        national_number=value,
        italian_leading_zero=True if zeros > 0 else None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )
