"""JSON text that Postgres accepts: no NUL, no lone surrogates, no number beyond its types. Pure."""

import json
import math
from typing import Any

_LARGEST = 2**63 - 1


def scrub(value: Any) -> Any:
    """The same value with NULs dropped, lone surrogates replaced by U+FFFD, and odd numbers as text or null."""
    if type(value) is str:
        return _clean(value)
    if type(value) is dict:
        return {_clean(key): scrub(item) for key, item in value.items()}
    if type(value) is list:
        return [scrub(item) for item in value]
    if type(value) is int and abs(value) > _LARGEST:
        return str(value) if value.bit_length() < 4096 else "a number of more than 4096 bits"
    if type(value) is float and not math.isfinite(value):
        return None
    return value


def _clean(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        # A pair written as two escapes becomes its character; a half without its other half becomes U+FFFD.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def canonical(value: Any) -> str:
    """One ASCII text per value: keys sorted, no spaces. Fit for hashing and for a text column."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
