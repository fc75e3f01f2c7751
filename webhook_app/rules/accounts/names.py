"""Replaces Meta's ids of business numbers and accounts in a text by the names that people know."""

import re
from collections.abc import Mapping

_ID = re.compile(r"(?<![\w+/=-])[0-9]{10,32}(?![\w/=-])")
"""An id that stands alone, longer than any error code; in an address or a message id it is left as it is."""


_MOST_IDS = 500
LONGEST_NAME = 100


def ids_in(text: str) -> list[str]:
    """The texts that may be ids of business numbers or accounts, each once."""
    return list(dict.fromkeys(_ID.findall(text)))[:_MOST_IDS]


def with_names(text: str, names: Mapping[str, str]) -> str:
    """The text with each known id replaced by its name, of which the beginning is enough."""
    return _ID.sub(lambda found: names.get(found[0], found[0])[:LONGEST_NAME], text) if names else text
