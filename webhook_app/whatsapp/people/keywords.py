"""The words that stop or start messages, of all languages, from keywords.csv; each with its kind and the reason.

Read once. keyword_matching.py compares texts with them; rules/suppressions/keywords_file.py reads changes to them.
"""

import csv
from collections.abc import Iterator
from importlib import resources
from io import StringIO
from typing import Literal

from msgspec import Struct, convert

from webhook_app.whatsapp.people.courtesies import courtesies
from webhook_app.whatsapp.people.folding import fold
from webhook_app.whatsapp.people.keyword_matching import MAX_LENGTH, Keywords, KeywordTable, with_tables
from webhook_app.whatsapp.people.phrase_patterns import Meaning, expand, read_patterns

__all__ = ["DEFAULT", "MAX_LENGTH", "Keywords", "read_lines"]

KEYWORDS_CSV = "keywords.csv"
Kind = Literal[
    "stop", "stop_marketing", "meta_button", "ambiguous", "start", "everyday", "politeness", "particle"
]  # fmt: skip

_MEANINGS: dict[str, Meaning] = {
    "stop": "stop",
    "stop_marketing": "stop_marketing",
    "meta_button": "stop_marketing",
    "ambiguous": "ambiguous",
    "start": "start",
    "everyday": "",
}
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


class KeywordLine(Struct, frozen=True):
    """One line of keywords.csv: words of one language that have the same kind for the same reason.

    In `words`, `;` separates patterns of phrases (phrase_patterns.py). `numbers`: only for people whose number begins
    so.
    """

    language: str
    kind: Kind
    words: str
    numbers: str
    reason: str

    def patterns(self) -> Iterator[str]:
        """Every pattern; German ones also with ae, oe, ue for the umlauts."""
        for pattern in self.words.split(";"):
            yield pattern
            if self.language == "de" and (plain := pattern.translate(_UMLAUTS)) != pattern:
                yield plain


def read_lines() -> tuple[KeywordLine, ...]:
    """All lines of keywords.csv."""
    source = resources.files(__package__).joinpath(KEYWORDS_CSV)
    rows = csv.DictReader(StringIO(source.read_text(encoding="utf-8")))
    return tuple(convert(row, KeywordLine) for row in rows)


class _Words:
    """Collects the lines of the file."""

    def __init__(self) -> None:
        self.tables: dict[str, KeywordTable] = {"": KeywordTable({}, {})}
        self.patterns: list[tuple[str, Meaning]] = []
        self.everyday: set[str] = set()
        self.courtesies: set[str] = set()
        self.particles: set[str] = set()

    def add(self, line: KeywordLine) -> None:
        for pattern in line.patterns():
            if line.kind in _MEANINGS and pattern.count("|") + pattern.count("[") > 1:
                self.patterns.append((pattern, _MEANINGS[line.kind]))
            else:
                for phrase in expand(pattern):
                    self._add_phrase(line, fold(phrase))

    def _add_phrase(self, line: KeywordLine, phrase: str) -> None:
        key = phrase.replace(" ", "")
        if line.kind == "politeness":
            self.courtesies.add(phrase)
        elif line.kind == "particle":
            self.particles.add(key)
        elif line.kind == "everyday" and not line.numbers:
            self.everyday.add(phrase)
        else:
            meaning = _MEANINGS[line.kind]
            for number in line.numbers.split() or [""]:
                table = self.tables.setdefault(number.removeprefix("+"), KeywordTable({}, {}))
                table.typed[key] = meaning
                if line.kind == "meta_button":
                    table.tapped[key] = meaning


def _default() -> Keywords:
    words = _Words()
    for line in read_lines():
        words.add(line)
    patterns = read_patterns(words.patterns)
    typed = words.tables[""].typed
    apart = frozenset(phrase for phrase in words.everyday if phrase.replace(" ", "") in typed)
    found = Keywords((), patterns, apart, courtesies(words.courtesies, words.particles))
    return with_tables(found, words.tables)


DEFAULT = _default()
