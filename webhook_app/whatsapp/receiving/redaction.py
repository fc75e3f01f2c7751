"""Takes what people wrote out of a body before anything keeps it. What can be acted on stays: ids, times, keywords.

Redacting twice is redacting once. A body without messages comes back as it was, byte for byte.
"""

import json
import re
from typing import Any

import msgspec

from webhook_app.whatsapp.json_text import decode, shallow
from webhook_app.whatsapp.people.keywords import DEFAULT, Keywords, keyword_in

REMOVED = "[removed]"

_MAY_HOLD_TEXT = re.compile(rb'"(?:messages|message_echoes|history|group_subject|group_description)"\s*:')
_WRITTEN = frozenset(("messages", "message_echoes", "group_subject", "group_description"))
"""Below these keys every text goes that is not known to be harmless."""

_HARMLESS = frozenset(
    (
        *("id", "timestamp", "type", "status", "event", "direction", "origin", "mime_type"),
        *("from", "from_user_id", "from_parent_user_id", "to", "to_user_id", "to_parent_user_id", "group_id"),
        *("wa_id", "new_wa_id", "phone", "user_id", "parent_user_id", "previous_user_id", "previous_parent_user_id"),
        *("message_id", "original_message_id", "previous_wa_id"),
    )
)  # fmt: skip
_WHOLE = frozenset(("errors",))  # Meta's own words


def without_text(body: bytes, words: Keywords = DEFAULT) -> bytes:
    """The body with the text of messages replaced, except where all of it is a stop or start word.

    What is no JSON is nothing that could be told apart: it comes back as it is. A depth bomb is cut out first.
    """
    if not _MAY_HOLD_TEXT.search(body):
        return body
    try:
        document = decode(body)
        redacted = _redact(document, words, written=False)
    except RecursionError:
        cut = shallow(body)
        cleaned = cut if cut == body else without_text(cut, words)
        return body if cleaned == cut else cleaned
    except ValueError:
        return body
    return body if redacted == document else msgspec.json.encode(redacted)


def _redact(value: Any, words: Keywords, *, written: bool) -> Any:
    if type(value) is dict:
        return {key: _of_key(key, inner, words, written=written) for key, inner in value.items()}
    if type(value) is list:
        return [_redact(inner, words, written=written) for inner in value]
    if written and type(value) is float:
        return None  # where somebody is
    return _word(value, words) if written and type(value) is str else value


def _of_key(key: str, value: Any, words: Keywords, *, written: bool) -> Any:
    if key in _WHOLE:
        return value
    if written and type(value) is str:
        if key == "response_json":
            return _answers(value, words)
        return value if key in _HARMLESS else _word(value, words)
    return _redact(value, words, written=written or key in _WRITTEN)


def _word(text: str, words: Keywords) -> str:
    return text if keyword_in(text, words) else REMOVED


def _answers(text: str, words: Keywords) -> str:
    """A flow's answers, JSON inside a string: only the keywords among them."""
    try:
        answers = json.loads(text)
    except (ValueError, RecursionError):
        return REMOVED
    if type(answers) is not dict:
        return REMOVED
    kept = {key: value for key, answer in answers.items() if (value := _keywords(answer, words))}
    return json.dumps(kept) if kept else REMOVED


def _keywords(answer: Any, words: Keywords) -> Any:
    """The answer if it is a keyword; of several that were ticked, those that are."""
    if type(answer) is list:
        return [each for each in answer if type(each) is str and keyword_in(each, words)]
    return answer if type(answer) is str and keyword_in(answer, words) else None
