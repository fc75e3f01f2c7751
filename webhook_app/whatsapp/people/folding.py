"""Folds a text for comparison with words: keeps what distinguishes words, drops what people leave out in haste.

Case, punctuation, emoji, invisible characters, accents and Arabic vowels do not matter. Vietnamese marks do: they
make other words of the same letters (dừng, stop; đúng, right; Dũng, a name).
"""

import re
import unicodedata

_VIETNAMESE = re.compile("[\u1ea0-\u1ef9ơư]")
"""Letters that only Vietnamese has (and Yoruba and Igbo, of which no word is listed)."""
_NOT_ASCII_WORD = re.compile("[^a-z0-9]+")
_ASCII_APOSTROPHES = re.compile("['`]")
_MAX_KNOWN = 4096
_LETTERS = dict(
    zip("\u0131łđøðþ", ("i", "l", "d", "o", "d", "th"), strict=True),
    æ="ae",
    œ="oe",
    # Arabic, Persian and Urdu letters that people write for each other: yeh, kaf, heh, alef, noon.
    **dict(zip("\u0649\u06cc\u06d2\u06a9\u0629\u06c1\u06c2\u06be\u0671\u06ba", "يييكههههان", strict=True)),
    **dict.fromkeys("'`\u00b4\u2018\u2019\u201b\u02bc\u02bb\u02b9\uff07\u05f3\u0621\u0e46\u0640", ""),
    # Hangul fillers are letters to Unicode, and invisible.
    **dict.fromkeys("\u115f\u1160\u3164\uffa0", ""),
)
"""Letters that Unicode does not take apart. Apostrophes, a lone hamza and the Thai sign of repetition are left out."""
_LEFT_OUT_MARKS = (
    *((0x300, 0x36F), (0x483, 0x489), (0x591, 0x5C7), (0x610, 0x61A), (0x64B, 0x65F), (0x670, 0x670)),
    *(
        (0x6D6, 0x6ED),
        (0x1AB0, 0x1AFF),
        (0x1DC0, 0x1DFF),
        (0x20D0, 0x20FF),
        (0xFE00, 0xFE0F),
        (0xFE20, 0xFE2F),
    ),
    *((0x93C, 0x93C), (0x9BC, 0x9BC)),  # the dot below of Hindi and Bengali
)
"""Accents, vowel points and variation selectors. Marks of other scripts are vowels and tones: they stay."""


class _Folds(dict[int, str]):
    """What each character becomes, worked out when it is first seen."""

    def __init__(self, *, keeps_marks: bool) -> None:
        super().__init__()
        self._keeps_marks = keeps_marks

    def __missing__(self, code: int) -> str:
        folded = self._fold(chr(code))
        if len(self) < _MAX_KNOWN:
            self[code] = folded
        return folded

    def _fold(self, char: str) -> str:
        if char in _LETTERS and not (self._keeps_marks and char == "đ"):
            return _LETTERS[char]
        category = unicodedata.category(char)
        if category == "Nd":
            return str(unicodedata.digit(char))
        if category in ("Mn", "Mc", "Me"):
            code = ord(char)
            return "" if any(first <= code <= last for first, last in _LEFT_OUT_MARKS) else char
        if category == "Cf":
            return ""
        return char if category[0] in "LN" else " "


_BARE, _MARKED = _Folds(keeps_marks=False), _Folds(keeps_marks=True)


def has_vietnamese_letters(text: str) -> bool:
    """Whether a text has letters of Vietnamese alone, so that its other marks count, too."""
    return _VIETNAMESE.search(unicodedata.normalize("NFC", text).casefold()) is not None


def fold(text: str, *, keeps_marks: bool = False) -> str:
    """Return the words of a text in their comparable form, with single spaces between them.

    `keeps_marks`: the text is a part of a Vietnamese one. A whole text shows by its letters whether it is.
    """
    if text.isascii():
        return _NOT_ASCII_WORD.sub(" ", _ASCII_APOSTROPHES.sub("", text.lower())).strip()
    plain = unicodedata.normalize("NFKC", text).casefold()
    if keeps_marks or _VIETNAMESE.search(plain):
        folded = plain.translate(_MARKED)
    else:
        folded = unicodedata.normalize("NFKD", plain).translate(_BARE)
    return " ".join(folded.split())
