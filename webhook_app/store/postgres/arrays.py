"""Postgres array literals, which send a column of thousands of values as one text parameter. No queries here."""

from collections.abc import Iterable, Sequence


def text_array(values: Sequence[str]) -> str:
    """A Postgres array literal of texts."""
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') != 2 * max(len(values) - 1, 0):
        joined = '","'.join([value.replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return '{"' + joined + '"}' if values else "{}"


def int_array(values: Iterable[int]) -> str:
    """A Postgres array literal of integers."""
    return "{" + ",".join(map(str, values)) + "}"


def bool_array(values: Iterable[bool]) -> str:
    """A Postgres array literal of booleans."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"
