"""Where the keys of a rules file stand: tomllib gives values without lines, people need the line of a fault.

Reads text that tomllib has already accepted, and finds places only: values and their meaning stay out.
"""

import re
import tomllib
from collections.abc import Iterator

from msgspec import Struct

# A string of any of the four kinds (a multi-line one ends in three to five quotes), a comment, a character.
_PIECE = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|.",
    re.DOTALL,
)


class KeyPosition(Struct, frozen=True):
    """A table of the file: the line of its header, and of each of its keys. Lines count from 1."""

    line: int
    keys: dict[str, int]

    def of(self, key: str) -> int:
        return self.keys.get(key, self.line)


class KeyPositions(Struct, frozen=True):
    """The keys before any header, and one place for each [[table]] of the array that was asked for."""

    top: KeyPosition
    tables: list[KeyPosition]


def find_places(text: str, array: str) -> KeyPositions:
    """The line of every key of the file, and of every key of each table in the array of this name."""
    places = KeyPositions(KeyPosition(1, {}), [])
    here = places.top.keys
    for line, statement in _statements(text):
        path = _path(statement)
        if not statement.startswith("["):
            here.setdefault(path[0], line)
        elif path == [array] and statement.startswith("[["):
            places.tables.append(KeyPosition(line, {}))
            here = places.tables[-1].keys
        else:  # a table we do not know, inside one of ours or beside them: its own keys are nobody's
            inside = path[0] == array and len(path) > 1 and places.tables
            owner = places.tables[-1].keys if inside else places.top.keys
            owner.setdefault(path[1] if inside else path[0], line)
            here = {}
    return places


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header or `key = value` without comments, over all its lines, and the line it begins on."""
    line, began, depth = 1, 1, 0
    parts: list[str] = []
    for piece in _PIECE.findall(text + "\n"):
        if piece == "\n" and depth == 0:
            if parts:
                yield began, "".join(parts)
            parts = []
        elif not piece.startswith("#") and (parts or not piece.isspace()):
            began = began if parts else line
            parts.append(piece)
            depth += (piece in ("[", "{")) - (piece in ("]", "}"))
        line += piece.count("\n")


def _path(statement: str) -> list[str]:
    """The names of a header, or of the left side of an assignment: `[a."b c"]` gives a and b c."""
    names: list[str] = []
    table: object = tomllib.loads(statement)
    while isinstance(table, dict) and table:
        name, table = next(iter(table.items()))
        names.append(name)
    return names
