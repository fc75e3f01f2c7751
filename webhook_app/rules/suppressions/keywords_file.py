"""Reads KEYWORDS_FILE: an operator's changes to the words that stop or start messages. TOML text in, words out.

docs/keywords.toml shows the format; every fault is reported with its line and key.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from webhook_app.rules.toml_lines import find_lines
from webhook_app.whatsapp.people.folding import fold
from webhook_app.whatsapp.people.keyword_matching import Keywords, KeywordTable, key_of, with_tables
from webhook_app.whatsapp.people.keywords import DEFAULT, MAX_LENGTH
from webhook_app.whatsapp.people.phrase_patterns import Meaning

MEANINGS: Mapping[str, Meaning] = {
    "stop": "stop",
    "stop_marketing": "stop_marketing",
    "ambiguous": "ambiguous",
    "everyday": "",
    "start": "start",
}
_BUTTONS, _REPLACE = "buttons", "replace"
_NUMBER = re.compile(r"\+[1-9][0-9]{0,14}")
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$| \(at end of document\)$")

KeyPath = tuple[str, ...]


class KeywordsError(ValueError):
    """An invalid keywords file; the message lists every fault with its line and key."""


def read_keywords(text: str) -> Keywords:
    """The default words with the changes of the file, or its words alone with `replace = true`."""
    document = _load(text)
    if faults := list(_faults(document)):
        lines = find_lines(text)
        raise KeywordsError(
            "; ".join(f"line {_line(lines, path)}: {'.'.join(path)}: {fault}" for path, fault in faults)
        )
    return _changed(document)


def _load(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        at = _AT_LINE.search(str(error))
        line = at[1] if at and at[1] else max(len(text.splitlines()), 1)
        raise KeywordsError(f"line {line}: not valid TOML: {_AT_LINE.sub('', str(error))}") from None


def _line(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of a key, or of the table it is in."""
    return next((lines[path[:size]] for size in range(len(path), 0, -1) if path[:size] in lines), 1)


def _faults(document: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    yield from _table_faults((), {key: document[key] for key in document if key in MEANINGS})
    for key, value in document.items():
        if key == _REPLACE:
            if type(value) is not bool:
                yield (key,), "must be true or false"
        elif key == _BUTTONS or _NUMBER.fullmatch(key):
            if type(value) is dict:
                yield from _table_faults((key,), value)
            else:
                yield (key,), "must be a table with lists of words"
        elif key not in MEANINGS:
            valid = ", ".join((*MEANINGS, _BUTTONS, _REPLACE))
            yield (
                (key,),
                f'unknown key; valid are {valid}, and a table such as ["+1"] for the numbers of a country',
            )


def _table_faults(path: KeyPath, table: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    seen: dict[str, str] = {}
    for kind, words in table.items():
        place = (*path, kind)
        if kind not in MEANINGS:
            yield place, f"unknown key; valid are {', '.join(MEANINGS)}"
        elif type(words) is not list or any(type(word) is not str for word in words):
            yield place, "must be a list of words"
        else:
            for word in words:
                key = key_of(word)
                if not 0 < len(word) <= MAX_LENGTH:
                    yield place, f"{word[:40]!r} does not have 1 to {MAX_LENGTH} characters"
                elif not key:
                    yield place, f"{word!r} has neither letters nor digits and can never match"
                elif seen.setdefault(key, kind) != kind:
                    yield place, f"{word!r} is in {seen[key]}, too"


def _changed(document: Mapping[str, Any]) -> Keywords:
    base = Keywords(courtesies=DEFAULT.courtesies) if document.get(_REPLACE) else DEFAULT
    tables = {prefix: KeywordTable(dict(table.typed), dict(table.tapped)) for prefix, table in base.tables}
    everybody = tables.setdefault("", KeywordTable({}, dict(DEFAULT.tables[-1][1].tapped)))
    for key, meaning in _meanings(document):
        for table in tables.values():
            table.typed.pop(key, None)
        everybody.typed[key] = meaning
    everybody.tapped.update(_meanings(document.get(_BUTTONS, {})))
    for number in filter(_NUMBER.fullmatch, document):
        tables.setdefault(number[1:], KeywordTable({}, {})).typed.update(_meanings(document[number]))
    words = {fold(word) for kind in MEANINGS for word in document.get(kind, ())}
    return with_tables(Keywords((), base.patterns, base.apart - words, base.courtesies), tables)


def _meanings(table: Mapping[str, Any]) -> Iterator[tuple[str, Meaning]]:
    """The key and the meaning of every word of a table."""
    return ((key_of(word), meaning) for kind, meaning in MEANINGS.items() for word in table.get(kind, ()))
