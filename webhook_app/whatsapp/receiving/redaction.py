"""Removes the text of messages from a body before it is stored. Ids, times and keywords stay.

Redaction is idempotent. A body without messages is returned byte for byte.
"""

import json
import re
from typing import Any

import msgspec

from webhook_app.whatsapp.json_text import decode, limit_depth
from webhook_app.whatsapp.people.keywords import DEFAULT, MAX_LENGTH, Keywords

REMOVED = "[removed]"
MAX_CHECKED = 10_000
"""Texts of a body that are compared with keywords; in a body with more, the others are removed unread."""

_MAY_HOLD_TEXT = re.compile(rb'"(?:messages|message_echoes|history|group_subject|group_description)"\s*:')
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"(\s*:)?|\Z)', re.DOTALL)
_TEXT_KEYS = frozenset(("messages", "message_echoes", "group_subject", "group_description"))
"""Under these keys, every text is removed unless its key is in _KEPT_KEYS."""

_KEPT_KEYS = frozenset(
    (
        *("id", "timestamp", "type", "status", "event", "direction", "origin", "mime_type"),
        *("from", "from_user_id", "from_parent_user_id", "to", "to_user_id", "to_parent_user_id", "group_id"),
        *("wa_id", "new_wa_id", "phone", "user_id", "parent_user_id", "previous_user_id", "previous_parent_user_id"),
        *("message_id", "original_message_id", "previous_wa_id"),
    )
)  # fmt: skip
_UNCHANGED_KEYS = frozenset(("errors",))  # written by Meta


def redact_text(body: bytes, words: Keywords = DEFAULT) -> bytes:
    """Replace the text of messages, except texts that are a keyword, typed or tapped.

    Invalid JSON is returned unchanged. JSON nested too deeply is cut first.
    """
    if not _MAY_HOLD_TEXT.search(body):
        return body
    try:
        document = decode(body)
        redacted = _Redaction(words).redact(document, is_text=False)
    except RecursionError:
        cut = limit_depth(body)
        cleaned = cut if cut == body else redact_text(cut, words)
        return body if cleaned == cut else cleaned
    except ValueError:
        return body
    return body if redacted == document else msgspec.json.encode(redacted)


def remove_strings(body: bytes) -> bytes:
    """Replace all strings of a body that may hold text, except keys. Takes a fraction of the time of `redact_text`."""
    if not _MAY_HOLD_TEXT.search(body):
        return body
    return _STRING.sub(lambda found: found[0] if found[1] else b'"[removed]"', body)


class _Redaction:
    """The redaction of one body."""

    def __init__(self, words: Keywords) -> None:
        self._words, self._left = words, MAX_CHECKED

    def redact(self, value: Any, *, is_text: bool) -> Any:
        """Return the value without texts. `is_text`: it is below one of _TEXT_KEYS."""
        if type(value) is dict:
            return {key: self._redact_key(key, inner, is_text=is_text) for key, inner in value.items()}
        if type(value) is list:
            return [self.redact(inner, is_text=is_text) for inner in value]
        if is_text and type(value) is float:
            return None  # a location
        return self._redact_string(value) if is_text and type(value) is str else value

    def _redact_key(self, key: str, value: Any, *, is_text: bool) -> Any:
        if key in _UNCHANGED_KEYS:
            return value
        if is_text and type(value) is str:
            if key == "response_json":
                return self._redact_form(value)
            return value if key in _KEPT_KEYS else self._redact_string(value)
        return self.redact(value, is_text=is_text or key in _TEXT_KEYS)

    def _redact_string(self, text: str) -> str:
        return text if self._is_keyword(text) else REMOVED

    def _redact_form(self, text: str) -> str:
        """Reduce a flow's answers, which are JSON in a string, to the keywords among them."""
        try:
            answers = json.loads(text)
        except (ValueError, RecursionError):
            return REMOVED
        if type(answers) is not dict:
            return REMOVED
        kept = {key: value for key, answer in answers.items() if (value := self._only_keywords(answer))}
        return json.dumps(kept) if kept else REMOVED

    def _only_keywords(self, answer: Any) -> Any:
        """Return the answer if it is a keyword, or the keywords of a multiple choice."""
        if type(answer) is list:
            return [each for each in answer if self._is_keyword(each)]
        return answer if self._is_keyword(answer) else None

    def _is_keyword(self, text: Any) -> bool:
        if type(text) is not str or len(text) > MAX_LENGTH or self._left <= 0:
            return False
        self._left -= 1
        return self._words.may_mean(text)
