"""Removes the text of messages from a body before it is stored. Ids, times and keywords stay.

Redaction is idempotent. A body without messages is returned byte for byte.
"""

import json
import re
from typing import Any

import msgspec

from webhook_app.whatsapp.json_text import decode, limit_depth
from webhook_app.whatsapp.people.keywords import DEFAULT, Keywords, keyword_in

REMOVED = "[removed]"

_MAY_HOLD_TEXT = re.compile(rb'"(?:messages|message_echoes|history|group_subject|group_description)"\s*:')
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
    """Replace the text of messages, except texts that are a stop or start word.

    Invalid JSON is returned unchanged. JSON nested too deeply is cut first.
    """
    if not _MAY_HOLD_TEXT.search(body):
        return body
    try:
        document = decode(body)
        redacted = _redact(document, words, is_text=False)
    except RecursionError:
        cut = limit_depth(body)
        cleaned = cut if cut == body else redact_text(cut, words)
        return body if cleaned == cut else cleaned
    except ValueError:
        return body
    return body if redacted == document else msgspec.json.encode(redacted)


def _redact(value: Any, words: Keywords, *, is_text: bool) -> Any:
    if type(value) is dict:
        return {key: _redact_key(key, inner, words, is_text=is_text) for key, inner in value.items()}
    if type(value) is list:
        return [_redact(inner, words, is_text=is_text) for inner in value]
    if is_text and type(value) is float:
        return None  # a location
    return _redact_string(value, words) if is_text and type(value) is str else value


def _redact_key(key: str, value: Any, words: Keywords, *, is_text: bool) -> Any:
    if key in _UNCHANGED_KEYS:
        return value
    if is_text and type(value) is str:
        if key == "response_json":
            return _redact_form(value, words)
        return value if key in _KEPT_KEYS else _redact_string(value, words)
    return _redact(value, words, is_text=is_text or key in _TEXT_KEYS)


def _redact_string(text: str, words: Keywords) -> str:
    return text if keyword_in(text, words) else REMOVED


def _redact_form(text: str, words: Keywords) -> str:
    """Reduce a flow's answers, which are JSON in a string, to the keywords among them."""
    try:
        answers = json.loads(text)
    except (ValueError, RecursionError):
        return REMOVED
    if type(answers) is not dict:
        return REMOVED
    kept = {key: value for key, answer in answers.items() if (value := _only_keywords(answer, words))}
    return json.dumps(kept) if kept else REMOVED


def _only_keywords(answer: Any, words: Keywords) -> Any:
    """Return the answer if it is a keyword, or the keywords of a multiple choice."""
    if type(answer) is list:
        return [each for each in answer if type(each) is str and keyword_in(each, words)]
    return answer if type(answer) is str and keyword_in(answer, words) else None
