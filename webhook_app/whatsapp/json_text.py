"""JSON read so that Postgres accepts every value: no NUL, no lone surrogates, no number beyond its types. Pure."""

import json
import math
import re
from typing import Any

import msgspec

_LARGEST = 2**63 - 1
_decode = msgspec.json.Decoder().decode

_DEEPEST = 64  # Meta's own documents stay below 12
_TOO_DEEP = b'"nested too deeply"'
_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[\[{]+|[\]}]+', re.DOTALL)


def decode(body: bytes) -> Any:
    """JSON to plain values whose text the database accepts; tolerant of what Meta's wire form never holds.

    Raises ValueError for what is no JSON at all, RecursionError for depth bombs.
    """
    try:
        document = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Lone surrogates, numbers out of range, NaN, broken UTF-8: the slow decoder takes them, scrub mends them.
        return scrub(json.loads(body.decode("utf-8", "replace"), parse_int=_bounded_int, strict=False))
    return scrub(document) if b"\\u0000" in body else document


def _bounded_int(digits: str) -> int | str:
    return int(digits) if len(digits) < 19 else digits


def shallow(body: bytes) -> bytes:
    """The same JSON, with a text in place of whatever is nested deeper than anything Meta sends."""
    kept: list[bytes] = []
    depth = done = 0
    for token in _BRACKETS.finditer(body):
        run = token.group()
        if run[0] in b"[{":
            if depth <= _DEEPEST < depth + len(run):
                kept += [body[done : token.start() + _DEEPEST - depth], _TOO_DEEP]
                done = len(body)  # unless the bomb ends
            depth += len(run)
        elif run[0] in b"]}":
            if depth - len(run) <= _DEEPEST < depth:
                done = token.start() + depth - _DEEPEST
            depth -= len(run)
    return b"".join([*kept, body[done:]])


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
