"""Redacts API calls before storage: removes credentials, and the text of requests. Pure.

Meta's error messages repeat credentials ("Malformed access token EAA…"), so values are searched as well as keys.
"""

import re
from collections.abc import Callable
from typing import Any

REDACTED = "[redacted]"

_TOKEN_KEYS = {
    "access_token",
    "accesstoken",
    "token",
    "input_token",
    "fb_exchange_token",
    "api_key",
    "apikey",
}
_SECRET_KEYS = _TOKEN_KEYS | {
    "authorization",
    "bearer",
    "appsecret_proof",
    "app_secret",
    "client_secret",
    "secret",
}
_SECRET_KEYS |= {"password", "pin", "cookie", "certificate"}
_SECRETS = (
    re.compile(r"EAA[0-9A-Za-z]{12,}"),  # access tokens of users, pages and system users
    re.compile(r"\b\d{6,20}\|[0-9A-Za-z_-]{12,}"),  # app tokens: app id, bar, secret
    re.compile(r"(?i)(?<=bearer )[^\s\"',;]+"),
    re.compile(
        r"(?i)(?<=access_token=)[^\s&\"',;]+|(?<=appsecret_proof=)[^\s&\"',;]+|(?<=client_secret=)[^\s&\"',;]+"
    ),
)

# The keys of a send request whose text is kept, by parent key. Any other text may be personal data.
_VISIBLE_KEYS = {
    "": "messaging_product recipient_type type category status",
    "template": "name namespace",
    "language": "code policy",
    "components": "type sub_type index format",
    "parameters": "type",
    "interactive": "type",
}
_VISIBLE = frozenset((parent, key) for parent, keys in _VISIBLE_KEYS.items() for key in keys.split())


def without_credentials(value: Any) -> Any:
    """Replace every credential in a JSON value."""
    return _walk(value, _without_secrets)


def redacted_request(value: Any) -> Any:
    """Redact a request to the messages endpoint; type, template and number of parameters stay visible.

    Other texts are replaced by their length, which still shows texts that are empty or too long.
    """
    return _walk(value, _redact_text)


def _walk(value: Any, text: Callable[[str, str, str], str], key: str = "", parent: str = "") -> Any:
    if type(value) is dict:
        return {
            _without_secrets(name, "", ""): _walk(inner, text, name.lower(), key)
            for name, inner in value.items()
        }
    if type(value) is list:
        return [_walk(inner, text, key, parent) for inner in value]
    if key.replace("-", "_") in _SECRET_KEYS and value not in (None, "", True, False):
        return REDACTED
    return text(value, key, parent) if type(value) is str else value


def _without_secrets(text: str, _key: str, _parent: str) -> str:
    for pattern in _SECRETS:
        text = pattern.sub(REDACTED, text)
    return text


def _redact_text(text: str, key: str, parent: str) -> str:
    if (parent, key) in _VISIBLE and len(text) <= 200:
        return _without_secrets(text, key, parent)
    return f"[{len(text)} characters]" if text else ""
