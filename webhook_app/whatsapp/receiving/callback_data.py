"""Reads template and campaign from `biz_opaque_callback_data`, which Meta returns as the sender wrote it.

Senders write JSON, pairs such as `template=a;campaign=b`, or a query string. A query string is encoded: it separates
pairs by `&` and holds no white space, so `+` is a space and `%C3%A9` an é.
"""

from urllib.parse import unquote_to_bytes

import msgspec

TEMPLATE_KEYS = ("template", "tpl", "template_name")
CAMPAIGN_KEYS = ("campaign", "cmp", "campaign_id")
_MAX = 200
_decode = msgspec.json.decode


def template_and_campaign(text: str) -> tuple[str, str]:
    """Return the template and the campaign that the callback data names; empty if it names none."""
    text = text.strip()
    if text[:3] in ("%7B", "%7b"):
        text = _unquoted(text)
    pairs = _json_pairs(text) if text.startswith("{") else _plain_pairs(text)
    template = next((pairs[key] for key in TEMPLATE_KEYS if key in pairs), "")
    campaign = next((pairs[key] for key in CAMPAIGN_KEYS if key in pairs), "")
    return template[:_MAX], campaign[:_MAX]


def _json_pairs(text: str) -> dict[str, str]:
    try:
        found = _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return {k: str(v).replace("\0", "") for k, v in found.items() if type(v) in (str, int)}


def _plain_pairs(text: str) -> dict[str, str]:
    separator = next((each for each in ";&," if each in text), "&")
    pairs = [part.partition("=") for part in text.removeprefix("?").split(separator)]
    if separator == "&" and _is_query_string(text):
        return {_unquoted(key): _unquoted(value) for key, found, value in pairs if found}
    return {key.strip(): value.strip() for key, found, value in pairs if found}


def _is_query_string(text: str) -> bool:
    return ("%" in text or "+" in text) and text.isascii() and not any(map(str.isspace, text))


def _unquoted(text: str) -> str:
    """Return the text of a part of a query string. Bytes that are not UTF-8 are read as Latin-1, as old forms send."""
    raw = unquote_to_bytes(text.replace("+", " "))
    try:
        found = raw.decode()
    except UnicodeDecodeError:
        found = raw.decode("latin-1")
    return found.replace("\0", "").strip()
