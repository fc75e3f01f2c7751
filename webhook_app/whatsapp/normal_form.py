"""NFKC in linear time. Python and Postgres sort each run of combining marks, which takes the square of its length."""

import re
from unicodedata import combining, decomposition, normalize

_LONGEST_RUN = 30  # marks, as in the Stream-Safe Text Format of UAX 15
_JOINER = "\u034f"  # COMBINING GRAPHEME JOINER: invisible, and sorted with nothing


def _is_mark(character: str) -> bool:
    """Whether the character, or what it consists of, begins with a combining mark."""
    if combining(character):
        return True
    return bool(decomposition(character)) and combining(normalize("NFKD", character)[0]) > 0


_MARKS = "".join(map(re.escape, filter(_is_mark, map(chr, range(0x20000)))))  # no plane above has any
LONG_RUN, JOINED = f"([{_MARKS}]{{{_LONGEST_RUN}}})(?=[{_MARKS}])", rf"\1{_JOINER}"
"""A regular expression of Python and Postgres, and its replacement, that separate long runs."""
_RUN = re.compile(LONG_RUN)


def without_long_runs(text: str) -> str:
    """The text with a joiner after every 30 combining marks in a row. No language has so many."""
    return text if text.isascii() else _RUN.sub(JOINED, text)


def normal_form(text: str) -> str:
    """The text in NFKC, but for runs of more than 30 combining marks."""
    return text if text.isascii() else normalize("NFKC", without_long_runs(text))
