"""Removes credentials from API calls before they are stored. Pure.

Meta's error messages repeat credentials ("Malformed access token EAA…"), so values are searched as well as keys.
"""

import re
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


def without_credentials(value: Any, key: str = "") -> Any:
    """Replace every credential in a JSON value; `key`: the name it has."""
    if type(value) is dict:
        return {_redacted(name): without_credentials(inner, name.lower()) for name, inner in value.items()}
    if type(value) is list:
        return [without_credentials(inner, key) for inner in value]
    if key.replace("-", "_") in _SECRET_KEYS and value not in (None, "", True, False):
        return REDACTED
    return _redacted(value) if type(value) is str else value


def _redacted(text: str) -> str:
    for pattern in _SECRETS:
        text = pattern.sub(REDACTED, text)
    return text
