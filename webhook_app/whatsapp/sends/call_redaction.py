"""What may be kept of an API call: no credentials, and of a request its shape without anybody's text. Pure.

Meta's own messages repeat credentials ("Malformed access token EAA…"), so values are searched as well as keys.
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

# What a send request says about itself, each key with the key it stands under. Everything else may be text, a name,
# a number or a link to somebody's file.
_SHAPE = {
    "": "messaging_product recipient_type type category status",
    "template": "name namespace",
    "language": "code policy",
    "components": "type sub_type index format",
    "parameters": "type",
    "interactive": "type",
}
_SHOWN = frozenset((parent, key) for parent, keys in _SHAPE.items() for key in keys.split())


def without_credentials(value: Any) -> Any:
    """The same JSON value with every credential replaced."""
    return _walk(value, _without_secrets)


def shape_of_request(value: Any) -> Any:
    """A request to the messages endpoint as far as it can be shown: which kind, which template, how many parameters.

    Other texts become their length, so that "too long" and "empty" can still be seen.
    """
    return _walk(value, _shape)


def _walk(value: Any, text: Callable[[str, str, str], str], key: str = "", parent: str = "") -> Any:
    if type(value) is dict:
        return {
            _without_secrets(name, "", ""): _walk(held, text, name.lower(), key)
            for name, held in value.items()
        }
    if type(value) is list:
        return [_walk(held, text, key, parent) for held in value]
    if key.replace("-", "_") in _SECRET_KEYS and value not in (None, "", True, False):
        return REDACTED
    return text(value, key, parent) if type(value) is str else value


def _without_secrets(text: str, _key: str, _parent: str) -> str:
    for pattern in _SECRETS:
        text = pattern.sub(REDACTED, text)
    return text


def _shape(text: str, key: str, parent: str) -> str:
    if (parent, key) in _SHOWN and len(text) <= 200:
        return _without_secrets(text, key, parent)
    return f"[{len(text)} characters]" if text else ""
