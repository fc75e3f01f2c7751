"""Patterns of phrases: `(a|b)` is one of the parts, `[a|b]` one or none. Written out, or matched without doing so.

One pattern can stand for thousands of phrases. It becomes a regular expression, compiled when a text first begins like
one of them. No repetition is possible, so matching cannot take long.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Literal

from msgspec import Struct

from webhook_app.whatsapp.people.folding import fold, has_vietnamese_letters

Meaning = Literal["stop", "stop_marketing", "ambiguous", "start", ""]
"""stop: all messages. stop_marketing: no more than that. ambiguous: marketing, and a person should review it."""

_SYNTAX = re.compile(r"([()\[\]|])")
_REGEX = {"(": "(?:", "[": "(?:", "]": ")?"}
BEGINNING = 3
"""Letters of a phrase by which its pattern is found."""


class PhrasePattern(Struct, frozen=True):
    """A regular expression for folded phrases without spaces, and what its phrases mean."""

    expression: str
    meaning: Meaning


Patterns = Mapping[str, tuple[PhrasePattern, ...]]
"""By the first letters of their phrases."""


def read_patterns(sources: Iterable[tuple[str, Meaning]]) -> Patterns:
    """The patterns of these sources, every part folded."""
    found: dict[str, list[PhrasePattern]] = {}
    for source, meaning in sources:
        marked = has_vietnamese_letters(source)
        parts = [
            part if _SYNTAX.fullmatch(part) else fold(part, keeps_marks=marked).replace(" ", "")
            for part in _SYNTAX.split(source)
        ]
        pattern = PhrasePattern("".join(_REGEX.get(part, part) for part in parts), meaning)
        for beginning in dict.fromkeys(_combine(parts[::-1], BEGINNING)):
            found.setdefault(beginning, []).append(pattern)
    return {beginning: tuple(each) for beginning, each in found.items()}


def expand(pattern: str) -> list[str]:
    """All phrases that the pattern stands for."""
    return [" ".join(phrase.split()) for phrase in _combine(_SYNTAX.split(pattern)[::-1], None)]


def meaning_of(key: str, patterns: Patterns) -> Meaning:
    """What a folded text without spaces means as a phrase of one of the patterns; empty if it is none."""
    for pattern in patterns.get(key[:BEGINNING], ()):
        if _compiled(pattern.expression).fullmatch(key):
            return pattern.meaning
    return ""


def _combine(parts: list[str], length: int | None) -> list[str]:
    """The phrases up to the end of the group, cut to a length; takes its parts from the end of the list."""
    found: list[str] = []
    current = [""]
    while parts and (part := parts.pop()) not in (")", "]"):
        if part == "|":
            found, current = found + current, [""]
            continue
        added = _combine(parts, length) if part in ("(", "[") else [part]
        if part == "[":
            added.append("")
        current = list(dict.fromkeys((before + after)[:length] for before in current for after in added))
    return found + current


@cache
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression)
