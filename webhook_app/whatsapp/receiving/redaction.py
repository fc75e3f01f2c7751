"""Removes the text of messages from a body before it is stored. Ids, times and keywords stay.

Redaction is idempotent. A body without keys of texts is returned byte for byte; of any other, only what was decoded is
kept, as the original may hold more: values of repeated keys, or keys written as escapes.
"""

import hashlib
import json
import re
from typing import Any

import msgspec

from webhook_app.whatsapp.json_text import decode, limit_depth
from webhook_app.whatsapp.people.keywords import DEFAULT, MAX_LENGTH, Keywords

REMOVED = "[removed]"
MAX_CHECKED = 10_000
"""Texts of a body that are compared with keywords; in a body with more, the others are removed unread."""
_MAX_FORM = 2**16  # characters of a flow's answers that are read

_KEYS = (
    *(b"messages", b"message_echoes", b"history", b"state_sync", b"group_subject", b"group_description"),
    *(b"text", b"body", b"caption", b"control_passed", b"control_taken"),
)
_MAY_HOLD_TEXT = re.compile(rb'"(?:' + b"|".join(_KEYS) + rb')"\s*:|\\u00|\0')
"""In JSON: a key of texts, or what such a key can be spelled with."""
_TRACES_OF_TEXT = (*_KEYS, rb"\u", b"\0")
"""In lower case; in a body that may not be JSON, where strings may begin and end anywhere."""
_NOT_KEPT = "not JSON in UTF-8, not kept: {length} bytes, SHA-256 {digest}"
_IS_NOT_KEPT = re.compile(rb"not JSON in UTF-8, not kept: \d+ bytes, SHA-256 [0-9a-f]{64}")
_STRING_OR_FRACTION = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"(\s*+:)?)?|(?<!\d)-?\d++[.eE][-+.eE\d]*+', re.DOTALL
)
_TEXT_KEYS = frozenset(
    (
        "messages",
        "message_echoes",
        "state_sync",
        "group_subject",
        "group_description",
        "text",
        "body",
        "caption",
    )
)
"""Under these keys, every text is removed unless its key is in _KEPT_KEYS."""

_KEPT_KEYS = frozenset(
    (
        *("id", "timestamp", "type", "status", "event", "direction", "origin", "mime_type"),
        *("from", "from_user_id", "from_parent_user_id", "to", "to_user_id", "to_parent_user_id", "group_id"),
        *("wa_id", "new_wa_id", "phone", "user_id", "parent_user_id", "previous_user_id", "previous_parent_user_id"),
        *("message_id", "original_message_id", "previous_wa_id"),
    )
)  # fmt: skip
_CARDS, _PLACE = "contacts", ("latitude", "longitude")
"""Keys of messages: the cards of other people, which are removed whole, and numbers that are a place."""
_HANDOVERS = frozenset(("control_passed", "control_taken"))
"""Another app describes a conversation there, in any words; only who owns it is kept."""
_OWNER_KEYS = frozenset(
    f"{which}_owner{what}" for which in ("previous", "new") for what in ("_role", "_app_role", "_app_id")
)
_UNCHANGED_KEYS = frozenset(("errors",))  # written by Meta, apart from what is below _TEXT_KEYS again

_check_syntax = msgspec.json.Decoder(msgspec.Raw).decode


def redact_text(body: bytes, words: Keywords = DEFAULT) -> bytes:
    """Replace the text of messages, except texts that are a keyword, typed or tapped.

    JSON nested too deeply is cut first. Of a body that is not JSON and may hold text, or is not UTF-8, only length and
    digest are kept.
    """
    lower = body.lower()
    if not any(trace in lower for trace in _TRACES_OF_TEXT) and _is_utf8(body):
        return body
    try:
        try:
            return _redacted(body, body, words)
        except RecursionError:
            return _redacted(limit_depth(body), body, words)
    except (ValueError, RecursionError):
        return _length_and_digest(body)


def _redacted(readable: bytes, body: bytes, words: Keywords) -> bytes:
    document = decode(readable)
    if not _MAY_HOLD_TEXT.search(body):
        return body
    return msgspec.json.encode(_Redaction(words).redact(document, is_text=False))


def remove_strings(body: bytes) -> bytes:
    """Replace all strings and fractions of a body that may hold text, except keys; faster than `redact_text`."""
    try:
        _check_syntax(body)
    except (ValueError, RecursionError):
        return _length_and_digest(body)
    if not _MAY_HOLD_TEXT.search(body):
        return body
    return _STRING_OR_FRACTION.sub(_without_text, body)


def _without_text(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return found[0]
    return b'"[removed]"' if found[0].startswith(b'"') else b"null"


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _length_and_digest(body: bytes) -> bytes:
    """What is kept of a body that cannot be redacted. It is no JSON either, so that a replay leaves it where it is."""
    if _IS_NOT_KEPT.fullmatch(body):
        return body
    return _NOT_KEPT.format(length=len(body), digest=hashlib.sha256(body).hexdigest()).encode()


class _Redaction:
    """The redaction of one body."""

    def __init__(self, words: Keywords) -> None:
        self._words, self._left = words, MAX_CHECKED

    def redact(self, value: Any, *, is_text: bool) -> Any:
        """Return the value without texts. `is_text`: it is below one of _TEXT_KEYS."""
        if type(value) is dict:
            own_card = value.get("origin") == "contact_request"  # the person's own number, sent on request
            return {
                key: self._redact_card(inner, kept=own_card)
                if is_text and key == _CARDS
                else self._redact_key(key, inner, is_text=is_text)
                for key, inner in value.items()
            }
        if type(value) is list:
            return [self.redact(inner, is_text=is_text) for inner in value]
        if is_text and type(value) is float:
            return None  # a location
        return self._redact_string(value) if is_text and type(value) is str else value

    def _redact_key(self, key: str, value: Any, *, is_text: bool) -> Any:
        if key in _UNCHANGED_KEYS and type(value) is not str:
            return self.redact(value, is_text=False)
        if is_text and type(value) is str:
            if key == "response_json":
                return self._redact_form(value)
            return value if key in _KEPT_KEYS else self._redact_string(value)
        if key in _HANDOVERS and not is_text:
            return self._redact_handover(value)
        if is_text and key in _PLACE and type(value) is int:
            return None
        return self.redact(value, is_text=is_text or key in _TEXT_KEYS)

    def _redact_handover(self, value: Any) -> Any:
        """Remove everything but the owners and the structure."""
        if type(value) is not dict:
            return self._redact_card(value, kept=False)
        return {
            key: inner
            if key in _OWNER_KEYS and type(inner) in (str, int)
            else self._redact_card(inner, kept=False)
            for key, inner in value.items()
        }

    def _redact_card(self, value: Any, *, kept: bool) -> Any:
        """Remove everything of contact cards but their structure and, if `kept`, the numbers."""
        if type(value) is dict:
            return {
                key: inner
                if kept and key in ("phone", "wa_id") and type(inner) is str
                else self._redact_card(inner, kept=kept)
                for key, inner in value.items()
            }
        if type(value) is list:
            return [self._redact_card(inner, kept=kept) for inner in value]
        return REMOVED if type(value) is str else None

    def _redact_string(self, text: str) -> str:
        return text if self._is_keyword(text) else REMOVED

    def _redact_form(self, text: str) -> str:
        """Reduce a flow's answers, which are JSON in a string, to the keywords among them."""
        if len(text) > _MAX_FORM:
            return REMOVED
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
