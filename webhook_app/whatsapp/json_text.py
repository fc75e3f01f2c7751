"""Decodes JSON into values that Postgres can store: no NUL, no lone surrogates, no number out of range. Pure."""

import hashlib
import json
import math
import re
from typing import Any

import msgspec

_MAX_INTEGER = 2**63 - 1
_decode = msgspec.json.Decoder().decode

_LARGE_BODY = 2**17
_MOST_SLOWLY = 100_000  # values; json.loads takes 1 µs for each in one piece, while no other thread runs
_LONG_NUMBER = re.compile(rb"[:,\[\s]-?\d{200}")
# Of 200 digits in a row every twentieth makes ten in a row. Looking for these first takes a hundredth of the search.
_STEP, _DIGITS_IN_STEPS = 20, b"0" * 10
_ZERO_FOR_DIGIT = bytes.maketrans(b"123456789", b"0" * 9)
_MAX_DEPTH = 64  # Meta's own documents stay below 12
_TOO_DEEP = b'"nested too deeply"'
# No part can fail once it has begun, so that the search is linear: an unclosed string, too, is one.
_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{]+|[\]}]+', re.DOTALL)


def decode(body: bytes) -> Any:
    """Parse JSON so that Postgres accepts every text in it; tolerate what Meta never sends.

    Raises ValueError for invalid JSON, RecursionError for JSON nested too deeply.
    """
    if has_long_numbers(body):
        return _decode_slowly(body)
    try:
        document = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_slowly(body)
    return scrub(document) if b"\\u0000" in body else document


def _decode_slowly(body: bytes) -> Any:
    """Accept a byte order mark and broken UTF-8, of fewer values also lone surrogates, large numbers and NaN."""
    text = body.decode("utf-8-sig", "replace")
    if count_values(body) <= _MOST_SLOWLY:
        return scrub(json.loads(text, parse_int=_bounded_int, strict=False))
    if has_long_numbers(body):
        raise ValueError("more values than are read beside long numbers")
    return scrub(_decode(text))


def has_long_numbers(body: bytes) -> bool:
    """Whether a large body has numbers of hundreds of digits: the fast decoder's time grows with their square."""
    return (
        len(body) > _LARGE_BODY
        and _DIGITS_IN_STEPS in body[::_STEP].translate(_ZERO_FOR_DIGIT)
        and _LONG_NUMBER.search(body) is not None
    )


def _bounded_int(digits: str) -> int | str:
    return int(digits) if len(digits) < 19 else digits


def count_values(body: bytes) -> int:
    """An upper bound of the number of values in a JSON text, without parsing it."""
    return body.count(b",") + body.count(b"[") + body.count(b"{") + 1


def limit_depth(body: bytes) -> bytes:
    """Replace everything nested deeper than _MAX_DEPTH with a text."""
    kept: list[bytes] = []
    depth = done = 0
    for token in _BRACKETS.finditer(body):
        run = token.group()
        if run[0] in b"[{":
            if depth <= _MAX_DEPTH < depth + len(run):
                kept += [body[done : token.start() + _MAX_DEPTH - depth], _TOO_DEEP]
                done = len(body)  # drops the rest unless the nesting ends
            depth += len(run)
        elif run[0] in b"]}":
            if depth - len(run) <= _MAX_DEPTH < depth:
                done = token.start() + depth - _MAX_DEPTH
            depth -= len(run)
    return b"".join([*kept, body[done:]])


def scrub(value: Any) -> Any:
    """Drop NULs, replace lone surrogates with U+FFFD, and turn unstorable numbers into text or null."""
    if type(value) is str:
        return _clean(value)
    if type(value) is dict:
        return {_clean(key): scrub(item) for key, item in value.items()}
    if type(value) is list:
        return [scrub(item) for item in value]
    if type(value) is int and abs(value) > _MAX_INTEGER:
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
        # A pair written as two escapes becomes one character; a lone surrogate becomes U+FFFD.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def bounded_bytes(text: str, most: int) -> str:
    """Return the text if it has at most `most` bytes, else its beginning and a hash, so that it stays distinct.

    For texts of index keys, whose size Postgres limits in bytes.
    """
    if len(text) * 4 <= most or len(encoded := text.encode()) <= most:
        return text
    mark = f"~{hashlib.sha256(encoded).hexdigest()[:16]}"
    return encoded[: most - len(mark)].decode(errors="ignore") + mark


def canonical(value: Any) -> str:
    """Encode as ASCII JSON with sorted keys and no spaces, for hashing and for text columns. Slow for many keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)


def compact(value: Any) -> bytes:
    """Encode as JSON with keys in their order and no spaces, in a tenth of the time that `canonical` takes."""
    try:
        return msgspec.json.encode(value)
    except (OverflowError, TypeError, ValueError, msgspec.MsgspecError):  # large numbers
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str).encode()


def kept_if_short(encoded: bytes, most: int) -> str:
    """The JSON text if it has at most `most` bytes, else JSON that says how long it was."""
    return encoded.decode() if len(encoded) <= most else f'{{"not_kept":"{len(encoded)} bytes of JSON"}}'
