"""Where a person shows in what Meta sent: as number, user id, or inside a message id, which holds the number in Base64.

For erasing: rather takes an item too many than one too few. Pure; odd input is a trace or none, never an exception.
"""

import json
import re
from base64 import b64encode
from collections.abc import Collection, Iterator
from typing import Any

from webhook_app.whatsapp.json_text import decode
from webhook_app.whatsapp.people.contacts import variants

_SHORTEST = 7  # shorter keys would be found in every second id
_STRINGS = re.compile(r'"((?:[^"\\]|\\.){1,600})"')

ERASED = "erased"


class Traces:
    """What to look for: the person's keys in every spelling, and the ids of their messages."""

    def __init__(self, keys: Collection[str], message_ids: Collection[str] = ()) -> None:
        self.keys = tuple(dict.fromkeys(spelling for key in keys for spelling in variants(key)))
        self.message_ids = frozenset(message_ids)
        patterns = [rf"(?<![0-9A-Za-z]){re.escape(key)}(?![0-9A-Za-z])" for key in self.keys]
        long_keys = (key for key in self.keys if len(key) >= _SHORTEST)
        self.encoded = tuple(sorted({core for key in long_keys for core in _in_base64(key)}))
        """The keys as they stand inside message ids."""
        self._pattern = re.compile("|".join([*patterns, *map(re.escape, self.encoded)]) or r"(?!)")

    def in_text(self, text: str) -> bool:
        """Whether a single text, as decoded, shows the person."""
        return text in self.message_ids or self._pattern.search(text) is not None

    def in_json(self, text: str) -> bool:
        r"""Whether JSON may show the person; Meta writes / as \/ at times."""
        text = text.replace("\\/", "/")
        if self._pattern.search(text) is not None:
            return True
        return bool(self.message_ids) and not self.message_ids.isdisjoint(_STRINGS.findall(text))

    def without(self, body: bytes) -> bytes | None:
        """The body without the items that show the person; None when nothing can be kept apart from them."""
        if not self.in_json(body.decode("utf-8", "replace")):
            return body
        try:
            kept, shown = self._apart(decode(body))
        except (ValueError, RecursionError):
            return None
        return None if shown else json.dumps(kept, separators=(",", ":")).encode()

    def blanked(self, value: Any) -> Any:
        """The same JSON value with each text that shows the person replaced."""
        if type(value) is str:
            return ERASED if self.in_text(value) else value
        if type(value) is int and self.in_text(str(value)):
            return ERASED
        if type(value) is list:
            return [self.blanked(item) for item in value]
        if type(value) is dict:
            return {self.blanked(key): self.blanked(item) for key, item in value.items()}
        return value

    def _apart(self, value: Any) -> tuple[Any, bool]:
        """The value without the list items that show the person, and whether it shows them all the same."""
        if type(value) is list:
            return [kept for kept, shown in map(self._apart, value) if not shown], False
        if type(value) is dict:
            parts = {key: self._apart(item) for key, item in value.items()}
            shown = any(found for _, found in parts.values()) or any(map(self.in_text, parts))
            return {key: kept for key, (kept, _) in parts.items()}, shown
        return value, self.in_text(value if type(value) is str else str(value))


def _in_base64(text: str) -> Iterator[str]:
    """What the text looks like inside a longer Base64 text, for each of the three places it can begin at."""
    raw = text.encode()
    for offset in range(3):
        encoded = b64encode(bytes(offset) + raw).decode().rstrip("=")
        whole = len(encoded) if (offset + len(raw)) % 3 == 0 else len(encoded) - 1
        yield encoded[-(-offset * 8 // 6) : whole]
