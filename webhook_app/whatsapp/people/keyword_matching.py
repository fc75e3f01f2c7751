"""Decides what a typed text or a tapped button says about messages: stop them, stop marketing, start again, or nothing.

Pure: text and contact in, meaning out. keywords.py holds the words of all languages. A word counts only as the whole
text; WhatsApp itself interprets none.
"""

import re
import unicodedata
from collections.abc import Mapping

from msgspec import Struct

from webhook_app.whatsapp.people.courtesies import Courtesies
from webhook_app.whatsapp.people.folding import fold
from webhook_app.whatsapp.people.numbering import calling_code_of
from webhook_app.whatsapp.people.phrase_patterns import BEGINNING, Meaning, Patterns, meaning_of

MAX_LENGTH = 120
"""Longer texts are no keywords. The longest listed phrase has 70 characters; courtesies come on top."""

_LONG_RUN = re.compile(r"(\w)\1{2,}")
_REPEATED = re.compile(r"(..+?)\1+")
_LAUGHTER = re.compile("[😂🤣😅😆😹😜😝🤪]")
_QUESTION = re.compile("[?\uff1f\u061f]")


class KeywordTable(Struct, frozen=True):
    """Meanings by key (`key_of`). An empty meaning says that the word means nothing here."""

    typed: dict[str, Meaning]
    tapped: dict[str, Meaning]


class Keywords(Struct, frozen=True, eq=False):
    """The words in force; `with_tables` makes them."""

    tables: tuple[tuple[str, KeywordTable], ...] = ()
    """For numbers that begin so, the longest beginning first. The last table applies to everybody."""
    patterns: Patterns = {}
    """Phrases of many forms. The words of the tables come before them."""
    apart: frozenset[str] = frozenset()
    """Everyday phrases that only a space distinguishes from a keyword: nomás from no más."""
    courtesies: Courtesies = Courtesies()
    listed: frozenset[str] = frozenset()
    tappable: frozenset[str] = frozenset()
    """The keys of all tables, typed and tapped."""
    beginnings: frozenset[str] = frozenset()
    """The first letters of all words and patterns."""

    def typed(self, text: str, contact: str = "") -> Meaning:
        """What a typed text says, from a person with this contact key."""
        found = self._find(_folded(text))
        if found is None:
            return ""
        key, is_bare = found
        meaning = self._meaning(key, contact)
        doubtful = _is_doubtful(text)
        if meaning == "start":
            return "" if doubtful or _QUESTION.search(text) else meaning
        if not meaning or (is_bare and not doubtful):
            return meaning
        # A courtesy makes an ambiguous word the end of an order: "cancel please", "basta, grazie".
        if meaning == "ambiguous":
            return ""
        return "ambiguous" if meaning == "stop" and doubtful else meaning

    def tapped(self, text: str, contact: str = "") -> Meaning:
        """What the title or the payload of a button, a list row or a flow's answer says."""
        if (key := _folded(text).replace(" ", "")) not in self.tappable:
            return ""
        return next((table.tapped[key] for table in self._tables(contact) if key in table.tapped), "")

    def may_mean(self, text: str) -> bool:
        """Whether the text says something when somebody types or taps it."""
        folded = _folded(text)
        return self._find(folded) is not None or folded.replace(" ", "") in self.tappable

    def _meaning(self, key: str, contact: str) -> Meaning:
        if key in self.listed:
            for table in self._tables(contact):
                if key in table.typed:
                    return table.typed[key]
        return meaning_of(key, self.patterns)

    def _tables(self, contact: str) -> list[KeywordTable]:
        digits = contact if contact.isdecimal() else calling_code_of(contact[:2]) if contact else ""
        return [table for beginning, table in self.tables if digits.startswith(beginning)]

    def _find(self, folded: str) -> tuple[str, bool] | None:
        """The key of the word in a folded text, and whether the text is nothing else. None: no listed word."""
        if not folded or folded in self.apart:
            return None
        if found := self._listed(folded.replace(" ", "")):
            return found, True
        polite = self.courtesies.strip(folded)
        return (found, False) if polite and (found := self._listed(polite)) else None

    def _listed(self, key: str) -> str:
        """The key itself, or the word that it repeats, if it is listed; else empty."""
        if key in self.listed:
            return key
        # Most texts of a conversation begin like no keyword, and end here.
        if key[:BEGINNING] not in self.beginnings and len(set(key[:BEGINNING])) == len(key[:BEGINNING]):
            return ""
        return next(
            (each for each in (key, _once(key)) if each in self.listed or meaning_of(each, self.patterns)), ""
        )


def with_tables(base: Keywords, tables: Mapping[str, KeywordTable]) -> Keywords:
    """The words of `base` with these tables, by the beginning of the numbers they are for; "" is for everybody."""
    ordered = tuple(sorted(tables.items(), key=lambda each: (-len(each[0]), each[0])))
    return Keywords(
        ordered,
        base.patterns,
        base.apart,
        base.courtesies,
        listed := frozenset(key for _, table in ordered for key in table.typed),
        frozenset(key for _, table in ordered for key in table.tapped),
        frozenset(key[:BEGINNING] for key in (*listed, *base.patterns)),
    )


def key_of(text: str) -> str:
    """Return the folded text without spaces: people write `optout` and `opt out`. Empty without letters and digits."""
    return fold(text).replace(" ", "")


def _folded(text: str) -> str:
    """The folded text; empty if it is too long for a keyword. One character can stand for eighteen (U+FDFA)."""
    if len(text) > MAX_LENGTH or len(unicodedata.normalize("NFKC", text)) > MAX_LENGTH:
        return ""
    return fold(text)


def _once(key: str) -> str:
    """The word of a text that repeats a letter or the word: stoppp, STOP STOP."""
    key = _LONG_RUN.sub(r"\1", key)
    if key.find(key[:2], 2) < 0:
        return key
    repeated = _REPEATED.fullmatch(key)
    return repeated[1] if repeated else key


def _is_doubtful(text: str) -> bool:
    """Whether the writer laughs, or asks with a single word: "Stop?" may be a bus stop."""
    return bool(_LAUGHTER.search(text)) or (bool(_QUESTION.search(text)) and " " not in fold(text))
