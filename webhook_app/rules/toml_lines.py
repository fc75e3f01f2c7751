"""Finds the line of each key of a TOML file, since tomllib gives values without lines.

Expects text that tomllib has already accepted. Does not interpret values.
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


class TableLines(Struct, frozen=True):
    """The line of a table's header and of each of its keys, counted from 1."""

    line: int
    keys: dict[str, int]

    def of(self, key: str) -> int:
        """The line of the key, or of the header if the table lacks the key."""
        return self.keys.get(key, self.line)


class FileLines(Struct, frozen=True):
    """The lines of the keys outside of the array, and of each [[table]] in it."""

    top: TableLines
    tables: list[TableLines]


def find_key_lines(text: str, array: str) -> FileLines:
    """The line of every key of the file, and of every key of each table in the array of this name."""
    file_lines = FileLines(TableLines(1, {}), [])
    current = file_lines.top.keys
    for line, statement in _statements(text):
        path = _path(statement)
        if not statement.startswith("["):
            current.setdefault(path[0], line)
        elif path == [array] and statement.startswith("[["):
            file_lines.tables.append(TableLines(line, {}))
            current = file_lines.tables[-1].keys
        else:  # another table, inside one of the array or beside it: its keys are not needed
            inside = path[0] == array and len(path) > 1 and file_lines.tables
            owner = file_lines.tables[-1].keys if inside else file_lines.top.keys
            owner.setdefault(path[1] if inside else path[0], line)
            current = {}
    return file_lines


def find_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line of every table and key of the file, by the names that lead to it."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for line, statement in _statements(text):
        names = tuple(_path(statement))
        if statement.startswith("["):
            table = names
            found.setdefault(table, line)
        else:
            found.setdefault(table + names, line)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header, and each key as `key=0`, with its first line and without comments."""
    line, began, depth = 1, 1, 0
    parts: list[str] = []
    for piece in _PIECE.findall(text + "\n"):
        if piece == "\n" and depth == 0:
            if parts:
                yield began, "".join(parts)
            parts = []
        elif not piece.startswith("#") and (parts or not piece.isspace()):
            began = began if parts else line
            if parts[-1:] != ["=0"]:  # a value may be long, and is not needed
                parts.append("=0" if piece == "=" else piece)
            depth += (piece in ("[", "{")) - (piece in ("]", "}"))
        line += piece.count("\n")


def _path(statement: str) -> list[str]:
    """The names in a header or on the left of an assignment: `[a."b c"]` gives a and b c."""
    names: list[str] = []
    table: object = tomllib.loads(statement)
    while isinstance(table, dict) and table:
        name, table = next(iter(table.items()))
        names.append(name)
    return names
