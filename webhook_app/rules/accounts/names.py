"""Replaces Meta's ids of business numbers and accounts in a text by the names that people know."""

import re
from collections.abc import Mapping

_ID = re.compile(r"(?<![\w+/=-])\d{6,32}(?![\w/=-])")
"""An id that stands alone; in an address or a message id it is left as it is."""


def with_names(text: str, names: Mapping[str, str]) -> str:
    """The text with each known id replaced by its name."""
    return _ID.sub(lambda found: names.get(found[0], found[0]), text) if names else text
