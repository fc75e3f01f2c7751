"""Finds a person in stored webhooks by number, user id or message id, which contains the number in Base64.

Used for erasure, so it prefers false matches to missed ones. Pure; invalid input never raises.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import groupby
from os.path import commonprefix
from typing import Any
from unicodedata import decimal

from webhook_app.whatsapp.json_text import compact, decode
from webhook_app.whatsapp.normal_form import normal_form
from webhook_app.whatsapp.people.contacts import variants
from webhook_app.whatsapp.sends.send_reports import GENERATED_ID_PREFIX

_SHORTEST = 7  # shorter keys would match too many ids by chance
_SEPARATOR = r'[^0-9A-Za-z"{}[\]]'  # two values of JSON are no number
_PREFIXES = "(?:00|011)?"  # before a country code; the second in North America
_WRITTEN_OUT = r"%(?:25)?[0-9A-Fa-f]{2}|&nbsp;|\(0\)"  # a separator in a URL or a page; +44 (0)20
_SIGN_OF_JSON = rf"{_WRITTEN_OUT}|\\+(?:[bfnrt]|u00[0-9A-Fa-f]{{2}})"
_DIGITS = {ord(each): str(decimal(each)) for each in map(chr, range(0x20000)) if each.isdecimal()}
_IN_ALL_SCRIPTS = {
    str(n): f"[{''.join(chr(code) for code, each in _DIGITS.items() if each == str(n))}]" for n in range(10)
}
_COMPARED = (
    24  # characters; for a hundred user ids as long as they may be, Postgres would need more than 1 GB
)
_SIGNS_WRITTEN_OUT = re.compile(_WRITTEN_OUT)
_ESCAPED = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_NESTED = 2
_PIECE, _OVERLAP = (
    2**14,
    2**12,
)  # characters of a text that are searched together; in normal form they may be 18 each
_BESIDE = bytes(each for each in range(256) if not (chr(each).isascii() and chr(each).isalnum()))
# A sender can report any text as an id: a word of Meta's format, a template or a business number would match others.
_ID_FORMS = ("wamid.", GENERATED_ID_PREFIX)
_IDS = re.compile(rf'(?:{"|".join(map(re.escape, _ID_FORMS))})[^"\\]{{1,600}}')

ERASED = "erased"

Pause = Callable[[], object]


def _no_pause() -> None:
    pass


class Traces:
    """A matcher for one person: all variants of their keys, and the ids of their messages in Meta's form or ours.

    `pause` is called after each piece of a search, which takes some milliseconds at most.
    """

    def __init__(
        self, keys: Collection[str], message_ids: Collection[str] = (), pause: Pause = _no_pause
    ) -> None:
        self._pause = pause
        self.keys = tuple(dict.fromkeys(spelling for key in keys for spelling in variants(key)))
        self.message_ids = frozenset(message_ids)
        self._searched_ids = frozenset(each for each in self.message_ids if each.startswith(_ID_FORMS))
        long_keys = (key for key in self.keys if len(key) >= _SHORTEST)
        self.encoded = tuple(sorted({core for key in long_keys for core in _in_base64(key)}))
        """The keys as encoded in message ids."""
        self.pattern = _pattern(self.keys, self.encoded, _COMPARED)
        """A regular expression of Postgres for text in NFKC: it finds all texts that in_text does, except message ids.

        It finds a few others too, because it has only the beginnings of long keys.
        """
        self._pattern = re.compile(_pattern(self.keys, self.encoded))
        keys, encoded = (
            [_letters_and_digits(each).decode() for each in some] for some in (self.keys, self.encoded)
        )
        held = "|".join([*_any_of(keys, "", _in_either_case), *_any_of(encoded)])
        self._held = re.compile(held.encode() or rb"(?!)")

    def in_text(self, text: str) -> bool:
        """Whether a decoded text identifies the person."""
        return text in self._searched_ids or any(map(self._is_spelled_in, self._pieces(text)))

    def in_json(self, text: str) -> bool:
        """Whether JSON may identify the person."""
        return any(map(self._is_in_json, self._pieces(text)))

    def _is_in_json(self, text: str) -> bool:
        """Any character may be escaped. A text may itself be JSON, so escapes may be escaped."""
        for _ in range(_NESTED):
            text = _unescaped(text)
            if self._is_spelled_in(text):
                return True
            if self._searched_ids and not self._searched_ids.isdisjoint(_IDS.findall(text)):
                return True
            if "\\" not in text:
                return False
        return False

    def _is_spelled_in(self, text: str) -> bool:
        """In normal form a piece may be many times as long, so it is cut again."""
        return any(map(self._is_found_in, self._pieces(normal_form(text))))

    def _is_found_in(self, plain: str) -> bool:
        if not plain.isascii():
            plain = plain.translate(_DIGITS)
        if self._is_written_in(plain):
            return True
        signs = _SIGNS_WRITTEN_OUT.sub(" ", plain)
        return signs != plain and self._is_written_in(signs)

    def _is_written_in(self, plain: str) -> bool:
        held = _letters_and_digits(plain)  # takes a twentieth of the search
        return self._held.search(held) is not None and self._pattern.search(plain) is not None

    def _pieces(self, text: str) -> Iterator[str]:
        for begin in range(0, max(len(text) - _OVERLAP, 1), _PIECE):
            yield text[begin : begin + _PIECE + _OVERLAP]
            self._pause()

    def without(self, body: bytes) -> bytes | None:
        """Remove the items that identify the person from a body; None if nothing can be kept."""
        if not self.in_json(body.decode("utf-8", "replace")):
            return body
        try:
            kept, found = self._remove_items(decode(body))
        except (ValueError, RecursionError):
            return None
        return None if found else compact(kept)

    def redacted(self, value: Any) -> Any:
        """Replace each text in a JSON value that identifies the person."""
        if type(value) is str:
            return ERASED if self.in_text(value) else value
        if type(value) is int and self.in_text(str(value)):
            return ERASED
        if type(value) is list:
            return [self.redacted(item) for item in value]
        if type(value) is dict:
            return {self.redacted(key): self.redacted(item) for key, item in value.items()}
        return value

    def _remove_items(self, value: Any) -> tuple[Any, bool]:
        """Remove the list items that identify the person; also return whether the rest still does."""
        self._pause()
        if type(value) is list:
            parts = map(self._remove_items, value)
            return [kept for kept, found in parts if not found], False
        if type(value) is dict:
            by_key = {key: self._remove_items(item) for key, item in value.items()}
            found = [found or self.in_text(key) for key, (_, found) in by_key.items()]
            return {key: kept for key, (kept, _) in by_key.items()}, any(found)
        return value, self.in_text(value if type(value) is str else str(value))


def _letters_and_digits(text: str) -> bytes:
    return text.encode(errors="replace").translate(None, _BESIDE)


def _unescaped(text: str) -> str:
    """The text of JSON with a space for each escaped control character."""
    if "\\" not in text:
        return text
    text = _ESCAPED.sub(_character, text)
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(escaped: re.Match[str]) -> str:
    return chr(int(escaped[1], 16)) if escaped[1] else " " if escaped[2] in "bfnrt" else escaped[2]


def _pattern(keys: Collection[str], encoded: Iterable[str], most: int | None = None) -> str:
    """A pattern of keys in any spelling, or in Base64. `most`: compare only as many characters of each."""
    return "|".join([*_spelled(keys, most), *_any_of(each[:most] for each in encoded)]) or r"(?!)"


def _spelled(keys: Collection[str], most: int | None) -> Iterator[str]:
    """Patterns of keys as people write them: numbers with separators, prefixes or letters around, user ids as words in
    capital or small letters.

    With `most`, for a search in the database, the digits may be of any script, and signs written out, or escaped in
    JSON.
    """
    numbers = {key for key in keys if len(key) >= _SHORTEST and key.isdecimal()}
    end = "" if most else "(?![0-9A-Za-z])"
    for words in _any_of((key[:most] for key in keys if key not in numbers), "", _in_either_case):
        before = rf"(?:(?<![0-9A-Za-z])|{_SIGN_OF_JSON})" if most else "(?<![0-9A-Za-z])"
        yield rf"{before}(?:{words}){end}"
    if most:
        for words in _any_of(
            numbers, f"(?:{_SIGN_OF_JSON}|{_SEPARATOR}){{0,6}}", _IN_ALL_SCRIPTS.__getitem__
        ):
            yield rf"(?:(?<![0-9])|{_SIGN_OF_JSON}){_PREFIXES}(?:{words})(?![0-9])"
    else:
        for words in _any_of(numbers, f"{_SEPARATOR}{{0,3}}"):
            yield rf"(?<![0-9]){_PREFIXES}(?:{words})(?![0-9])"


def _any_of(
    words: Iterable[str], between: str = "", of_letter: Callable[[str], str] = re.escape
) -> Iterator[str]:
    """Patterns of these words, one for each first letter. A beginning that words share is compared once.

    So the time of a search does not grow with their number. `of_letter`: the pattern of a letter.
    """
    for _, alike in groupby(sorted(set(words) - {""}), key=lambda word: word[0]):
        each = list(alike)
        begin = commonprefix(each)  # noqa: RUF071  these are no paths
        rest = "|".join(_any_of((word[len(begin) :] for word in each), between, of_letter))
        rest = rest and f"(?:{between}(?:{rest})){'?' if begin in each else ''}"
        yield between.join(map(of_letter, begin)) + rest


def _in_either_case(letter: str) -> str:
    return (
        f"[{letter.upper()}{letter.lower()}]" if letter.isascii() and letter.isalpha() else re.escape(letter)
    )


def _in_base64(text: str) -> Iterator[str]:
    """Yield the text's form inside a longer Base64 text, for each of the three possible offsets."""
    raw = text.encode()
    for offset in range(3):
        encoded = b64encode(bytes(offset) + raw).decode().rstrip("=")
        end = len(encoded) if (offset + len(raw)) % 3 == 0 else len(encoded) - 1
        yield encoded[-(-offset * 8 // 6) : end]
